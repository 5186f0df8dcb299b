#include "server/client_place.h"

#include <optional>

#include "config/read.h"
#include "observe/log.h"
#include "server/shared.h"

namespace pasvgate::server {
namespace {

using Limit = observe::Metrics::Limit;

constexpr TurnedAway kNotAllowed{Limit::Clients, "policy.clients or policy.denied_clients",
                                 "421 Service not available for your address.\r\n"};
constexpr TurnedAway kBanned{Limit::Ban, "the client is banned",
                             "421 Service not available for your address now, try again later.\r\n"};
constexpr TurnedAway kTooMany{Limit::SessionsPerClient, "limits.sessions_per_client is reached",
                              "421 Too many sessions from your address, try again later.\r\n"};
constexpr TurnedAway kTooFast{Limit::ConnectionsPerSecond, "limits.connections_per_second is reached",
                              "421 Too many new sessions from your address, try again later.\r\n"};

bool is_banned(Shared& shared, const ftp::Address& client, gateway::Instant now,
               gateway::BanList::Bans which = gateway::BanList::Bans::All) {
  return shared.has_bans &&
         shared.bans.with([&](const gateway::BanList& bans) { return bans.holds(client, now, which); });
}

bool may_connect(const ftp::Address& client, const config::Policy& policy) {
  return (policy.clients.empty() || ftp::holds(policy.clients, client)) && !ftp::holds(policy.denied_clients, client);
}

}  // namespace

std::expected<ClientPlace, TurnedAway> ClientPlace::take(Shared& shared, const ftp::Address& client,
                                                         const config::Policy& policy, const config::Limits& limits) {
  const auto now = monotonic_now();
  if (!may_connect(client, policy)) return std::unexpected(kNotAllowed);
  const bool is_exempt = ftp::holds(limits.exempt_clients, client);
  using enum gateway::BanList::Bans;
  // A neighbour in its network may have earned the gateway's.
  if (is_banned(shared, client, now, is_exempt ? OfOperators : All)) return std::unexpected(kBanned);
  if (is_exempt) return ClientPlace(shared, nullptr);
  const auto entered =
      shared.clients.with([&](gateway::ClientTable& table) { return table.enter(client, now, limits); });
  if (entered) return ClientPlace(shared, *entered);
  return std::unexpected(entered.error() == gateway::ClientTable::Refusal::Sessions ? kTooMany : kTooFast);
}

ClientPlace::~ClientPlace() {
  if (client_ == nullptr && user_ == nullptr) return;
  shared_->clients.with([&](gateway::ClientTable& table) {
    if (client_ != nullptr) table.leave(client_);
    if (user_ != nullptr) table.log_out(user_);
  });
}

bool ClientPlace::log_in(std::string_view backend, std::string_view user, std::size_t most) {
  // No name of a backend holds a blank.
  std::string name = std::string(backend).append(" ").append(user);
  shared_->clients.with([&](gateway::ClientTable& table) {
    if (user_ != nullptr) table.log_out(user_);
    user_ = table.log_in(std::move(name), most);
  });
  return user_ != nullptr;
}

void ClientPlace::log_out() {
  if (user_ == nullptr) return;
  shared_->clients.with([&](gateway::ClientTable& table) { table.log_out(std::exchange(user_, nullptr)); });
}

bool ClientPlace::login_failed(std::string_view user, const config::Limits& limits) {
  if (client_ == nullptr || limits.failed_logins == 0) return false;
  const auto now = monotonic_now();
  ftp::Address client;
  const bool too_many = shared_->clients.with([&](gateway::ClientTable& table) {
    client = client_->key;
    return table.login_failed(*client_, user, now, limits);
  });
  if (!too_many) return is_banned(*shared_, client, now);
  shared_->metrics.limit_hit(Limit::FailedLogins);
  const ftp::Cidr network = gateway::client_network(client, limits);
  const auto bans = shared_->bans.with([&](gateway::BanList& list) {
    if (!list.holds(client, now)) {
      list.add(network, now + limits.ban_time, "too many failed logins", gateway::BanList::By::Gateway);
    }
    return list.size();
  });
  shared_->has_bans = true;
  shared_->metrics.bans(bans);
  observe::log(config::LogLevel::Warn, "client banned for failed logins",
               {{"network", network.text()}, {"for", config::write_duration(limits.ban_time)}});
  return true;
}

}  // namespace pasvgate::server
