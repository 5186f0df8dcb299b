#include "gateway/route.h"

#include <algorithm>
#include <utility>

#include "config/read.h"

namespace pasvgate::gateway {
namespace {

enum class Holds : std::uint8_t { No, Yes, Unknown };

char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte; }

Holds asks(const std::vector<std::string>& globs, const std::optional<std::string_view>& fact, Case letters) {
  if (globs.empty()) return Holds::Yes;
  if (!fact) return Holds::Unknown;
  const bool any = !fact->empty() && std::ranges::any_of(globs, [&](const std::string& glob) {
    return matches_glob(glob, *fact, letters);
  });
  return any ? Holds::Yes : Holds::No;
}

Holds asks(const std::vector<ftp::Cidr>& networks, const ftp::Address& client) {
  const bool any = networks.empty() ||
                   std::ranges::any_of(networks, [&](const ftp::Cidr& network) { return network.contains(client); });
  return any ? Holds::Yes : Holds::No;
}

Holds holds(const config::Route& route, const Facts& facts) {
  const auto all = {asks(route.clients, facts.client), asks(route.sni, facts.server_name, Case::Ignored),
                    asks(route.certificate_subject, facts.certificate_subject, Case::Ignored),
                    asks(route.host, facts.host, Case::Ignored), asks(route.user, facts.user, Case::Counts)};
  if (std::ranges::find(all, Holds::No) != all.end()) return Holds::No;
  return std::ranges::find(all, Holds::Unknown) != all.end() ? Holds::Unknown : Holds::Yes;
}

bool has_name(const config::UserHost& entry, const config::HostPort& asked) {
  return !entry.network && !asked.address && entry.port == asked.port &&
         matches_glob(entry.host, asked.host, Case::Ignored);
}

/// Nothing that it may resolve to is known yet.
bool may_be_asked(const std::vector<config::UserHost>& allowed, const config::HostPort& asked) {
  if (asked.address) return may_reach(allowed, asked, *asked.address);
  return std::ranges::any_of(allowed, [&](const config::UserHost& entry) {
    return has_name(entry, asked) || (entry.network && entry.port == asked.port);
  });
}

Verdict to_host(const config::Listener& rules, std::string_view user, std::size_t at) {
  auto asked = config::parse_server(user.substr(at + 1));
  if (at == 0 || !asked || !may_be_asked(rules.user_hosts, *asked)) return {.kind = Verdict::Kind::Refused};
  std::ranges::transform(asked->host, asked->host.begin(), lower);
  return {.target = {rules.backend, std::move(asked)}, .policy = &rules.policy, .user = user.substr(0, at)};
}

}  // namespace

Verdict decide(const config::Listener& rules, const Facts& facts) {
  const std::string_view user = facts.user.value_or(std::string_view{});
  const auto to = [&](const std::string& backend, const config::Policy& policy) -> Verdict {
    if (!facts.user && rules.by_user.contains(backend)) return {.kind = Verdict::Kind::NeedsMore};
    return {.target = {backend, std::nullopt}, .policy = &policy, .user = user};
  };
  for (const auto& route : rules.routes) {
    const Holds found = holds(route, facts);
    if (found == Holds::Unknown) return {.kind = Verdict::Kind::NeedsMore};
    if (found == Holds::Yes) return to(route.backend, route.policy);
  }
  const bool has_users = rules.users && !rules.users->empty();
  if (!facts.user && (has_users || !rules.user_hosts.empty())) return {.kind = Verdict::Kind::NeedsMore};
  if (has_users) {
    const auto mapped = rules.users->find(user);
    if (mapped != rules.users->end()) return to(mapped->second, rules.policy);
  }
  const std::size_t at = user.rfind('@');
  if (!rules.user_hosts.empty() && at != std::string_view::npos) return to_host(rules, user, at);
  return to(rules.backend, rules.policy);
}

bool may_reach(const std::vector<config::UserHost>& allowed, const config::HostPort& asked, const ftp::Address& at) {
  // To the kernel it is this machine itself.
  if (at.is_unspecified()) return false;
  return std::ranges::any_of(allowed, [&](const config::UserHost& entry) {
    return has_name(entry, asked) || (entry.network && entry.port == asked.port && entry.network->contains(at));
  });
}

std::string user_key(const Target& target, std::string_view user) {
  if (!target.host) return std::string(user);
  std::string_view host = target.host->host;
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string at = target.host->address ? target.host->address->text() : std::string(host);
  // A line's end is in no name, so that no other name at this backend is the same.
  return std::string(user.substr(0, user.rfind('@'))).append("\n").append(at) + ":" + std::to_string(target.host->port);
}

bool matches_glob(std::string_view glob, std::string_view text, Case letters) {
  const auto same = [&](char one, char other) {
    return letters == Case::Counts ? one == other : lower(one) == lower(other);
  };
  // Where the last `*` stands, and the text that it has taken so far: it takes one byte more when the rest fails.
  std::size_t star = std::string_view::npos;
  std::size_t taken = 0;
  std::size_t at = 0;
  std::size_t here = 0;
  while (here < text.size()) {
    if (at < glob.size() && glob[at] == '*') {
      star = at++;
      taken = here;
    } else if (at < glob.size() && (glob[at] == '?' || same(glob[at], text[here]))) {
      ++at;
      ++here;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      here = ++taken;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace pasvgate::gateway
