#include "net/tls_relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

namespace pasvgate::net {
namespace {

// Four full records; more brings nothing.
constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;
constexpr std::size_t kRecord = std::size_t{16} * 1024;
// A record of 16 KiB at most, and what the kernel may add of the next.
constexpr std::size_t kRecordRoom = std::size_t{32} * 1024;
// Two records that the kernel keeps, and what TCP adds.
constexpr std::size_t kRoomForEnd = std::size_t{64} * 1024;

}  // namespace

TlsRelay::TlsRelay(Loop& loop, PipePool& pool, Fd client, Secured client_tls, Fd backend, Secured backend_tls,
                   const Times& times, Listener& listener)
    : Relay(loop, std::move(client), std::move(backend), times.stall, listener),
      pool_(pool),
      handshake_(times.handshake) {
  secure(Side::Client).secured = std::move(client_tls);
  secure(Side::Backend).secured = std::move(backend_tls);
  for (const Side side : {Side::Client, Side::Backend}) {
    if (!secure(side).secured.tls) continue;
    secure(side).stage = Stage::Handshake;
    must_prepare();
    secure(side).secured.tls->read_ahead();
    // The TLS client begins, on the client's leg the peer. Being writable is true at once, so our first step comes from
    // the loop.
    leg(side).wants = side == Side::Client ? UV_READABLE : UV_WRITABLE;
  }
  start();
}

TlsRelay::~TlsRelay() {
  for (const ftp::Direction direction : {ftp::Direction::Download, ftp::Direction::Upload}) {
    Pipe& pipe = pipes_.at(std::to_underlying(direction));
    if (pipe.read && flow(direction).in_flight == 0) pool_.give_back(std::move(pipe));
  }
}

std::chrono::milliseconds TlsRelay::stall() const {
  const bool is_up = secure(Side::Client).stage == Stage::Up && secure(Side::Backend).stage == Stage::Up;
  // Clients begin theirs when they have heard that the transfer begins.
  return is_up || !payload_ ? Relay::stall() : handshake_;
}

void TlsRelay::expect(ftp::Direction payload) {
  if (std::exchange(payload_, payload)) return;
  progressed();
  start_timer();
}

Relay::Side TlsRelay::late() const {
  for (const Side side : {Side::Client, Side::Backend}) {
    if (is_in_handshake(side)) return side;
  }
  return Relay::late();
}

Relay::Step TlsRelay::prepare(Side side) {
  SecureLeg& here = secure(side);
  if (here.stage == Stage::Up) return Step::Progress;
  leg(side).wants = 0;
  Tls& tls = *here.secured.tls;
  const auto step = tls.handshake();
  if (step != Tls::Step::Done) return waiting(side, step);
  if (here.secured.must_be_bound && !tls.is_bound()) {
    error_ = "the TLS session of the control channel wasn't resumed";
    return Step::Broken;
  }
  here.stage = Stage::Up;
  tls.read_ahead();
  progressed();
  start_timer();
  listener_.on_secured(side, tls);
  // What came with the last record of the handshake is reported by nobody.
  leg(side).wants |= UV_WRITABLE;
  return Step::Progress;
}

Relay::Step TlsRelay::waiting(Side side, Tls::Step step) {
  if (step == Tls::Step::WantRead || step == Tls::Step::WantWrite) {
    leg(side).wants |= step == Tls::Step::WantRead ? UV_READABLE : UV_WRITABLE;
    return Step::Blocked;
  }
  if (step == Tls::Step::Failed || step == Tls::Step::Truncated) error_ = secure(side).secured.tls->error();
  if (step == Tls::Step::Closed) error_ = "ended in its handshake";
  return Step::Broken;
}

Tls::Moved TlsRelay::receive(Side side, std::span<char> into) {
  if (const auto& tls = secure(side).secured.tls) return tls->read(into);
  const auto count = ::recv(leg(side).socket.get(), into.data(), into.size(), 0);
  if (count > 0) return {Tls::Step::Done, static_cast<std::size_t>(count)};
  if (count == 0) return {Tls::Step::Closed};
  return {errno == EAGAIN || errno == EINTR ? Tls::Step::WantRead : Tls::Step::Failed};
}

Tls::Moved TlsRelay::send(Side side, std::string_view bytes) {
  if (const auto& tls = secure(side).secured.tls) return tls->write(bytes);
  const auto count = ::send(leg(side).socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (count >= 0) return {Tls::Step::Done, static_cast<std::size_t>(count)};
  return {errno == EAGAIN || errno == EINTR ? Tls::Step::WantWrite : Tls::Step::Failed};
}

TlsRelay::Way TlsRelay::choose_way(ftp::Direction direction) {
  const auto& from = secure(source_side(direction)).secured.tls;
  const auto& to = secure(sink_side(direction)).secured.tls;
  if ((from && !from->kernel_reads()) || (to && !to->kernel_writes())) return Way::Buffer;
  auto taken = pool_.take();
  if (!taken || taken->capacity < kRecordRoom) return Way::Buffer;
  pipes_.at(std::to_underlying(direction)) = std::move(*taken);
  return Way::Pipe;
}

Relay::Step TlsRelay::fill(ftp::Direction direction, std::size_t most) {
  const Flow& now = flow(direction);
  if (now.source_ended || now.blocked) return Step::Blocked;
  if (flow(back(direction)).blocked && writes_first(source_side(direction))) return Step::Blocked;
  Way& way = ways_.at(std::to_underlying(direction));
  if (way == Way::Unknown) way = choose_way(direction);
  return way == Way::Pipe ? fill_pipe(direction, most) : fill_buffer(direction, most);
}

Relay::Step TlsRelay::fill_pipe(ftp::Direction direction, std::size_t most) {
  Flow& now = flow(direction);
  const Pipe& pipe = pipes_.at(std::to_underlying(direction));
  if (now.in_flight >= pipe.capacity) return Step::Blocked;
  const auto count = ::splice(source(direction).socket.get(), nullptr, pipe.write.get(), nullptr,
                              std::min(most, pipe.capacity - now.in_flight), SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (count > 0) {
    now.in_flight += static_cast<std::size_t>(count);
    return Step::Progress;
  }
  if (now.in_flight == 0) return read_into_pipe(direction);
  // A full pipe says EAGAIN too. Anything else is looked at when the pipe is empty.
  return count < 0 && errno == EAGAIN ? Step::Blocked : Step::Progress;
}

/// What splice says of an empty pipe's source is believed only when a read says the same: to splice a record that isn't
/// data (an alert, another handshake) is an error, an urgent byte is nothing yet, and an end is an end with or without
/// close_notify.
Relay::Step TlsRelay::read_into_pipe(ftp::Direction direction) {
  std::array<char, kRecordRoom> bytes;  // NOLINT(*-member-init): read before use
  // Nothing of the record stays in OpenSSL, where splice wouldn't find it.
  const auto [step, count] = receive(source_side(direction), bytes);
  if (step != Tls::Step::Done) return source_stopped(direction, step);
  // The pipe is empty, so it takes them all.
  const auto& pipe = pipes_.at(std::to_underlying(direction));
  if (::write(pipe.write.get(), bytes.data(), count) != static_cast<ssize_t>(count)) return Step::Broken;
  flow(direction).in_flight += count;
  return Step::Progress;
}

Relay::Step TlsRelay::fill_buffer(ftp::Direction direction, std::size_t most) {
  Flow& now = flow(direction);
  if (now.in_flight > 0) return Step::Blocked;
  Buffer& buffer = buffers_.at(std::to_underlying(direction));
  if (!buffer.bytes) buffer.bytes = std::make_unique_for_overwrite<char[]>(kBufferBytes);  // NOLINT(*-avoid-c-arrays)
  buffer.start = 0;
  const Side side = source_side(direction);
  const std::span whole(buffer.bytes.get(), std::min(most, kBufferBytes));
  while (now.in_flight < whole.size()) {
    const auto [step, count] = receive(side, whole.subspan(now.in_flight));
    if (step == Tls::Step::Done) {
      now.in_flight += count;
      continue;
    }
    return source_stopped(direction, step);
  }
  return Step::Progress;
}

Relay::Step TlsRelay::source_stopped(ftp::Direction direction, Tls::Step step) {
  Flow& now = flow(direction);
  const Side side = source_side(direction);
  if (step == Tls::Step::WantWrite) leg(side).wants |= UV_WRITABLE;
  if (step == Tls::Step::WantRead || step == Tls::Step::WantWrite) {
    return now.in_flight > 0 ? Step::Progress : Step::Blocked;
  }
  // A peer that has our own end already, never said anything and isn't to, may go without a word.
  const bool was_silent = now.bytes + now.in_flight == 0;
  const bool may_truncate = secure(side).secured.tolerates_truncation ||
                            (payload_ == back(direction) && flow(back(direction)).sink_shut && was_silent);
  if (step == Tls::Step::Closed || (step == Tls::Step::Truncated && may_truncate)) {
    now.source_ended = true;
    return Step::Progress;
  }
  if (!secure(side).secured.tls) return Step::Broken;
  return waiting(side, step);
}

Relay::Step TlsRelay::drain(ftp::Direction direction) {
  if (ways_.at(std::to_underlying(direction)) == Way::Pipe) {
    return drain_pipe(direction, pipes_.at(std::to_underlying(direction)));
  }
  Flow& now = flow(direction);
  Buffer& buffer = buffers_.at(std::to_underlying(direction));
  const Side side = sink_side(direction);
  // OpenSSL writes each record by itself; TCP sends them on together.
  std::optional<Cork> cork;
  if (now.in_flight > 0 && now.source_ended) {
    begin_end(side);
  } else if (now.in_flight > kRecord) {
    cork.emplace(leg(side).socket);
  }
  while (now.in_flight > 0) {
    const auto [step, count] = send(side, {buffer.bytes.get() + buffer.start, now.in_flight});
    if (step == Tls::Step::Done) {
      buffer.start += count;
      now.in_flight -= count;
      now.bytes += count;
      continue;
    }
    now.blocked = true;
    if (step == Tls::Step::WantRead) leg(side).wants |= UV_READABLE;
    if (step == Tls::Step::WantRead || step == Tls::Step::WantWrite) return Step::Blocked;
    return secure(side).secured.tls ? waiting(side, step) : Step::Broken;
  }
  return Step::Progress;
}

/// Last bytes, close_notify and FIN are one segment. Not where the kernel encrypts: `must_wait_for_room` waits until
/// what it has is sent.
void TlsRelay::begin_end(Side side) {
  SecureLeg& here = secure(side);
  if (std::exchange(here.is_corked, true) || (here.secured.tls && here.secured.tls->kernel_writes())) return;
  cork_to_end(leg(side).socket);
}

Relay::Step TlsRelay::say_end(ftp::Direction direction) {
  const Side side = sink_side(direction);
  if (!secure(side).secured.tls) return Step::Progress;
  if (must_wait_for_room(direction)) return Step::Blocked;
  begin_end(side);
  const auto step = secure(side).secured.tls->close();
  return step == Tls::Step::Done || step == Tls::Step::Closed ? Step::Progress : waiting(side, step);
}

/// The kernel takes a record though TCP has no room for it, and sends it later. A FIN that comes before cuts it off,
/// so that what is kept and close_notify must find room when the end is said.
bool TlsRelay::must_wait_for_room(ftp::Direction direction) {
  const Side side = sink_side(direction);
  if (!secure(side).secured.tls->kernel_writes()) return false;
  const auto [queued, size] = send_buffer(leg(side).socket);
  const std::size_t free = size - std::min(queued, size);
  if (queued == 0 || free >= kRoomForEnd) return false;
  // A socket is writable from a third on; for more there is no event.
  if (free >= queued / 2) {
    flow(direction).starved = true;
    start_timer();
  }
  return true;
}

bool TlsRelay::has_pending(Side side) const {
  const auto& tls = secure(side).secured.tls;
  return tls && secure(side).stage == Stage::Up && tls->has_pending();
}

}  // namespace pasvgate::net
