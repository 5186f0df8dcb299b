#pragma once

#include <expected>
#include <string_view>

#include "config/config.h"
#include "net/socket.h"

namespace pasvgate::server {

/// Where the client of a transparent listener was going, or why it may not go there.
struct RefusedDestination {
  ftp::Endpoint to;
  std::string_view why;
};
/// A connection there would come back to a listener of ours, and again.
bool is_own_listener(const ftp::Endpoint& to, const config::Config& config);
std::expected<ftp::Endpoint, RefusedDestination> destination_of(const net::Fd& client, const config::Listener& listener,
                                                                const config::Config& config);

}  // namespace pasvgate::server
