// Where a server is and what a client is told: the values that may be an address or a DNS name.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "config/issue.h"
#include "config/object.h"
#include "config/value.h"

namespace pasvgate::config {
namespace {

constexpr std::size_t kLongestDnsName = 253;  // RFC 1035 §2.3.4, without the length octets.
constexpr std::size_t kLongestLabel = 63;

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

bool is_letter_or_digit(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= kLongestLabel && is_letter_or_digit(text.front()) &&
         is_letter_or_digit(text.back()) &&
         std::ranges::all_of(text, [](char byte) { return byte == '-' || is_letter_or_digit(byte); });
}

}  // namespace

void read_value(const Value& value, HostPort& into) {
  constexpr std::string_view kHint = R"(; write ADDRESS:PORT or NAME:PORT, as in "192.168.1.10:21" or "ftp.internal")";
  const auto server = value.found.is_string() ? parse_server(value.found.get_ref<const std::string&>()) : std::nullopt;
  if (!server) return value.fail(found_text(value.found) + " is no server" + std::string(kHint));
  if (server->address && server->address->is_unspecified()) {
    return value.fail(found_text(value.found) + " is the unspecified address, where no server is" + std::string(kHint));
  }
  into = *server;
}

namespace {

/// As text, or as an object that says more.
Server read_server(const Value& value) {
  Server server;
  if (!value.found.is_object()) {
    read_value(value, server.at);
    return server;
  }
  const Object object(value.found, value.where, "/backends/*/servers/*", value.issues);
  object.read("address", server.at);
  object.read("weight", server.weight);
  object.read("max_sessions", server.max_sessions);
  object.read("backup", server.backup);
  return server;
}

/// Whether the address was good; the issue is told.
bool add_address(const Value& value, const ftp::Address& address, Advertised& into) {
  const std::string found = found_text(value.found);
  if (address.is_unspecified()) {
    value.fail(found +
               R"( is the unspecified address, which no client can reach; write the public one, as in "203.0.113.10")");
    return false;
  }
  const bool is_v4 = address.family() == ftp::Family::V4;
  auto& slot = is_v4 ? into.v4 : into.v6;
  if (slot) {
    value.fail(found + " is a second " + (is_v4 ? "IPv4" : "IPv6") + " address; write at most one of each family");
    return false;
  }
  slot = address;
  return true;
}

void read_address_or_name(const Value& value, Advertised& into) {
  const std::string* const text = value.text("address or DNS name");
  if (text == nullptr) return;
  if (const auto address = ftp::Address::parse(*text)) {
    add_address(value, *address, into);
  } else if (is_dns_name(*text)) {
    into.name = *text;
  } else {
    value.fail_type("address or DNS name");
  }
}

void read_address(const Value& value, Advertised& into) {
  const auto address =
      value.found.is_string() ? ftp::Address::parse(value.found.get_ref<const std::string&>()) : std::nullopt;
  if (address) {
    add_address(value, *address, into);
  } else {
    value.fail(found_text(value.found) + " is no address; a list holds one of each family, a DNS name stands alone");
  }
}

}  // namespace

HostAndPort split_host(std::string_view text) {
  const std::size_t bracket = text.find(']');
  if (text.starts_with('[') && bracket != std::string_view::npos) {
    const std::string_view rest = text.substr(bracket + 1);
    if (rest.empty()) return {text.substr(1, bracket - 1), std::nullopt};
    if (rest.front() == ':') return {text.substr(1, bracket - 1), rest.substr(1)};
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon != text.rfind(':')) return {text, std::nullopt};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::optional<HostPort> parse_server(std::string_view text) {
  const auto [host, port_text] = split_host(text);
  HostPort server{.host = std::string(host), .address = ftp::Address::parse(host)};
  const bool has_brackets = text.starts_with('[');
  if (server.address ? has_brackets && !host.contains(':') : has_brackets || !is_dns_name(host)) return std::nullopt;
  if (port_text) {
    const auto port = ftp::parse_decimal(*port_text, 65535);
    if (!port || *port == 0) return std::nullopt;
    server.port = static_cast<std::uint16_t>(*port);
  }
  return server;
}

bool is_dns_name(std::string_view text) {
  // The dot at the end means that no search domain is tried.
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kLongestDnsName) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (!is_label(label)) return false;
    if (dot == std::string_view::npos) return !std::ranges::all_of(label, is_digit);
    text.remove_prefix(dot + 1);
  }
}

void read_value(const Value& value, std::vector<Server>& into) {
  if (!value.found.is_array()) return value.fail_type("list of servers");
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) into.push_back(read_server(value.element(i)));
}

void read_value(const Value& value, Advertised& into) {
  Advertised read;
  if (value.found.is_array() && !value.found.empty()) {
    for (std::size_t i = 0; i < value.found.size(); ++i) read_address(value.element(i), read);
  } else if (!value.found.is_null() || value.row.fallback != "null") {
    read_address_or_name(value, read);
  }
  into = read;
}

}  // namespace pasvgate::config
