#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/config.h"
#include "ftp/address.h"

namespace pasvgate::gateway {

/// The last good answer for a DNS name, IPv4 only; nothing when it never resolved.
using ResolvedName = std::function<std::optional<ftp::Address>(const std::string& name)>;

/// The IPv4 address that this client is told in 227 (design §5): the first rule whose networks hold `client`, the
/// configured address or name, and by default `dialled`, the address that the client itself connected to. Nothing when
/// there is no IPv4 address for it: the client has to use EPSV. (A 229 holds no address at all, RFC 2428 §3.)
std::optional<ftp::Address> advertised_address(const config::Advertise& settings, const ftp::Address& client,
                                               const ftp::Address& dialled, const ResolvedName& resolved);

}  // namespace pasvgate::gateway
