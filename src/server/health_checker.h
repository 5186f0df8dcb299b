#pragma once

#include <memory>
#include <vector>

#include "net/handle.h"
#include "net/loop.h"
#include "server/groups.h"

namespace pasvgate::server {

/// Makes the health checks that the groups are due, on one loop. Destroying it gives up those that run.
class HealthChecker {
 public:
  HealthChecker(net::Loop& loop, Groups& groups);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;
  /// The configuration has changed.
  void wake() { run(); }

 private:
  class Probe;
  void run();
  void ended(Probe& probe);

  net::Loop& loop_;
  Groups& groups_;
  net::Timer timer_;
  net::NextTurn next_turn_;
  std::vector<std::unique_ptr<Probe>> probes_;
  std::vector<std::unique_ptr<Probe>> dead_;  ///< Until the next turn of the loop.
};

}  // namespace pasvgate::server
