#pragma once

#include <functional>

#include "net/loop.h"
#include "net/socket.h"

namespace pasvgate::net {

/// Listens on one port of `address`: on the first free one of `range`, from its place `first` on; with none, where the
/// kernel chooses.
Result<Fd> listen_in(const ftp::Address& address, const std::optional<ftp::PortRange>& range, std::size_t first);

/// Waits for one connection from a peer that is allowed; all others are reset. Destroying it closes the port.
class Acceptor {
 public:
  /// Whether this peer may connect.
  using Allows = std::move_only_function<bool(const ftp::Endpoint&)>;
  /// Called once at most; the Acceptor may be destroyed in it.
  using OnAccepted = std::move_only_function<void(Fd)>;
  Acceptor(Loop& loop, Fd listening, Allows allows, OnAccepted on_accepted);

 private:
  void accept();

  Fd listening_;
  Allows allows_;
  OnAccepted on_accepted_;
  Poll poll_;
  Timer pause_;
};

}  // namespace pasvgate::net
