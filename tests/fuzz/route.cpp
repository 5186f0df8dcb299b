#include "gateway/route.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "config/read.h"
#include "ftp/command.h"
#include "gateway/foreign.h"
#include "require.h"

// Where logins lead, for whatever HOST, USER and TLS say; and the files that say so.
using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

/// Takes a line off the front.
std::string_view cut(std::string_view& bytes) {
  const auto end = std::min(bytes.find('\n'), bytes.size());
  const auto line = bytes.substr(0, end);
  bytes.remove_prefix(std::min(end + 1, bytes.size()));
  return line;
}

config::Listener listener(std::string_view glob) {
  config::Listener made;
  made.routes = {{.user = {"anna", "web-*"}, .backend = "one"},
                 {.host = {"two.*"}, .clients = {*ftp::Cidr::parse("192.0.2.0/24")}, .backend = "two"},
                 {.sni = {std::string(glob)}, .backend = "three"},
                 {.user = {std::string(glob)}, .certificate_subject = {"*b*"}, .backend = "four"}};
  made.users = std::make_shared<const config::UserMap>(config::UserMap{{"carl", "five"}});
  made.user_hosts = {{.host = "*.internal"},
                     {.host = "exact.example", .port = 2121},
                     {.host = {}, .network = ftp::Cidr::parse("10.0.0.0/8")},
                     {.host = {}, .network = ftp::Cidr::parse("2001:db8::/32"), .port = 990}};
  return made;
}

void check_decided(const config::Listener& rules, const Facts& facts, const Verdict& verdict) {
  const std::string_view user = facts.user.value_or("");
  require(user.starts_with(verdict.user));
  if (verdict.kind == Verdict::Kind::Refused) {
    require(user.find('@') != std::string_view::npos);
    return;
  }
  require(verdict.target.backend.size() >= 3);
  const auto& host = verdict.target.host;
  if (!host) return;
  // Nobody gets to a host or a port that isn't in the list.
  require(user.size() > verdict.user.size() && user[verdict.user.size()] == '@');
  require(std::ranges::any_of(rules.user_hosts, [&](const auto& allowed) { return allowed.port == host->port; }));
  if (host->address) require(may_reach(rules.user_hosts, *host, *host->address));
  for (const char* outside : {"192.0.2.1", "127.0.0.1", "::1", "169.254.169.254"}) {
    const auto address = *ftp::Address::parse(outside);
    const bool is_listed = matches_glob("*.internal", host->host, Case::Ignored) ||
                           matches_glob("exact.example", host->host, Case::Ignored);
    require(is_listed || !may_reach(rules.user_hosts, *host, address));
  }
}

void check_facts(const config::Listener& rules, std::string_view name, std::string_view host, std::string_view user) {
  Facts facts{.client = ftp::Address::v4({192, 0, 2, 1})};
  for (auto* fact : {&facts.server_name, &facts.certificate_subject, &facts.host, &facts.user}) {
    const Verdict before = decide(rules, facts);
    *fact = fact == &facts.host ? host : fact == &facts.user ? user : name;
    const Verdict now = decide(rules, facts);
    // What was decided without a fact stays so with it.
    if (before.kind == Verdict::Kind::Decided) {
      require(now.kind == Verdict::Kind::Decided && now.target == before.target);
    }
  }
  const Verdict last = decide(rules, facts);
  require(last.kind != Verdict::Kind::NeedsMore);
  check_decided(rules, facts, last);
}

/// The same by its definition; for short texts only.
bool holds(std::string_view glob, std::string_view text) {
  if (glob.empty()) return text.empty();
  if (glob.front() == '*') return holds(glob.substr(1), text) || (!text.empty() && holds(glob, text.substr(1)));
  if (text.empty()) return false;
  return (glob.front() == '?' || glob.front() == text.front()) && holds(glob.substr(1), text.substr(1));
}

void check_files(std::string_view bytes) {
  const config::Files files = [&](const std::string&) -> std::expected<std::string, std::string> {
    return std::string(bytes);
  };
  for (const std::string_view key : {"user_map", "routes_file"}) {
    const std::string text =
        R"({"listeners":[{"address":"127.0.0.1:2121",")" + std::string(key) +
        R"(":"f"}],"backends":{"default":{"servers":["10.0.0.1"]},"one":{"servers":["10.0.0.2"]}}})";
    const auto read = config::read_json(text, {}, files);
    if (!read) {
      for (const auto& issue : read.error()) {
        for (const char byte : describe(issue, "f")) require(static_cast<unsigned char>(byte) >= 0x20);
      }
      continue;
    }
    const auto& made = read->listeners.at(0);
    for (const auto& route : made.routes) require(read->backends.contains(route.backend));
    if (!made.users) continue;
    for (const auto& [user, backend] : *made.users) require(!user.empty() && read->backends.contains(backend));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string_view rest = bytes;
  const auto glob = cut(rest);
  const auto name = cut(rest);
  const auto host = cut(rest);
  const auto user = cut(rest);
  check_facts(listener(glob), name, host, user);
  if (glob.size() <= 10 && name.size() <= 16) {
    require(matches_glob(glob, name, Case::Counts) == holds(glob, name));
    require(matches_glob(name, name, Case::Ignored));
  }
  // What is FTP's is nobody else's.
  const auto command = ftp::Command::parse(user);
  require(command.verb == ftp::Verb::Other || !is_foreign(command));
  check_files(bytes);
  return 0;
}
