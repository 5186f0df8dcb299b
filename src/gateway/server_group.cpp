#include "gateway/server_group.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "gateway/balance.h"

namespace pasvgate::gateway {

std::string_view state_name(ServerState state) {
  switch (state) {
    case ServerState::Up:
      return "up";
    case ServerState::Down:
      return "down";
    case ServerState::Drain:
      return "drain";
    case ServerState::Maintenance:
      return "maintenance";
    case ServerState::Gone:
      return "gone";
  }
  std::unreachable();
}

std::string_view no_server_name(NoServer why) {
  switch (why) {
    case NoServer::Unresolved:
      return "no name was resolved yet";
    case NoServer::Failed:
      return "no server could be connected to";
    case NoServer::Down:
      return "every server is down";
    case NoServer::Full:
      return "every server has its max_sessions";
    case NoServer::Withdrawn:
      return "no server is there to take new sessions";
  }
  std::unreachable();
}

ServerState ServerGroup::state_of(const Server& server) {
  if (server.order == ServerOrder::Maintenance) return ServerState::Maintenance;
  if (server.order == ServerOrder::Drain || !server.named) return ServerState::Drain;
  return server.down ? ServerState::Down : ServerState::Up;
}

void ServerGroup::changed(Server& server, ServerState from, std::string why, Changes& changes) {
  const ServerState to = state_of(server);
  if (from == to) return;
  server.status.why = why;
  changes.push_back({server.status.server, from, to, std::move(why)});
}

ServerGroup::Server* ServerGroup::find(std::uint64_t id) {
  const auto found = std::ranges::find(servers_, id, [](const Server& server) { return server.status.id; });
  return found == servers_.end() ? nullptr : &*found;
}

void ServerGroup::configure(const config::Backend& settings, Changes& changes) {
  settings_ = settings;
  std::map<std::string, Name> kept;
  for (const config::Server& entry : settings_.servers) {
    if (!entry.at.address) kept[entry.at.host] = names_[entry.at.host];
  }
  names_ = std::move(kept);
  std::erase_if(left_, [&](const Server& old) { return !is_named(old.status.host); });
  rebuild("configuration", changes);
}

bool ServerGroup::is_spoken_to_as(const config::Backend& other) const {
  const auto way = [](const config::Backend& one) {
    return std::tie(one.tls, one.tls_ca, one.tls_name, one.tls_minimum_version, one.tls_ciphers, one.tls_private_data,
                    one.proxy_protocol, one.proxy_protocol_data);
  };
  return way(settings_) == way(other);
}

void ServerGroup::resolved(const std::string& name, std::span<const ftp::Address> addresses, Changes& changes) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;  // It has left the configuration while it was asked for.
  found->second.asked = true;
  if (addresses.empty()) return;
  // Resolvers turn the order of their answers, which is no reason to turn ours: `first` would follow it.
  auto& records = found->second.records;
  std::erase_if(records, [&](const auto& old) { return std::ranges::find(addresses, old) == addresses.end(); });
  for (const ftp::Address& address : addresses) {
    if (records.size() == kMostRecords) break;
    if (std::ranges::find(records, address) == records.end()) records.push_back(address);
  }
  rebuild("DNS", changes);
}

std::vector<std::string> ServerGroup::names() const {
  std::vector<std::string> all;
  all.reserve(names_.size());
  for (const auto& [name, known] : names_) all.push_back(name);
  return all;
}

std::vector<std::string> ServerGroup::unasked() const {
  std::vector<std::string> all;
  for (const auto& [name, known] : names_) {
    if (!known.asked) all.push_back(name);
  }
  return all;
}

void ServerGroup::rebuild(std::string_view why, Changes& changes) {
  std::vector<Server> next;
  const auto add = [&](const config::Server& entry, const ftp::Address& address) {
    const ftp::Endpoint at{address, entry.at.port};
    // Named twice, it is the first one.
    if (std::ranges::find(next, at, &Server::at) == next.end()) next.push_back(named(entry, at, changes, why));
  };
  for (const config::Server& entry : settings_.servers) {
    if (entry.at.address) {
      add(entry, *entry.at.address);
    } else {
      for (const auto& address : names_[entry.at.host].records) add(entry, address);
    }
  }
  for (Server& old : servers_) {
    if (std::ranges::find(next, old.at, &Server::at) != next.end()) continue;
    const ServerState from = state_of(old);
    old.named = false;
    std::string left = "left the " + std::string(why);
    if (old.status.sessions == 0) {
      changes.push_back({old.status.server, from, ServerState::Gone, std::move(left)});
      remember(std::move(old));
    } else {
      changed(old, from, std::move(left), changes);
      next.push_back(std::move(old));
    }
  }
  servers_ = std::move(next);
}

/// The server at `at`, with its state when it is known, else a new one.
ServerGroup::Server ServerGroup::named(const config::Server& entry, const ftp::Endpoint& at, Changes& changes,
                                       std::string_view why) {
  const auto known = std::ranges::find(servers_, at, &Server::at);
  Server server;
  ServerState from = ServerState::Gone;
  if (known != servers_.end()) {
    server = *known;
    from = state_of(server);
  } else if (const auto left = std::ranges::find(left_, at, &Server::at); left != left_.end()) {
    server = std::move(*left);
    left_.erase(left);
  } else {
    server.at = at;
    server.status.id = next_id_++;
    server.status.server = at.text();
    server.label_hash = hash_of(server.status.server);
  }
  server.named = true;
  server.status.host = entry.at.host;
  server.status.weight = entry.weight;
  server.status.max_sessions = entry.max_sessions;
  server.status.backup = entry.backup;
  changed(server, from, "in the " + std::string(why), changes);
  return server;
}

bool ServerGroup::is_named(std::string_view host) const {
  return std::ranges::any_of(settings_.servers, [&](const config::Server& entry) { return entry.at.host == host; });
}

/// A record that is missing for a moment must not undo an order, nor make a server that is down a good one.
void ServerGroup::remember(Server old) {
  const bool has_failed = old.down || old.failed_connections != 0 || old.failed_checks != 0;
  if ((old.order == ServerOrder::Up && !has_failed) || !is_named(old.status.host)) return;
  old.checking = false;  // Nobody hears the answer.
  old.turn = 0;
  if (left_.size() == kMostLeft) {
    const auto without_order = std::ranges::find(left_, ServerOrder::Up, &Server::order);
    left_.erase(without_order == left_.end() ? left_.begin() : without_order);
  }
  left_.push_back(std::move(old));
}

/// What a check said holds until the next one was due: the address may be another machine's then. Without checks a
/// session tries the server at that time in any case.
void ServerGroup::forget_failures(Instant now) {
  for (Server& old : left_) {
    if (old.check_at > now) continue;
    old.down = false;
    old.failed_connections = old.failed_checks = old.good_checks = 0;
  }
  std::erase_if(left_, [&](const Server& old) { return old.check_at <= now && old.order == ServerOrder::Up; });
}

// Who gets the next session.

/// What stands against a session on it.
std::optional<NoServer> ServerGroup::obstacle(const Server& server, std::span<const std::uint64_t> tried,
                                              Instant now) const {
  if (state_of(server) == ServerState::Drain || state_of(server) == ServerState::Maintenance)
    return NoServer::Withdrawn;
  if (std::ranges::find(tried, server.status.id) != tried.end()) return NoServer::Failed;
  if (server.down && (is_checked() || now < server.retry_at)) return NoServer::Down;
  const std::size_t most = server.status.max_sessions;
  if (most != 0 && server.status.sessions >= most) return NoServer::Full;
  return std::nullopt;
}

bool ServerGroup::has_unasked(bool backup) const {
  return std::ranges::any_of(settings_.servers, [&](const config::Server& entry) {
    return entry.backup == backup && !entry.at.address && !names_.at(entry.at.host).asked;
  });
}

std::expected<ServerGroup::Pick, NoServer> ServerGroup::pick(const Client& client, std::span<const std::uint64_t> tried,
                                                             Instant now) {
  // Full says most about what is to be done, then that they were tried, then that they are down.
  const auto rank = [](NoServer why) {
    return why == NoServer::Full ? 3 : why == NoServer::Failed ? 2 : why == NoServer::Down ? 1 : 0;
  };
  NoServer why = NoServer::Withdrawn;
  for (const bool backup : {false, true}) {
    std::vector<Server*> candidates;
    for (Server& server : servers_) {
      if (server.status.backup != backup) continue;
      const auto against = obstacle(server, tried, now);
      if (!against) {
        candidates.push_back(&server);
      } else if (rank(*against) > rank(why)) {
        why = *against;
      }
    }
    if (candidates.empty()) {
      // A backup takes nobody whose server is only late.
      if (has_unasked(backup)) return std::unexpected(NoServer::Unresolved);
      continue;
    }
    Server& chosen = choose(candidates, client);
    chosen.last_pick = ++picks_;
    ++chosen.status.sessions;
    // One session tries it, the others go elsewhere until that one knows.
    if (chosen.down) chosen.retry_at = now + settings_.health.interval;
    return Pick{chosen.status.id, chosen.at, chosen.status.host};
  }
  return std::unexpected(why);
}

ServerGroup::Server& ServerGroup::choose(std::span<Server* const> candidates, const Client& client) const {
  switch (settings_.strategy) {
    case config::Strategy::First:
      return *candidates.front();
    case config::Strategy::RoundRobin: {
      // Smooth: with weights 3 and 1 it is a a b a, not a a a b. All gain their weight, who is chosen pays for all.
      std::int64_t sum = 0;
      for (Server* one : candidates) {
        one->turn += one->status.weight;
        sum += one->status.weight;
      }
      Server& chosen = **std::ranges::max_element(candidates, {}, [](const Server* one) { return one->turn; });
      chosen.turn -= sum;
      return chosen;
    }
    case config::Strategy::LeastSessions:
      return **std::ranges::min_element(candidates, [](const Server* one, const Server* other) {
        const auto left = one->status.sessions * other->status.weight;
        const auto right = other->status.sessions * one->status.weight;
        return left != right ? left < right : one->last_pick < other->last_pick;
      });
    case config::Strategy::ClientHash:
    case config::Strategy::UserHash: {
      const bool by_user = settings_.strategy == config::Strategy::UserHash && !client.user.empty();
      const std::uint64_t key = hash_of(by_user ? client.user : client.address.text());
      return **std::ranges::max_element(candidates, {}, [key](const Server* one) {
        return rendezvous_score(key, one->label_hash, one->status.weight);
      });
    }
  }
  std::unreachable();
}

// What becomes of servers.

void ServerGroup::set_down(Server& server, bool down, std::string why, Changes& changes) {
  server.failed_connections = server.failed_checks = server.good_checks = 0;
  if (server.down == down) return;
  const ServerState from = state_of(server);
  server.down = down;
  changed(server, from, std::move(why), changes);
}

void ServerGroup::connected(std::uint64_t id, Changes& changes) {
  Server* const server = find(id);
  if (server == nullptr) return;
  server->failed_connections = 0;
  if (!is_checked()) set_down(*server, false, "a session connected", changes);
}

void ServerGroup::connect_failed(std::uint64_t id, std::string_view why, Instant now, Changes& changes) {
  Server* const server = find(id);
  if (server == nullptr) return;
  ++server->failed_connections;
  if (server->down || server->failed_connections >= settings_.health.fall) {
    server->retry_at = now + settings_.health.interval;
    if (!server->down) set_down(*server, true, std::string(why), changes);
  }
  released(id, changes);
}

void ServerGroup::released(std::uint64_t id, Changes& changes) {
  Server* const server = find(id);
  if (server == nullptr || --server->status.sessions != 0 || server->named) return;
  changes.push_back({server->status.server, state_of(*server), ServerState::Gone, "its last session ended"});
  remember(*server);
  std::erase_if(servers_, [id](const Server& one) { return one.status.id == id; });
}

bool ServerGroup::awaits_check(const Server& server) {
  return !server.checking && server.named && server.order != ServerOrder::Maintenance;
}

std::vector<ServerGroup::Check> ServerGroup::due_checks(Instant now, std::size_t most) {
  std::vector<Check> due;
  if (!is_checked()) return due;
  forget_failures(now);
  std::vector<Server*> waiting;
  for (Server& server : servers_) {
    if (awaits_check(server) && server.check_at <= now) waiting.push_back(&server);
  }
  std::ranges::sort(waiting, {}, [](const Server* one) { return std::pair(one->check_at, one->status.id); });
  if (waiting.size() > most) waiting.resize(most);
  for (Server* server : waiting) {
    due.push_back({server->status.id, server->at, server->status.host});
    server->checking = true;
    server->check_at = now + settings_.health.interval;
  }
  return due;
}

std::optional<Instant> ServerGroup::next_check() const {
  std::optional<Instant> next;
  if (!is_checked()) return next;
  for (const Server& server : servers_) {
    if (!awaits_check(server)) continue;
    if (!next || server.check_at < *next) next = server.check_at;
  }
  return next;
}

void ServerGroup::checked(std::uint64_t id, CheckResult result, std::string_view why, Changes& changes) {
  Server* const server = find(id);
  if (server == nullptr) return;
  server->checking = false;
  if (!is_checked() || result == CheckResult::None) return;
  const bool good = result == CheckResult::Good;
  server->good_checks = good ? server->good_checks + 1 : 0;
  server->failed_checks = good ? 0 : server->failed_checks + 1;
  if (server->down && server->good_checks >= settings_.health.rise) {
    set_down(*server, false, "checks are good", changes);
  } else if (!server->down && server->failed_checks >= settings_.health.fall) {
    set_down(*server, true, std::string(why), changes);
  }
}

bool ServerGroup::set_state(std::string_view server, ServerOrder order, Changes& changes) {
  const auto found =
      std::ranges::find_if(servers_, [&](const Server& one) { return one.named && one.status.server == server; });
  if (found == servers_.end()) return false;
  const ServerState from = state_of(*found);
  found->order = order;
  changed(*found, from, "ordered", changes);
  return true;
}

std::vector<ServerStatus> ServerGroup::servers() const {
  std::vector<ServerStatus> all;
  for (const Server& server : servers_) {
    all.push_back(server.status);
    all.back().state = state_of(server);
  }
  return all;
}

std::optional<std::size_t> ServerGroup::sessions(std::uint64_t id) const {
  const auto found = std::ranges::find(servers_, id, [](const Server& server) { return server.status.id; });
  return found == servers_.end() ? std::nullopt : std::optional(found->status.sessions);
}

}  // namespace pasvgate::gateway
