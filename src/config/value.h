#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/keys.h"
#include "config/read.h"

namespace pasvgate::config {

/// One value as it was found, with its key's row. Lives for one call of read_value.
struct Value {
  const nlohmann::json& found;
  const KeyRow& row;
  std::string where;
  Issues& issues;

  void fail(std::string message) const { issues.push_back({where, std::move(message)}); }
  /// `"abc" is no duration; write a time from …`
  void fail_type(std::string_view noun) const;
  /// The value as text, or nothing and an issue.
  [[nodiscard]] const std::string* text(std::string_view noun) const;
  /// One element of a list. Elements of a flag stay at the flag's name.
  [[nodiscard]] Value element(std::size_t index) const;
};

// Each stores the value, or leaves `into` as it is and adds the issue.
void read_value(const Value& value, unsigned& into);
void read_value(const Value& value, std::uint16_t& into);
void read_value(const Value& value, std::size_t& into);
void read_value(const Value& value, bool& into);
void read_value(const Value& value, std::optional<bool>& into);
void read_value(const Value& value, Milliseconds& into);
void read_value(const Value& value, std::string& into);
void read_value(const Value& value, std::optional<std::string>& into);
void read_value(const Value& value, ClientTls& into);
void read_value(const Value& value, BackendTls& into);
void read_value(const Value& value, TlsVersion& into);
void read_value(const Value& value, Strategy& into);
void read_value(const Value& value, HealthCheck& into);
void read_value(const Value& value, ProxyProtocol& into);
void read_value(const Value& value, ListenerMode& into);
void read_value(const Value& value, PortMapping& into);
void read_value(const Value& value, DataMode& into);
void read_value(const Value& value, DataAddress& into);
void read_value(const Value& value, LogFormat& into);
void read_value(const Value& value, LogLevel& into);
void read_value(const Value& value, LogTarget& into);
void read_value(const Value& value, TransferFormat& into);
void read_value(const Value& value, ftp::Endpoint& into);
void read_value(const Value& value, std::optional<ftp::Endpoint>& into);
void read_value(const Value& value, ftp::PortRange& into);
void read_value(const Value& value, std::optional<ftp::PortRange>& into);
void read_value(const Value& value, std::optional<std::uint16_t>& into);  ///< A slice's index.
void read_value(const Value& value, std::vector<std::uint16_t>& into);
void read_value(const Value& value, DataSource& into);
void read_value(const Value& value, std::vector<ftp::Cidr>& into);
void read_value(const Value& value, HostPort& into);
void read_value(const Value& value, std::vector<Server>& into);
void read_value(const Value& value, std::vector<std::string>& into);  ///< Globs.
void read_value(const Value& value, std::vector<UserHost>& into);
void read_value(const Value& value, Advertised& into);
void read_value(const Value& value, std::vector<CommandName>& into);

/// A name of a listener or backend: a metrics label, so its letters are few.
bool is_name(std::string_view text);

/// A DNS name by its form: labels of letters, digits and inner hyphens, the last one not a number, as an address is
/// none.
bool is_dns_name(std::string_view text);

/// "[2001:db8::1]:21", "2001:db8::1", "ftp.internal:21" and so on, in two. Two colons without brackets are an address.
struct HostAndPort {
  std::string_view host;
  std::optional<std::string_view> port;
};
HostAndPort split_host(std::string_view text);

}  // namespace pasvgate::config
