#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "ftp/address.h"

/// The header with which a proxy begins a TCP connection, to tell whose it is: HAProxy's PROXY protocol, version 1 (a
/// line of text) and 2 (binary). Bytes in, values out: no socket.
namespace pasvgate::net {

enum class ProxyVersion : std::uint8_t { V1, V2 };

struct ProxyHeader {
  struct Addresses {
    ftp::Endpoint source;       ///< The client.
    ftp::Endpoint destination;  ///< What it dialled.
    bool operator==(const Addresses&) const = default;
  };
  std::size_t length = 0;  ///< In bytes; what is behind them belongs to the connection.
  /// Nothing where the connection's own addresses count: the proxy speaks for itself (LOCAL), knows no better (UNKNOWN,
  /// UNSPEC), or tells of something that isn't TCP.
  std::optional<Addresses> addresses;
  bool operator==(const ProxyHeader&) const = default;
};

/// Longer ones are malformed. The protocol allows 64 KiB; what is known to be sent, a client's certificate among it, is
/// far below this.
constexpr std::size_t kMaxProxyHeader = 4096;

/// The header at the beginning of `bytes`. Nothing: more bytes are needed, and all that are there are the header's. The
/// error says what is wrong and holds nothing of the peer's.
std::expected<std::optional<ProxyHeader>, std::string_view> read_proxy_header(std::string_view bytes);

/// Version 2 carries a CRC32c. Addresses of different families are both told as IPv6 (RFC 4291 §2.5.5.2).
std::string write_proxy_header(ProxyVersion version, const ProxyHeader::Addresses& addresses);
/// For connections of our own, as a health check: LOCAL in version 2, UNKNOWN in version 1.
std::string write_local_proxy_header(ProxyVersion version);

}  // namespace pasvgate::net
