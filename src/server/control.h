#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/guarded.h"
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
  static constexpr std::chrono::seconds kInterval{5};
  /// Once in each `kInterval`: a point of the history.
  void sample();

  observe::Overview overview() override;
  std::pair<std::vector<observe::SessionStatus>, std::size_t> sessions(std::size_t limit) override;
  std::vector<observe::SessionTrace> traces(std::optional<std::uint64_t> session,
                                            const std::optional<ftp::Address>& client) override;
  config::PassivePorts passive_ports() override;
  std::vector<observe::PortStatus> ports() override;
  std::vector<observe::BackendStatus> backends() override;
  std::vector<observe::Ban> bans() override;
  bool end_session(std::uint64_t session) override;
  bool set_server(const std::string& backend, std::string_view server, gateway::ServerOrder order) override;
  void ban(const ftp::Cidr& network, std::chrono::seconds time) override;
  bool lift_ban(const ftp::Cidr& network) override;
  std::expected<std::string, std::string> token() override;

 private:
  template <class Answer>
  std::vector<Answer> ask(const std::function<Answer(Worker&)>& question);
  [[nodiscard]] std::shared_ptr<const config::Config> config() const;

  Shared& shared_;
  const std::atomic<bool>& ready_;
  std::atomic<bool> draining_ = false;
  const observe::UnixTime started_;
  net::Guarded<std::shared_ptr<const config::Config>> config_;
  struct History {
    std::deque<observe::Sample> samples;
    std::uint64_t downloaded = 0;
    std::uint64_t uploaded = 0;
  };
  net::Guarded<History> history_;
};

}  // namespace pasvgate::server
