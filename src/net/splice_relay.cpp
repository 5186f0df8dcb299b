#include "net/splice_relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pasvgate::net {
namespace {

// Up to here a pipe costs more than copying.
constexpr std::size_t kSmallRead = std::size_t{16} * 1024;

}  // namespace

SpliceRelay::SpliceRelay(Loop& loop, PipePool& pool, Fd client, Fd backend, std::chrono::milliseconds stall,
                         Listener& listener)
    : Relay(loop, std::move(client), std::move(backend), stall, listener), pool_(pool) {
  start();
}

SpliceRelay::~SpliceRelay() {
  for (const ftp::Direction direction : {ftp::Direction::Download, ftp::Direction::Upload}) {
    if (lane(direction).pipe.read && flow(direction).in_flight == 0) pool_.give_back(std::move(lane(direction).pipe));
  }
}

Relay::Step SpliceRelay::fill(ftp::Direction direction, std::size_t most) {
  Flow& now = flow(direction);
  Lane& here = lane(direction);
  if (now.source_ended || now.blocked || now.starved) return Step::Blocked;
  if (!here.is_big) return now.in_flight > 0 ? Step::Blocked : read_small(direction, most);
  if (!here.pipe.read) {
    auto taken = pool_.take();
    if (!taken) {
      now.starved = true;
      start_timer();
      return Step::Blocked;
    }
    here.pipe = std::move(*taken);
  }
  if (now.in_flight >= here.pipe.capacity) return Step::Blocked;
  const auto count = ::splice(source(direction).socket.get(), nullptr, here.pipe.write.get(), nullptr,
                              std::min(most, here.pipe.capacity - now.in_flight), SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (count > 0) {
    now.in_flight += static_cast<std::size_t>(count);
    return Step::Progress;
  }
  if (count < 0 && errno != EAGAIN && errno != EINTR) return Step::Broken;
  // A full pipe says nothing about the source: it is asked again when the pipe is empty.
  if (now.in_flight > 0) return count == 0 ? Step::Progress : Step::Blocked;
  return read_small(direction, most);
}

/// With nothing in flight. A file that fits needs no pipe; and splice takes neither an urgent byte nor anything behind
/// it: it says EAGAIN, and at the end 0 with bytes unread. So what it says of a source is believed only when recv says
/// the same.
Relay::Step SpliceRelay::read_small(ftp::Direction direction, std::size_t most) {
  Flow& now = flow(direction);
  std::array<char, kSmallRead> bytes;  // NOLINT(*-member-init): read before use
  const auto count = ::recv(source(direction).socket.get(), bytes.data(), std::min(most, bytes.size()), MSG_DONTWAIT);
  if (count == 0) {
    now.source_ended = true;
    return Step::Progress;
  }
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Step::Blocked : Step::Broken;
  const std::string_view read(bytes.data(), static_cast<std::size_t>(count));
  if (read.size() == bytes.size()) lane(direction).is_big = true;
  // If it fails, drain meets the same error.
  const auto sent = ::send(sink(direction).socket.get(), read.data(), read.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  const auto done = static_cast<std::size_t>(sent > 0 ? sent : 0);
  now.bytes += done;
  now.in_flight = read.size() - done;
  if (now.in_flight > 0) lane(direction).kept = read.substr(done);
  return Step::Progress;
}

Relay::Step SpliceRelay::drain(ftp::Direction direction) {
  Flow& now = flow(direction);
  std::string& kept = lane(direction).kept;
  while (!kept.empty()) {
    const auto count = ::send(sink(direction).socket.get(), kept.data(), kept.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) kept.erase(0, static_cast<std::size_t>(count));
    if (const auto stop = note_written(now, count)) return *stop;
  }
  return drain_pipe(direction, lane(direction).pipe);
}

}  // namespace pasvgate::net
