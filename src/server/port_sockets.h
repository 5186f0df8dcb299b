#pragma once

#include <cstddef>
#include <vector>

#include "ftp/address.h"
#include "net/socket.h"

namespace pasvgate::server {

/// The sockets of the port pool: every port of the range on every address that has a listener, bound from the start, so
/// that nobody else gets the port, and listening only while a lease waits (design §5). A port's sockets are opened and
/// closed only by the worker that owns it (PortPool::owner).
class PortSockets {
 public:
  /// The errors of all ports that are taken.
  static std::expected<PortSockets, std::vector<net::Error>> reserve(const ftp::PortRange& range,
                                                                     const std::vector<ftp::Address>& addresses);

  [[nodiscard]] const std::vector<net::Fd>& at(std::size_t index) const { return ports_[index]; }
  [[nodiscard]] std::size_t size() const { return ports_.size(); }

 private:
  std::vector<std::vector<net::Fd>> ports_;  ///< By index in the range, then by address.
};

}  // namespace pasvgate::server
