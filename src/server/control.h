#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/guarded.h"
#include "observe/history.h"
#include "observe/status.h"

namespace pasvgate::server {

struct Shared;
class Worker;

/// What the admin API sees and does of the whole process. Asks the workers by their mailboxes and waits for a moment;
/// one that doesn't answer in time is left out.
class Control final : public observe::AdminSource {
 public:
  Control(Shared& shared, const std::atomic<bool>& ready);

  void use(std::shared_ptr<const config::Config> config);
  void draining() { draining_ = true; }
  /// Once in each `History::kInterval`: a point of it.
  void sample();

  observe::Overview overview() override;
  std::pair<std::vector<observe::SessionStatus>, std::size_t> sessions(std::size_t limit) override;
  observe::Traces traces(std::optional<std::uint64_t> session, const std::optional<ftp::Address>& client) override;
  config::PassivePorts passive_ports() override;
  std::vector<observe::PortStatus> ports() override;
  std::vector<observe::BackendStatus> backends() override;
  std::vector<observe::Ban> bans() override;
  observe::Ordered end_session(std::uint64_t session) override;
  bool set_server(const std::string& backend, std::string_view server, gateway::ServerOrder order) override;
  void ban(const ftp::Cidr& network, std::chrono::seconds time) override;
  bool lift_ban(const ftp::Cidr& network) override;
  std::expected<std::string, std::string> token() override;

 private:
  /// Each worker's answer, in their order; none from one that is late.
  template <class Answer>
  std::vector<std::optional<Answer>> ask(const std::function<Answer(Worker&)>& question);
  [[nodiscard]] std::shared_ptr<const config::Config> config() const;

  Shared& shared_;
  const std::atomic<bool>& ready_;
  std::atomic<bool> draining_ = false;
  const observe::UnixTime started_;
  net::Guarded<std::shared_ptr<const config::Config>> config_;
  net::Guarded<observe::History> history_;
};

}  // namespace pasvgate::server
