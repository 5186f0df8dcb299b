#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "net/connector.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "server/groups.h"

namespace pasvgate::server {

/// Connects a session to a server of its backend: to the one that the group picks, and when that fails to the next,
/// until there is none. The group learns what came of each. Or to a server of no group, by the first of its addresses.
class BackendConnection {
 public:
  struct OfGroup {
    Groups& groups;
    const std::string& backend;       ///< Its name, and what is set for it, are the session's configuration, which a
    const config::Backend& settings;  ///< reload may have left behind. Both outlive the place that comes of it.
    gateway::ServerGroup::Client client;
  };
  struct Outside {
    std::string host;
    std::vector<ftp::Endpoint> at;
  };
  using To = std::variant<OfGroup, Outside>;
  struct Connected {
    net::Fd socket;
    ServerPlace server;
  };
  /// The error is for the log, never for a client.
  using OnDone = std::move_only_function<void(std::expected<Connected, std::string>)>;
  /// `on_done` never runs before the constructor has returned. `timeout` is for each server, and for the resolver; all
  /// of it takes at most three times as long.
  BackendConnection(net::Loop& loop, To to, std::chrono::milliseconds timeout, OnDone on_done);

 private:
  void next();
  void next_of(const OfGroup& choice);
  void next_of(const Outside& choice);
  void resolve(const OfGroup& choice);
  void give_up(std::string why);
  void connect(ServerPlace place);
  void fail(std::string why);

  net::Loop& loop_;
  const To to_;
  const std::chrono::milliseconds timeout_;
  OnDone on_done_;
  net::Timer deadline_;
  net::Timer first_;                  ///< Begins it, so that an answer that is there at once still comes later.
  std::vector<std::uint64_t> tried_;  ///< Servers, by id; of no group: one entry an address.
  std::string last_error_;
  std::vector<std::unique_ptr<net::Lookup>> lookups_;
  std::size_t answers_due_ = 0;  ///< Of `lookups_`.
  std::unique_ptr<net::Connector> connector_;
};

}  // namespace pasvgate::server
