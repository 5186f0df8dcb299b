#include "server/groups.h"

#include <uv.h>

#include <algorithm>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

using gateway::ServerGroup;
using gateway::ServerState;

/// The same clock on all threads.
gateway::Instant now() { return gateway::Instant(uv_hrtime() / 1'000'000); }

void tell(const std::string& backend, const ServerGroup::Changes& changes) {
  for (const auto& change : changes) {
    using enum config::LogLevel;
    // That a server is there is what is expected.
    const bool is_new = change.from == ServerState::Gone && change.to == ServerState::Up;
    observe::log(change.to == ServerState::Down ? Warn
                 : is_new                       ? Debug
                                                : Info,
                 "server changes",
                 {{"backend", backend},
                  {"server", change.server},
                  {"from", std::string(gateway::state_name(change.from))},
                  {"to", std::string(gateway::state_name(change.to))},
                  {"why", change.why}});
  }
}

}  // namespace

ServerPlace::~ServerPlace() {
  if (groups_ == nullptr) return;
  groups_->change(*backend_, [&](ServerGroup& group, ServerGroup::Changes& changes) {
    group.released(pick_.id, changes);
    groups_->count_sessions(*backend_, group, pick_);
  });
}

void ServerPlace::connected() {
  if (groups_ == nullptr) return;
  groups_->change(*backend_,
                  [&](ServerGroup& group, ServerGroup::Changes& changes) { group.connected(pick_.id, changes); });
}

void ServerPlace::connect_failed(std::string_view why) {
  Groups* const groups = std::exchange(groups_, nullptr);
  if (groups == nullptr) return;
  groups->change(*backend_, [&](ServerGroup& group, ServerGroup::Changes& changes) {
    group.connect_failed(pick_.id, why, now(), changes);
    groups->count_sessions(*backend_, group, pick_);
  });
}

template <typename Use>
void Groups::change(const std::string& backend, Use use) {
  ServerGroup::Changes changes;
  groups_.with([&](ByName& groups) {
    const auto found = groups.find(backend);
    if (found == groups.end()) return;
    use(found->second.servers, changes);
    // Under the lock, so that the last change is the one that stays.
    measure(backend, changes);
    if (!found->second.configured && found->second.servers.is_empty()) groups.erase(found);
  });
  tell(backend, changes);
}

void Groups::measure(const std::string& backend, const ServerGroup::Changes& changes) {
  for (const auto& change : changes) {
    if (change.to == ServerState::Gone) {
      metrics_.server_gone(backend, change.server);
      continue;
    }
    metrics_.backend_up(backend, change.server, change.to == ServerState::Up);
    if (change.from == ServerState::Gone) metrics_.backend_sessions(backend, change.server, 0);
  }
}

void Groups::count_sessions(const std::string& backend, const ServerGroup& group, const ServerGroup::Pick& place) {
  if (const auto count = group.sessions(place.id)) metrics_.backend_sessions(backend, place.at.text(), *count);
}

void Groups::configure(const config::Config& config) {
  std::vector<std::string> names;
  groups_.with([&](ByName& groups) {
    for (auto& [name, group] : groups) group.configured = false;
    for (const auto& [name, backend] : config.backends) {
      groups[name].configured = true;
      groups[name].strategy = backend.strategy;
    }
    for (const auto& [name, group] : groups) names.push_back(name);
  });
  for (const auto& name : names) {
    const auto kept = config.backends.find(name);
    change(name, [&](ServerGroup& group, ServerGroup::Changes& changes) {
      group.configure(kept == config.backends.end() ? config::Backend{} : kept->second, changes);
    });
  }
}

void Groups::resolved(const std::string& backend, const std::string& name, std::span<const ftp::Address> addresses) {
  change(backend, [&](ServerGroup& group, ServerGroup::Changes& changes) { group.resolved(name, addresses, changes); });
}

std::vector<std::string> Groups::unasked(const std::string& backend) {
  return groups_.with([&](ByName& groups) {
    const auto found = groups.find(backend);
    return found == groups.end() ? std::vector<std::string>{} : found->second.servers.unasked();
  });
}

std::expected<ServerPlace, gateway::NoServer> Groups::pick(const std::string& backend, const config::Backend& settings,
                                                           const ServerGroup::Client& client,
                                                           std::span<const std::uint64_t> tried) {
  std::expected<ServerGroup::Pick, gateway::NoServer> picked = std::unexpected(gateway::NoServer::Withdrawn);
  change(backend, [&](ServerGroup& group, ServerGroup::Changes&) {
    if (!group.is_spoken_to_as(settings)) return;
    picked = group.pick(client, tried, now());
    if (picked) count_sessions(backend, group, *picked);
  });
  if (!picked) return std::unexpected(picked.error());
  return ServerPlace(*this, backend, std::move(*picked));
}

std::vector<Groups::Check> Groups::due_checks(std::size_t most) {
  return groups_.with([&](ByName& groups) {
    std::vector<Check> due;
    const auto at = now();
    // Of all groups, those first that are due for longest: where checks hang, none is left behind for good.
    while (due.size() < most) {
      const auto next = std::ranges::min_element(groups, [](const auto& one, const auto& other) {
        return one.second.servers.next_check().value_or(gateway::Instant::max()) <
               other.second.servers.next_check().value_or(gateway::Instant::max());
      });
      if (next == groups.end()) break;
      const auto checks = next->second.servers.due_checks(at, 1);
      if (checks.empty()) break;
      due.push_back({next->first, checks.front()});
    }
    return due;
  });
}

std::optional<std::chrono::milliseconds> Groups::next_check() {
  return groups_.with([](ByName& groups) {
    std::optional<gateway::Instant> next;
    for (const auto& [name, group] : groups) {
      const auto one = group.servers.next_check();
      if (one && (!next || *one < *next)) next = one;
    }
    return next ? std::optional(std::max(*next - now(), gateway::Instant(0))) : std::nullopt;
  });
}

void Groups::checked(const Check& check, std::optional<observe::Metrics::CheckResult> result, std::string_view why) {
  using enum ServerGroup::CheckResult;
  change(check.backend, [&](ServerGroup& group, ServerGroup::Changes& changes) {
    if (!group.sessions(check.check.id)) return;  // gone meanwhile, with its metrics
    if (result) metrics_.backend_check(check.backend, check.check.at.text(), *result);
    group.checked(check.check.id,
                  !result                                        ? None
                  : *result == observe::Metrics::CheckResult::Ok ? Good
                                                                 : Bad,
                  why, changes);
  });
}

bool Groups::set_state(const std::string& backend, std::string_view server, gateway::ServerOrder order) {
  bool known = false;
  change(backend,
         [&](ServerGroup& group, ServerGroup::Changes& changes) { known = group.set_state(server, order, changes); });
  return known;
}

std::vector<Groups::BackendStatus> Groups::snapshot() const {
  return groups_.with([](const ByName& groups) {
    std::vector<BackendStatus> all;
    for (const auto& [name, group] : groups) all.push_back({name, group.strategy, group.servers.servers()});
    return all;
  });
}

}  // namespace pasvgate::server
