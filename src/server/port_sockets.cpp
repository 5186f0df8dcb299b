#include "server/port_sockets.h"

namespace pasvgate::server {

std::expected<PortSockets, std::vector<net::Error>> PortSockets::reserve(const ftp::PortRange& range,
                                                                         const std::vector<ftp::Address>& addresses) {
  PortSockets sockets;
  std::vector<net::Error> errors;
  for (unsigned port = range.low; port <= range.high; ++port) {
    auto& here = sockets.ports_.emplace_back();
    for (const auto& address : addresses) {
      auto socket = net::bind_tcp({address, static_cast<std::uint16_t>(port)}, net::Share::Alone);
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
