#include "gateway/client_table.h"

#include <algorithm>
#include <utility>

#include "ftp/command.h"

namespace pasvgate::gateway {

ftp::Cidr client_network(const ftp::Address& client, const config::Limits& limits) {
  const unsigned bits = client.family() == ftp::Family::V4 ? limits.client_prefix_v4 : limits.client_prefix_v6;
  return {ftp::masked(client, bits), static_cast<std::uint8_t>(bits)};
}

std::expected<ClientTable::Client*, ClientTable::Refusal> ClientTable::enter(const ftp::Address& client, Instant now,
                                                                             const config::Limits& limits) {
  forget(now);
  const auto found = find(client_network(client, limits).base);
  if (limits.sessions_per_client != 0 && found->sessions >= limits.sessions_per_client) {
    return std::unexpected(Refusal::Sessions);
  }
  if (limits.connections_per_second != 0) {
    const Rate::Limit rate{.per_second = limits.connections_per_second, .burst = limits.connection_burst};
    if (found->connections.wait(now, rate).count() > 0) return std::unexpected(Refusal::Connections);
    found->connections.count(now, rate);
  }
  if (found->sessions++ == 0) active_.splice(active_.end(), idle_, found);
  return &*found;
}

/// A new one is idle.
ClientTable::Clients::iterator ClientTable::find(const ftp::Address& key) {
  const auto known = by_key_.find(key);
  if (known != by_key_.end()) return known->second;
  idle_.push_back({.key = key});
  return by_key_.emplace(key, std::prev(idle_.end())).first->second;
}

void ClientTable::leave(Client* client) {
  if (--client->sessions > 0) return;
  idle_.splice(idle_.end(), active_, by_key_.at(client->key));
}

bool ClientTable::login_failed(Client& client, std::string_view user, Instant now, const config::Limits& limits) {
  if (limits.failed_logins == 0) return false;
  // Many clients try these first, and guess nothing by it.
  if (ftp::is_anonymous(user)) return false;
  if (now >= client.failing_until) {
    client.failures = 0;
    client.failing_until = now + limits.failed_login_window;
  }
  if (++client.failures < limits.failed_logins) return false;
  client.failing_until = now;
  return true;
}

/// Two at most, so that one that comes frees more than it takes and pays for no other.
void ClientTable::forget(Instant now) {
  for (int count = 0; count < 2 && !idle_.empty(); ++count) {
    const Client& oldest = idle_.front();
    const bool matters = now < std::max(oldest.failing_until, oldest.connections.rested());
    if (matters && idle_.size() < kMostIdle) return;
    by_key_.erase(oldest.key);
    idle_.pop_front();
  }
}

ClientTable::User* ClientTable::log_in(std::string name, std::size_t most) {
  const auto [user, is_new] = users_.try_emplace(std::move(name), 0);
  if (user->second >= most) return nullptr;
  ++user->second;
  return &*user;
}

void ClientTable::log_out(User* user) {
  if (--user->second == 0) users_.erase(user->first);
}

}  // namespace pasvgate::gateway
