#pragma once

#include <cstddef>
#include <expected>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "config/config.h"
#include "ftp/address.h"
#include "gateway/instant.h"
#include "gateway/rate.h"

namespace pasvgate::gateway {

/// Which network is one client to the limits.
ftp::Cidr client_network(const ftp::Address& client, const config::Limits& limits);

/// What each client and each user has of the limits now. Not thread-safe; knows no time but what it is told. Each call
/// takes the same time however many there are.
///
/// A client without a session is remembered for as long as it matters, and no more than `kMostIdle` of them are: with
/// more addresses than that, whoever was here longest ago is forgotten first. Those with sessions are bounded by
/// `limits.sessions`, as the users are.
class ClientTable {
 public:
  static constexpr std::size_t kMostIdle = 65'536;

  struct Client {
    ftp::Address key;
    std::size_t sessions = 0;
    Rate connections;
    std::size_t failures = 0;  ///< Before `failing_until`.
    Instant failing_until{0};
  };
  /// Its name, and its sessions.
  using User = std::map<std::string, std::size_t, std::less<>>::value_type;

  enum class Refusal : std::uint8_t { Sessions, Connections };
  /// One session more. The client stays where it is until as many `leave` calls.
  std::expected<Client*, Refusal> enter(const ftp::Address& client, Instant now, const config::Limits& limits);
  void leave(Client* client);
  /// True: it was one too many in its time, and the counting begins anew.
  bool login_failed(Client& client, std::string_view user, Instant now, const config::Limits& limits);

  /// One session more of a user, or nothing when there are `most`.
  User* log_in(std::string name, std::size_t most);
  void log_out(User* user);

  [[nodiscard]] std::size_t clients() const { return by_key_.size(); }
  [[nodiscard]] std::size_t users() const { return users_.size(); }

 private:
  using Clients = std::list<Client>;
  [[nodiscard]] Clients::iterator find(const ftp::Address& key);
  void forget(Instant now);

  Clients active_;
  Clients idle_;  ///< The one that left longest ago first.
  std::unordered_map<ftp::Address, Clients::iterator> by_key_;
  std::map<std::string, std::size_t, std::less<>> users_;
};

}  // namespace pasvgate::gateway
