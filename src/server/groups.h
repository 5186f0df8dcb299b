#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"
#include "gateway/server_group.h"
#include "net/guarded.h"
#include "observe/metrics.h"

namespace pasvgate::server {

class Groups;

/// A session's place on a server, from the pick until it is destroyed.
class ServerPlace {
 public:
  /// On a server of no group: counted nowhere.
  ServerPlace(std::string host, const ftp::Endpoint& at) : pick_{.id = 0, .at = at, .host = std::move(host)} {}
  /// `backend` outlives it.
  ServerPlace(Groups& groups, const std::string& backend, gateway::ServerGroup::Pick pick)
      : groups_(&groups), backend_(&backend), pick_(std::move(pick)) {}
  ServerPlace(ServerPlace&& other) noexcept
      : groups_(std::exchange(other.groups_, nullptr)), backend_(other.backend_), pick_(std::move(other.pick_)) {}
  ServerPlace& operator=(ServerPlace&& other) noexcept {
    std::swap(groups_, other.groups_);
    std::swap(backend_, other.backend_);
    std::swap(pick_, other.pick_);
    return *this;
  }
  ~ServerPlace();

  [[nodiscard]] std::uint64_t id() const { return pick_.id; }
  [[nodiscard]] const ftp::Endpoint& at() const { return pick_.at; }
  /// As the configuration names it.
  [[nodiscard]] const std::string& host() const { return pick_.host; }
  void connected();
  /// Gives the place back.
  void connect_failed(std::string_view why);

 private:
  Groups* groups_ = nullptr;  ///< None: given back, or of no group.
  const std::string* backend_ = nullptr;
  gateway::ServerGroup::Pick pick_;
};

/// The server groups of all backends, for all threads: one lock, held for a look-up. What changes is seen in the
/// metrics and the log. Backends that have left the configuration stay until their last session has ended.
class Groups {
 public:
  explicit Groups(observe::Metrics& metrics) : metrics_(metrics) {}

  void configure(const config::Config& config);
  void resolved(const std::string& backend, const std::string& name, std::span<const ftp::Address> addresses);
  /// Names of this backend that nobody has asked the resolver for.
  [[nodiscard]] std::vector<std::string> unasked(const std::string& backend);

  /// `backend` must outlive the place. None where `settings`, with which the server will be spoken to, aren't the
  /// group's any more.
  std::expected<ServerPlace, gateway::NoServer> pick(const std::string& backend, const config::Backend& settings,
                                                     const gateway::ServerGroup::Client& client,
                                                     std::span<const std::uint64_t> tried);

  struct Check {
    std::string backend;
    gateway::ServerGroup::Check check;
  };
  std::vector<Check> due_checks(std::size_t most);
  /// How long until the next one.
  [[nodiscard]] std::optional<std::chrono::milliseconds> next_check();
  /// `result` is nothing for a check that couldn't be made.
  void checked(const Check& check, std::optional<observe::Metrics::CheckResult> result, std::string_view why);

  /// What an operator orders, from any thread. `server` is ServerStatus::server. False: there is none of these names.
  bool set_state(const std::string& backend, std::string_view server, gateway::ServerOrder order);
  struct BackendStatus {
    std::string backend;
    config::Strategy strategy;
    std::vector<gateway::ServerStatus> servers;
  };
  /// From any thread.
  [[nodiscard]] std::vector<BackendStatus> snapshot() const;

 private:
  friend class ServerPlace;
  struct Group {
    gateway::ServerGroup servers;
    config::Strategy strategy = config::Strategy::First;
    bool configured = false;  ///< Else it goes with its last session.
  };
  using ByName = std::map<std::string, Group, std::less<>>;

  /// Calls `use` with the group, if there is one, and its changes; then tells of these.
  template <typename Use>
  void change(const std::string& backend, Use use);
  void count_sessions(const std::string& backend, const gateway::ServerGroup& group,
                      const gateway::ServerGroup::Pick& place);
  void measure(const std::string& backend, const gateway::ServerGroup::Changes& changes);

  observe::Metrics& metrics_;
  net::Guarded<ByName> groups_;
};

}  // namespace pasvgate::server
