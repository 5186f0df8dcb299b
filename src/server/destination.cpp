#include "server/destination.h"

#include <algorithm>

namespace pasvgate::server {
namespace {

/// A connection there would come back to us, and again.
bool is_transparent_listener(const ftp::Endpoint& to, const config::Config& config) {
  return std::ranges::any_of(config.listeners, [&](const config::Listener& listener) {
    const auto& [address, port] = listener.address;
    if (listener.mode != config::ListenerMode::Transparent || port != to.port) return false;
    if (address.is_unspecified()) return address.family() == to.address.family() && net::is_own(to.address);
    return address == to.address;
  });
}

}  // namespace

bool is_own_listener(const ftp::Endpoint& to, const config::Config& config) {
  const auto& told = config.advertise.address;
  const bool is_ours = to.address == told.v4 || to.address == told.v6 || net::is_own(to.address);
  return is_ours && std::ranges::any_of(config.listeners, [&](const config::Listener& listener) {
           return listener.address.port == to.port;
         });
}

std::expected<ftp::Endpoint, RefusedDestination> destination_of(const net::Fd& client, const config::Listener& listener,
                                                                const config::Config& config) {
  const auto to = net::original_destination(client);
  if (!to) return std::unexpected(RefusedDestination{{}, "the connection is gone"});
  const auto refused = [&](std::string_view why) { return std::unexpected(RefusedDestination{*to, why}); };
  if (is_transparent_listener(*to, config)) return refused("it is the gateway itself");
  if (!ftp::holds(listener.destinations, to->address)) return refused("its address isn't in destinations");
  const auto& ports = listener.destination_ports;
  if (std::ranges::find(ports, to->port) == ports.end()) return refused("its port isn't in destination_ports");
  return *to;
}

}  // namespace pasvgate::server
