#include "net/acceptor.h"

#include <cerrno>
#include <utility>

namespace pasvgate::net {
namespace {

using namespace std::chrono_literals;

// Only one connection is wanted; the rest is for strangers, who must not keep it out.
constexpr int kBacklog = 16;
constexpr auto kPause = 100ms;

}  // namespace

Result<Fd> listen_in(const ftp::Address& address, const std::optional<ftp::PortRange>& range, std::size_t first) {
  const std::size_t size = range ? range->size() : 1;
  Result<Fd> socket = std::unexpected(Error{EADDRINUSE, "listen on " + address.text()});
  for (std::size_t step = 0; step < size; ++step) {
    const auto port = range ? static_cast<std::uint16_t>(range->low + (first + step) % size) : std::uint16_t{0};
    socket = bind_tcp({address, port}, Share::Alone);
    if (socket) {
      const auto listening = start_listening(*socket, kBacklog);
      if (listening) return socket;
      socket = std::unexpected(listening.error());
    }
    if (socket.error().code != EADDRINUSE) break;
  }
  return socket;
}

Acceptor::Acceptor(Loop& loop, Fd listening, Allows allows, OnAccepted on_accepted)
    : listening_(std::move(listening)),
      allows_(std::move(allows)),
      on_accepted_(std::move(on_accepted)),
      poll_(loop, listening_.get(), [this](int events) { events < 0 ? pause_.start(kPause) : accept(); }),
      pause_(loop, [this] { poll_.want(UV_READABLE); }) {
  poll_.want(UV_READABLE);
}

void Acceptor::accept() {
  auto accepted = accept_tcp(listening_);
  if (!accepted) {
    const int code = accepted.error().code;
    if (code == EAGAIN || code == EINTR || code == ECONNABORTED) return;
    // Without descriptors accept would fail at once, again and again.
    poll_.want(0);
    return pause_.start(kPause);
  }
  if (!allows_(accepted->peer)) return accepted->socket.reset();
  poll_.close();
  pause_.close();
  listening_.close();
  OnAccepted on_accepted = std::move(on_accepted_);
  on_accepted(std::move(accepted->socket));
}

}  // namespace pasvgate::net
