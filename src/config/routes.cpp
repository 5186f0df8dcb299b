// The values of routes: globs, and the hosts that logins may lead to.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/issue.h"
#include "config/value.h"

namespace pasvgate::config {
namespace {

/// A DNS name with `*` and `?`, in lower case. "10.0.0.*" isn't one: it means addresses, but holds for names as
/// 10.0.0.example.com, which lead anywhere.
std::optional<std::string> host_glob(std::string_view text) {
  const bool has_digit = text.find_first_of("0123456789") != std::string_view::npos;
  if (has_digit && text.find_first_not_of("0123456789.*?") == std::string_view::npos) return std::nullopt;
  std::string glob;
  for (const char byte : text) {
    const char lower = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
    const bool is_allowed =
        (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || std::string_view("-.*?").contains(lower);
    if (!is_allowed) return std::nullopt;
    glob += lower;
  }
  return glob.empty() ? std::nullopt : std::optional(glob);
}

std::optional<UserHost> parse_user_host(std::string_view text) {
  const auto [host, port_text] = split_host(text);
  UserHost entry{.host = {}, .network = ftp::Cidr::parse(host)};
  if (!entry.network) {
    const auto glob = host_glob(host);
    if (!glob || text.starts_with('[')) return std::nullopt;
    entry.host = *glob;
  }
  if (port_text) {
    const auto port = ftp::parse_decimal(*port_text, 65535);
    if (!port || *port == 0) return std::nullopt;
    entry.port = static_cast<std::uint16_t>(*port);
  }
  return entry;
}

}  // namespace

void read_value(const Value& value, std::vector<std::string>& into) {
  if (value.found.is_null() && value.row.fallback == "null") return into.clear();
  if (!value.found.is_array()) return value.fail_type("list of patterns");
  if (value.found.empty()) return value.fail("an empty list matches nobody; write " + allowed(value.row));
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) {
    const Value one = value.element(i);
    if (one.found.is_string() && !one.found.get_ref<const std::string&>().empty()) {
      into.push_back(one.found.get<std::string>());
    } else {
      one.fail(found_text(one.found) + R"( is no pattern; write a text, in which * and ? stand for others)");
    }
  }
}

void read_value(const Value& value, std::vector<UserHost>& into) {
  if (!value.found.is_array()) return value.fail_type("list of hosts");
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) {
    const Value one = value.element(i);
    const auto entry = one.found.is_string() ? parse_user_host(one.found.get_ref<const std::string&>()) : std::nullopt;
    if (entry) {
      into.push_back(*entry);
    } else {
      one.fail(found_text(one.found) +
               R"( is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")");
    }
  }
}

}  // namespace pasvgate::config
