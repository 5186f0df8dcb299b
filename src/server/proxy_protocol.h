#pragma once

#include <string>

#include "config/config.h"
#include "net/proxy_header.h"

namespace pasvgate::server {

/// The header that a backend wants first (`proxy_protocol`); empty when it wants none.
inline std::string proxy_header(config::ProxyProtocol version, const net::ProxyHeader::Addresses& addresses) {
  if (version == config::ProxyProtocol::Off) return {};
  const bool is_v1 = version == config::ProxyProtocol::V1;
  return net::write_proxy_header(is_v1 ? net::ProxyVersion::V1 : net::ProxyVersion::V2, addresses);
}

/// The same for a connection of the gateway's own, which no client stands behind: a health check.
inline std::string own_proxy_header(config::ProxyProtocol version) {
  if (version == config::ProxyProtocol::Off) return {};
  const bool is_v1 = version == config::ProxyProtocol::V1;
  return net::write_local_proxy_header(is_v1 ? net::ProxyVersion::V1 : net::ProxyVersion::V2);
}

}  // namespace pasvgate::server
