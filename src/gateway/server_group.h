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
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "gateway/instant.h"

namespace pasvgate::gateway {

enum class ServerState : std::uint8_t {
  Up,
  Down,         ///< Checks or connections failed.
  Drain,        ///< Takes no new sessions: by order, or because it has left the configuration or the DNS.
  Maintenance,  ///< As Drain, and it isn't checked.
  Gone          ///< No longer, or not yet, in the group.
};
std::string_view state_name(ServerState state);

/// What an operator says of a server.
enum class ServerOrder : std::uint8_t { Up, Drain, Maintenance };

/// Why there is no server for a session.
enum class NoServer : std::uint8_t {
  Unresolved,  ///< None can take it, and a name hasn't been asked for yet: `unasked` says which.
  Failed,      ///< Each was tried.
  Down,
  Full,
  Withdrawn  ///< All are in drain or maintenance, or there is none.
};
std::string_view no_server_name(NoServer why);

/// A server's step from one state to another, for the log and the metrics.
struct ServerChange {
  std::string server;  ///< ServerStatus::server
  ServerState from;
  ServerState to;
  std::string why;
};

/// A server as others see it.
struct ServerStatus {
  std::uint64_t id = 0;
  std::string server;  ///< Its address and port: unique in its group.
  std::string host;    ///< As the configuration names it.
  ServerState state = ServerState::Up;
  std::string why;  ///< It has this state.
  unsigned weight = 1;
  std::size_t max_sessions = 0;
  bool backup = false;
  std::size_t sessions = 0;
};

/// The servers of one backend: which there are, which can take a session, and who gets the next one (design §7).
///
/// A server is one address and port. It stays the same through reloads and new answers of the DNS for as long as it is
/// named; behind that it drains, and is gone with its last session. An operator's order is kept for its record's
/// return, as long as the configuration has its name; that it was down only for an interval. Not thread-safe: all
/// workers share a group behind net::Guarded. Touches no socket and knows no time but what it is told.
class ServerGroup {
 public:
  using Changes = std::vector<ServerChange>;
  /// More records of one name than these are left out.
  static constexpr std::size_t kMostRecords = 64;
  /// Of servers that have left the DNS so many are remembered.
  static constexpr std::size_t kMostLeft = 256;

  /// Also for new settings: servers that stay keep their state and their sessions.
  void configure(const config::Backend& settings, Changes& changes);
  /// TLS and PROXY headers are the same.
  [[nodiscard]] bool is_spoken_to_as(const config::Backend& other) const;
  /// The addresses that a name has now. None, or a failed look-up: the last good ones stay, and if there never were
  /// any, nobody waits for them any more.
  void resolved(const std::string& name, std::span<const ftp::Address> addresses, Changes& changes);
  /// The names of the configuration, and those of them that were never asked for.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::vector<std::string> unasked() const;

  struct Client {
    ftp::Address address;
    std::string user;  ///< Empty: not known.
  };
  struct Pick {
    std::uint64_t id;
    ftp::Endpoint at;
    std::string host;
  };
  /// The server that a session goes to next, `tried` left out. It counts as a session there until `released`.
  std::expected<Pick, NoServer> pick(const Client& client, std::span<const std::uint64_t> tried, Instant now);
  /// What became of it.
  void connected(std::uint64_t id, Changes& changes);
  void connect_failed(std::uint64_t id, std::string_view why, Instant now, Changes& changes);
  void released(std::uint64_t id, Changes& changes);

  struct Check {
    std::uint64_t id;
    ftp::Endpoint at;
    std::string host;  ///< As the configuration names it.
  };
  /// The checks that are to begin now, at most so many, those first that are due for longest; each is answered by
  /// `checked`.
  std::vector<Check> due_checks(Instant now, std::size_t most);
  /// When the next one is due; nothing while none is waited for.
  [[nodiscard]] std::optional<Instant> next_check() const;
  enum class CheckResult : std::uint8_t { Good, Bad, None /* it couldn't be made, for a reason of our own */ };
  void checked(std::uint64_t id, CheckResult result, std::string_view why, Changes& changes);

  /// False when there is no such server.
  bool set_state(std::string_view server, ServerOrder order, Changes& changes);

  [[nodiscard]] std::vector<ServerStatus> servers() const;
  /// Sessions of a server; nothing when it is gone.
  [[nodiscard]] std::optional<std::size_t> sessions(std::uint64_t id) const;
  [[nodiscard]] bool is_empty() const { return servers_.empty(); }

 private:
  struct Server {
    ServerStatus status;  ///< But for `state`, which `state_of` tells.
    ftp::Endpoint at;
    bool named = true;  ///< By the configuration, or the DNS.
    ServerOrder order = ServerOrder::Up;
    bool down = false;
    unsigned failed_connections = 0;  ///< In a row, as the next two.
    unsigned failed_checks = 0;
    unsigned good_checks = 0;
    Instant retry_at{};  ///< When a server that is down may be tried by a session, where nothing checks it.
    Instant check_at{};
    bool checking = false;
    std::int64_t turn = 0;         ///< Of the smooth round robin: the highest is next.
    std::uint64_t last_pick = 0;   ///< In the order of the picks.
    std::uint64_t label_hash = 0;  ///< Of `status.server`, for the hashes.
  };
  /// A name's records; nothing before the first answer.
  struct Name {
    bool asked = false;
    std::vector<ftp::Address> records;
  };

  static ServerState state_of(const Server& server);
  /// Tells of a step, if it is one.
  static void changed(Server& server, ServerState from, std::string why, Changes& changes);
  Server* find(std::uint64_t id);
  /// Makes the list what the configuration and the DNS name.
  void rebuild(std::string_view why, Changes& changes);
  Server named(const config::Server& entry, const ftp::Endpoint& at, Changes& changes, std::string_view why);
  [[nodiscard]] bool is_named(std::string_view host) const;
  void remember(Server old);
  void forget_failures(Instant now);
  void set_down(Server& server, bool down, std::string why, Changes& changes);
  static bool awaits_check(const Server& server);
  [[nodiscard]] bool is_checked() const { return settings_.health.check != config::HealthCheck::Off; }
  [[nodiscard]] std::optional<NoServer> obstacle(const Server& server, std::span<const std::uint64_t> tried,
                                                 Instant now) const;
  [[nodiscard]] bool has_unasked(bool backup) const;
  Server& choose(std::span<Server* const> candidates, const Client& client) const;

  config::Backend settings_;
  std::map<std::string, Name> names_;
  std::vector<Server> servers_;  ///< In the configuration's order; those that are no longer named come last.
  std::vector<Server> left_;     ///< Gone, oldest first: those of which something is to be kept.
  std::uint64_t next_id_ = 1;
  std::uint64_t picks_ = 0;
};

}  // namespace pasvgate::gateway
