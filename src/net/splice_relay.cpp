#include "net/splice_relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace pasvgate::net {

SpliceRelay::SpliceRelay(Loop& loop, PipePool& pool, Fd client, Fd backend, std::chrono::milliseconds stall,
                         Listener& listener)
    : Relay(loop, std::move(client), std::move(backend), stall, listener), pool_(pool) {
  start();
}

SpliceRelay::~SpliceRelay() {
  for (const ftp::Direction direction : {ftp::Direction::Download, ftp::Direction::Upload}) {
    if (pipe(direction).read && flow(direction).in_flight == 0) pool_.give_back(std::move(pipe(direction)));
  }
}

Relay::Step SpliceRelay::fill(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.source_ended || now.blocked || now.starved) return Step::Blocked;
  if (!pipe(direction).read) {
    auto taken = pool_.take();
    if (!taken) {
      now.starved = true;
      start_timer();
      return Step::Blocked;
    }
    pipe(direction) = std::move(*taken);
  }
  if (now.in_flight >= pipe(direction).capacity) return Step::Blocked;
  const auto count = ::splice(source(direction).socket.get(), nullptr, pipe(direction).write.get(), nullptr,
                              pipe(direction).capacity - now.in_flight, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (count > 0) {
    now.in_flight += static_cast<std::size_t>(count);
    return Step::Progress;
  }
  if (count < 0 && errno != EAGAIN && errno != EINTR) return Step::Broken;
  // A full pipe says nothing about the source: it is asked again when the pipe is empty.
  if (now.in_flight > 0) return count == 0 ? Step::Progress : Step::Blocked;
  return probe(direction);
}

/// splice takes neither an urgent byte nor anything behind it: it says EAGAIN, and at the end 0 with bytes unread. So
/// what it says of an empty pipe's source is believed only when recv says the same.
Relay::Step SpliceRelay::probe(ftp::Direction direction) {
  Flow& now = flow(direction);
  std::array<char, 4096> bytes;  // NOLINT(*-member-init): read before use
  const auto count = ::recv(source(direction).socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count == 0) {
    now.source_ended = true;
    return Step::Progress;
  }
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Step::Blocked : Step::Broken;
  // The pipe is empty, so it takes them all.
  if (::write(pipe(direction).write.get(), bytes.data(), static_cast<std::size_t>(count)) != count) return Step::Broken;
  now.in_flight += static_cast<std::size_t>(count);
  return Step::Progress;
}

Relay::Step SpliceRelay::drain(ftp::Direction direction) {
  Flow& now = flow(direction);
  while (now.in_flight > 0) {
    const auto count = ::splice(pipe(direction).read.get(), nullptr, sink(direction).socket.get(), nullptr,
                                now.in_flight, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (count > 0) {
      now.in_flight -= static_cast<std::size_t>(count);
      now.bytes += static_cast<std::uint64_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) return Step::Broken;
    now.blocked = true;
    return Step::Blocked;
  }
  return Step::Progress;
}

}  // namespace pasvgate::net
