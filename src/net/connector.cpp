#include "net/connector.h"

#include <cerrno>
#include <utility>

namespace pasvgate::net {

Connector::Connector(Loop& loop, const ftp::Endpoint& to, std::chrono::milliseconds timeout, OnDone on_done,
                     const std::optional<ftp::Endpoint>& from)
    : to_(to), timer_(loop, [this] { finish(early_.value_or(ETIMEDOUT)); }), on_done_(std::move(on_done)) {
  auto socket = connect_tcp(to, from);
  if (!socket) {
    early_ = socket.error().code;
    timer_.start(kNextTurn);
    return;
  }
  socket_ = std::move(*socket);
  // To this very machine, as in a pod, it stands before it is waited for.
  early_ = connect_result(socket_, to);
  timer_.start(early_ ? kNextTurn : timeout);
  if (early_) return;
  poll_ = Poll(loop, socket_.get(),
               [this](int status) { finish(status < 0 && status != UV_EBADF ? -status : socket_error(socket_)); });
  poll_.want(UV_WRITABLE);
}

void Connector::finish(int error) {
  timer_.close();
  poll_.close();
  if (error != 0) socket_.close();  // or the kernel would go on trying
  // The owner may destroy us in the call.
  OnDone on_done = std::move(on_done_);
  if (error != 0) return on_done(std::unexpected(Error{error, "connect to " + to_.text()}));
  on_done(std::move(socket_));
}

}  // namespace pasvgate::net
