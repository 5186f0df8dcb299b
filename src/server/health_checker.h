#pragma once

#include <array>
#include <memory>
#include <vector>

#include "net/loop.h"
#include "server/groups.h"
#include "server/tls_contexts.h"

namespace pasvgate::server {

/// Makes the health checks that the groups are due, on one loop. Destroying it gives up those that run.
class HealthChecker {
 public:
  HealthChecker(net::Loop& loop, Groups& groups);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;
  /// What the checks go by from now on: also behind a reload, behind `Groups::configure`.
  void use(std::shared_ptr<const config::Config> config, std::shared_ptr<const TlsContexts> tls);

 private:
  class Probe;
  void run();
  void ended(Probe& probe);

  net::Loop& loop_;
  Groups& groups_;
  std::shared_ptr<const config::Config> config_;
  std::shared_ptr<const TlsContexts> tls_;
  std::array<char, 4096> buffer_{};  ///< Lent to each for the time of one read.
  net::Timer timer_;
  net::Timer next_turn_;
  std::vector<std::unique_ptr<Probe>> probes_;
  std::vector<std::unique_ptr<Probe>> dead_;  ///< Until the next turn of the loop.
};

}  // namespace pasvgate::server
