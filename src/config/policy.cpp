#include "config/policy.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "config/issue.h"
#include "config/value.h"
#include "ftp/command.h"

namespace pasvgate::config {
namespace {

bool is_word(std::string_view text) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.@";
  return !text.empty() && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::optional<CommandName> parse_command_name(std::string_view text) {
  const std::size_t blank = text.find(' ');
  const std::string_view verb = text.substr(0, blank);
  const std::string_view word = blank == std::string_view::npos ? "" : text.substr(blank + 1);
  if (!is_word(verb) || (blank != std::string_view::npos && !is_word(word))) return std::nullopt;
  // A word of an argument has no other names: only its letters become upper case.
  std::string upper = ftp::canonical_verb("." + std::string(word));
  return CommandName{ftp::canonical_verb(verb), upper.erase(0, 1)};
}

/// Without which nobody gets in or out.
std::vector<std::string_view> needed(const Listener& listener) {
  std::vector<std::string_view> verbs{"USER", "PASS", "QUIT"};
  if (listener.tls == ClientTls::Required) verbs.emplace_back("AUTH");
  return verbs;
}

}  // namespace

bool lists(const std::vector<CommandName>& names, std::string_view verb, std::string_view word) {
  return std::ranges::any_of(
      names, [&](const CommandName& name) { return name.verb == verb && (name.word.empty() || name.word == word); });
}

Issues policy_issues(const Policy& policy, const Listener& listener, const std::string& pointer) {
  Issues issues;
  for (const std::string_view verb : needed(listener)) {
    const std::string without = "without " + in_quotes(verb) + " the gateway is of no use";
    if (!policy.commands.empty() && !lists(policy.commands, verb, "")) {
      issues.push_back({pointer + "/commands", without + "; add it"});
    }
    if (lists(policy.denied_commands, verb, "")) {
      issues.push_back({pointer + "/denied_commands", without + "; take it out"});
    }
  }
  if (listener.tls == ClientTls::Passthrough && policy.limits_commands()) {
    issues.push_back({pointer, R"(refuses commands, which can't be seen where tls is "passthrough"; allow all there)"});
  }
  return issues;
}

Issues policy_issues(const Route& route, const Listener& listener, const std::string& pointer) {
  Issues issues = policy_issues(route.policy, listener, pointer);
  if (route.policy.clients != listener.policy.clients ||
      route.policy.denied_clients != listener.policy.denied_clients) {
    issues.push_back({pointer,
                      "clients and denied_clients are asked before there is a route; write them in the "
                      "listener's policy, or clients in the route itself"});
  }
  return issues;
}

std::vector<ftp::Cidr> private_networks() {
  std::vector<ftp::Cidr> networks;
  // RFC 1918, RFC 6598, RFC 4193, loopback and link-local.
  for (const std::string_view text : {"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
                                      "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"}) {
    if (const auto network = ftp::Cidr::parse(text)) networks.push_back(*network);
  }
  return networks;
}

void read_value(const Value& value, std::vector<CommandName>& into) {
  if (!value.found.is_array()) return value.fail_type("list of commands");
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) {
    const Value one = value.element(i);
    auto name = one.found.is_string() ? parse_command_name(one.found.get_ref<const std::string&>()) : std::nullopt;
    if (name) {
      into.push_back(*std::move(name));
    } else {
      one.fail(found_text(one.found) + R"( is no command; write its name, or that and a word, as in "SITE CHMOD")");
    }
  }
}

}  // namespace pasvgate::config
