#include "server/port_sockets.h"

namespace pasvgate::server {
namespace {

/// SO_REUSEADDR lets two bind to a port as long as neither listens: only listening shows that it is ours alone.
net::Result<net::Fd> reserve_port(const ftp::Endpoint& at) {
  auto socket = net::bind_tcp(at, net::Share::Alone);
  if (!socket) return socket;
  if (const auto listening = net::start_listening(*socket, 1); !listening) return std::unexpected(listening.error());
  net::stop_listening(*socket);
  net::keep_port(*socket);
  net::tune_data(*socket);
  return socket;
}

}  // namespace

std::expected<PortSockets, std::vector<net::Error>> PortSockets::reserve(const ftp::PortRange& range,
                                                                         const std::vector<ftp::Address>& addresses) {
  PortSockets sockets;
  std::vector<net::Error> errors;
  for (unsigned port = range.low; port <= range.high; ++port) {
    auto& here = sockets.ports_.emplace_back();
    for (const auto& address : addresses) {
      auto socket = reserve_port({address, static_cast<std::uint16_t>(port)});
      if (socket) {
        here.push_back(std::move(*socket));
      } else {
        errors.push_back(socket.error());
      }
    }
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return sockets;
}

}  // namespace pasvgate::server
