#include "config/keys.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "config/issue.h"
#include "config/read.h"

namespace pasvgate::config {

const KeyRow& key_row(std::string_view pointer) {
  const auto& rows = key_rows();
  const auto row = std::ranges::find(rows, pointer, &KeyRow::pointer);
  assert(row != rows.end());
  return *row;
}

std::vector<std::string_view> names_below(std::string_view pattern) {
  std::vector<std::string_view> names;
  for (const KeyRow& row : key_rows()) {
    if (!row.pointer.starts_with(pattern) || row.pointer.substr(pattern.size(), 1) != "/") continue;
    const std::string_view rest = row.pointer.substr(pattern.size() + 1);
    const std::string_view name = rest.substr(0, rest.find('/'));
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::Integer:
      return "integer";
    case Kind::Boolean:
      return "boolean";
    case Kind::Duration:
      return "duration";
    case Kind::Choice:
      return "choice";
    case Kind::Name:
      return "name";
    case Kind::Endpoint:
      return "endpoint";
    case Kind::EndpointOrOff:
      return "endpoint or \"off\"";
    case Kind::Servers:
      return "list of servers";
    case Kind::Server:
      return "server";
    case Kind::Networks:
      return "list of networks";
    case Kind::Globs:
      return "list of patterns";
    case Kind::UserHosts:
      return "list of hosts";
    case Kind::Advertised:
      return "addresses or name";
    case Kind::PortRange:
      return "port range";
    case Kind::Ports:
      return "list of ports";
    case Kind::SliceIndex:
      return "integer or \"hostname\"";
    case Kind::DataSource:
      return "data source";
    case Kind::Commands:
      return "list of commands";
    case Kind::Policy:
      return "policy";
    case Kind::Text:
      return "text";
    case Kind::Objects:
      return "list of objects";
    case Kind::NamedObjects:
      return "objects by name";
  }
  std::unreachable();
}

std::string allowed(const KeyRow& row) {
  switch (row.kind) {
    case Kind::Integer:
      return "a whole number from " + std::to_string(row.low) + " to " + std::to_string(row.high);
    case Kind::Boolean:
      return "true or false";
    case Kind::Duration:
      return "a time from " + write_duration(Milliseconds(row.low)) + " to " + write_duration(Milliseconds(row.high)) +
             R"(, as in "500ms", "30s", "5m" or "1h")";
    case Kind::Choice:
      return quoted_list(row.choices, "or");
    case Kind::Name:
      return R"(1 to 64 letters, digits, ".", "-" and "_")";
    case Kind::Endpoint:
      return R"(ADDRESS:PORT, as in "0.0.0.0:21" or "[::]:21")";
    case Kind::EndpointOrOff:
      return R"(ADDRESS:PORT, as in "127.0.0.1:9121", or "off")";
    case Kind::Servers:
      return R"(a list of addresses or DNS names, as in ["192.168.1.10:21", "ftp.internal"])";
    case Kind::Server:
      return R"(ADDRESS:PORT or NAME:PORT, as in "192.168.1.10:21" or "ftp.internal")";
    case Kind::Networks:
      return R"(a list of networks, as in ["10.0.0.0/8", "2001:db8::/32"])";
    case Kind::Globs:
      return R"(a list of patterns, as in ["alice", "web-*"])";
    case Kind::UserHosts:
      return R"(a list of hosts and networks, as in ["ftp.internal", "*.example.com:2121", "10.0.0.0/8"])";
    case Kind::Advertised:
      return R"(an address, one of each family in a list, or a DNS name, as in "203.0.113.10")";
    case Kind::PortRange:
      return R"(LOW-HIGH with ports from 1 to 65535, as in "50000-50099")";
    case Kind::Ports:
      return "a list of ports from 1 to 65535, as in [21, 2121]";
    case Kind::SliceIndex:
      return "a whole number from " + std::to_string(row.low) + " to " + std::to_string(row.high) +
             R"(, or "hostname")";
    case Kind::DataSource:
      return R"("exact", "any", a prefix length as "/24", or one a family as "/24,/64")";
    case Kind::Commands:
      return R"(a list of commands, as in ["DELE", "SITE CHMOD"])";
    case Kind::Policy:
      return R"(an object with keys of policy, as in {"read_only": true})";
    case Kind::Text:
      return "a text that isn't empty";
    case Kind::Objects:
      return "a list of objects";
    case Kind::NamedObjects:
      return "an object of objects by name";
  }
  std::unreachable();
}

const std::vector<Key>& keys() {
  static const std::vector<Key> all = [] {
    std::vector<Key> made;
    for (const KeyRow& row : key_rows()) {
      made.push_back({std::string(row.pointer), std::string(type_name(row.kind)), std::string(row.fallback),
                      std::string(row.description)});
    }
    return made;
  }();
  return all;
}

}  // namespace pasvgate::config
