#include "net/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <utility>

namespace pasvgate::net {
namespace {

using enum ftp::Direction;
using namespace std::chrono_literals;

// Rounds of fill and drain in one callback; then the other sessions have their turn, and the level-triggered poll comes
// back. Eight full pipes are 8 MiB, about a millisecond.
constexpr int kRoundsPerTurn = 8;
// The kernel tells nobody when the last byte is acknowledged, so it is asked: soon at first, then less often.
constexpr auto kFirstDeliveryPoll = 1ms;
constexpr auto kSlowestDeliveryPoll = 100ms;
// Without a descriptor for a pipe a transfer waits, as for a peer that doesn't read.
constexpr auto kPipeRetry = 100ms;

Relay::Side source_side(ftp::Direction direction) {
  return direction == Download ? Relay::Side::Backend : Relay::Side::Client;
}
Relay::Side sink_side(ftp::Direction direction) {
  return direction == Download ? Relay::Side::Client : Relay::Side::Backend;
}

}  // namespace

Relay::Relay(Loop& loop, PipePool& pipes, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener)
    : loop_(loop),
      pipes_(pipes),
      listener_(listener),
      timer_(loop.uv(), [this] { on_timer(); }),
      stall_(stall),
      last_progress_(loop.now()) {
  legs_.at(std::to_underlying(Side::Client)).socket = std::move(client);
  legs_.at(std::to_underlying(Side::Backend)).socket = std::move(backend);
  for (const Side side : {Side::Client, Side::Backend}) {
    Leg& leg = legs_.at(std::to_underlying(side));
    tune_data(leg.socket);
    leg.poll = Poll(loop.uv(), leg.socket.get(), [this, side](int events) { on_ready(side, events); });
  }
  update_interest();
  start_timer();
}

Relay::~Relay() {
  for (Flow& flow : flows_) {
    if (flow.pipe.read && flow.in_pipe == 0) pipes_.give_back(std::move(flow.pipe));
  }
}

Relay::Leg& Relay::source(ftp::Direction direction) { return legs_.at(std::to_underlying(source_side(direction))); }
Relay::Leg& Relay::sink(ftp::Direction direction) { return legs_.at(std::to_underlying(sink_side(direction))); }

std::uint64_t Relay::bytes(ftp::Direction direction) const { return flow(direction).bytes; }

bool Relay::is_over() const { return over_ || (flow(Download).delivered && flow(Upload).delivered); }

void Relay::on_ready(Side side, int events) {
  if (over_) return;
  if (events < 0) {
    legs_.at(std::to_underlying(side)).poll.was_stopped();
    const bool is_watched = events == UV_EBADF;
    if (!is_watched || socket_error(legs_.at(std::to_underlying(side)).socket) != 0) return fail(side, false);
  }
  for (const ftp::Direction direction : {Download, Upload}) {
    if (over_) return;
    const bool can_read = source_side(direction) == side && (events < 0 || (events & UV_READABLE) != 0);
    const bool can_write = sink_side(direction) == side && (events < 0 || (events & UV_WRITABLE) != 0);
    if (can_write) flow(direction).blocked = false;
    if (can_read || can_write) pump(direction);
  }
  if (!over_) update_interest();
}

void Relay::pump(ftp::Direction direction) {
  Flow& now = flow(direction);
  const std::uint64_t before = now.bytes;
  Step step = Step::Progress;
  for (int round = 0; round < kRoundsPerTurn && step == Step::Progress; ++round) {
    const Step filled = fill(direction);
    if (filled == Step::Broken) return fail(source_side(direction), false);
    step = drain(direction);
    if (step == Step::Broken) return fail(sink_side(direction), false);
    // Order matters: the pipe is drained before the FIN goes on, or a short upload would look complete.
    if (now.source_ended && now.in_pipe == 0 && !now.sink_shut) end_sink(direction);
    if (filled == Step::Blocked && now.in_pipe == 0) break;
  }
  if (now.bytes != before) {
    last_progress_ = loop_.now();
    listener_.on_moved(direction, now.bytes - before);
  }
  if (!over_ && now.sink_shut) check_delivery(direction);
}

Relay::Step Relay::fill(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.source_ended || now.blocked || now.starved) return Step::Blocked;
  if (!now.pipe.read) {
    auto pipe = pipes_.take();
    if (!pipe) {
      now.starved = true;
      start_timer();
      return Step::Blocked;
    }
    now.pipe = std::move(*pipe);
  }
  if (now.in_pipe >= now.pipe.capacity) return Step::Blocked;
  const auto count = ::splice(source(direction).socket.get(), nullptr, now.pipe.write.get(), nullptr,
                              now.pipe.capacity - now.in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (count > 0) {
    now.in_pipe += static_cast<std::size_t>(count);
    return Step::Progress;
  }
  if (count < 0 && errno != EAGAIN && errno != EINTR) return Step::Broken;
  // A full pipe says nothing about the source: it is asked again when the pipe is empty.
  if (now.in_pipe > 0) return count == 0 ? Step::Progress : Step::Blocked;
  return probe(direction);
}

/// splice takes neither an urgent byte nor anything behind it: it says EAGAIN, and at the end 0 with bytes unread. So
/// what it says of an empty pipe's source is believed only when recv says the same.
Relay::Step Relay::probe(ftp::Direction direction) {
  Flow& now = flow(direction);
  std::array<char, 4096> bytes;  // NOLINT(*-member-init): read before use
  const auto count = ::recv(source(direction).socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count == 0) {
    now.source_ended = true;
    return Step::Progress;
  }
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Step::Blocked : Step::Broken;
  // The pipe is empty, so it takes them all.
  if (::write(now.pipe.write.get(), bytes.data(), static_cast<std::size_t>(count)) != count) return Step::Broken;
  now.in_pipe += static_cast<std::size_t>(count);
  return Step::Progress;
}

Relay::Step Relay::drain(ftp::Direction direction) {
  Flow& now = flow(direction);
  while (now.in_pipe > 0) {
    const auto count = ::splice(now.pipe.read.get(), nullptr, sink(direction).socket.get(), nullptr, now.in_pipe,
                                SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (count > 0) {
      now.in_pipe -= static_cast<std::size_t>(count);
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

void Relay::end_sink(ftp::Direction direction) {
  ::shutdown(sink(direction).socket.get(), SHUT_WR);
  flow(direction).sink_shut = true;
  last_progress_ = loop_.now();
}

void Relay::check_delivery(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.delivered) return;
  if (!is_delivered(sink(direction).socket)) {
    if (delivery_poll_ == 0ms) {
      delivery_poll_ = kFirstDeliveryPoll;
      start_timer();
    }
    return;
  }
  if (socket_error(sink(direction).socket) != 0) return fail(sink_side(direction), false);
  now.delivered = true;
  last_progress_ = loop_.now();
  update_interest();
  listener_.on_delivered(direction, now.bytes);
}

void Relay::update_interest() {
  if (over_) return;
  for (const Side side : {Side::Client, Side::Backend}) {
    Leg& leg = legs_.at(std::to_underlying(side));
    const ftp::Direction outbound = side == Side::Client ? Download : Upload;
    const ftp::Direction inbound = side == Side::Client ? Upload : Download;
    if (flow(inbound).source_ended && flow(outbound).sink_shut) {
      leg.poll.want(0);  // Nothing can come; the poll would report HUP for ever.
      continue;
    }
    const bool waits = flow(inbound).blocked || flow(inbound).starved;
    if (waits && flow(outbound).sink_shut) {
      leg.poll.want(0);  // The same, while nothing can be taken: what ends that wait goes on with us.
      continue;
    }
    int events = 0;
    if (!flow(inbound).source_ended && !waits) events |= UV_READABLE;
    if (flow(outbound).blocked) events |= UV_WRITABLE;
    // Without any interest a reset would go unseen until the next write.
    leg.poll.want(events != 0 ? events : UV_PRIORITIZED);
  }
}

void Relay::start_timer(std::chrono::milliseconds quiet) {
  auto delay = stall_ - quiet;
  if (delivery_poll_ > 0ms) delay = std::min(delay, delivery_poll_);
  if (flow(Download).starved || flow(Upload).starved) delay = std::min(delay, kPipeRetry);
  timer_.start(delay);
}

void Relay::on_timer() {
  if (is_over()) return;
  if (delivery_poll_ > 0ms) {
    bool waits = false;
    for (const ftp::Direction direction : {Download, Upload}) {
      if (!over_ && flow(direction).sink_shut) check_delivery(direction);
      waits = waits || (flow(direction).sink_shut && !flow(direction).delivered);
    }
    delivery_poll_ = waits ? std::min(delivery_poll_ * 2, kSlowestDeliveryPoll) : 0ms;
  }
  for (const ftp::Direction direction : {Download, Upload}) {
    if (!over_ && std::exchange(flow(direction).starved, false)) pump(direction);
  }
  if (is_over()) return;
  update_interest();
  const std::chrono::milliseconds quiet(loop_.now() - last_progress_);
  if (quiet >= stall_) {
    const Side waiting_for = flow(Download).blocked ? Side::Client : Side::Backend;
    return fail(waiting_for, true);
  }
  start_timer(quiet);
}

void Relay::fail(Side side, bool stalled) {
  if (over_) return;
  reset();
  listener_.on_broken(side, stalled);
}

void Relay::reset() {
  stop();
  for (Leg& leg : legs_) leg.socket.reset();
}

void Relay::hold_backend() {
  stop();
  legs_.at(std::to_underlying(Side::Client)).socket.reset();
}

void Relay::stop() {
  over_ = true;
  timer_.stop();
  for (Leg& leg : legs_) leg.poll.close();
}

}  // namespace pasvgate::net
