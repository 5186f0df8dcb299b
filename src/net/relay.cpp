#include "net/relay.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <limits>
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
// A small file is often over when its 150 is heard, and needs no watching before. Of a server that says none, or late,
// the bytes are looked for this much later.
constexpr auto kUnwatched = 2ms;

}  // namespace

Relay::Relay(Loop& loop, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener)
    : listener_(listener),
      loop_(loop),
      timer_(loop, [this] { on_timer(); }),
      stall_(stall),
      last_progress_(loop.now()) {
  leg(Side::Client).socket = std::move(client);
  leg(Side::Backend).socket = std::move(backend);
  for (const Side side : {Side::Client, Side::Backend}) {
    leg(side).poll = Poll(loop, leg(side).socket.get(), [this, side](int events) { on_ready(side, events); });
  }
}

Relay::~Relay() = default;

void Relay::start() {
  is_watched_ = !prepared_;
  update_interest();
  start_timer();
}

void Relay::watch() {
  is_watched_ = true;
  update_interest();
}

/// A small file is there already, often with its end: then the loop has nothing to watch.
void Relay::expect(ftp::Direction payload) {
  if (std::exchange(payload_, payload) || over_) return;
  is_watched_ = true;
  pump(payload);
  if (over_) return;
  // Or the client had all of it before anybody knew what it was.
  if (payload == Download && flow(Download).delivered) end_unused(Upload);
  if (!over_) update_interest();
}

Relay::Side Relay::source_side(ftp::Direction direction) {
  return direction == Download ? Side::Backend : Side::Client;
}
Relay::Side Relay::sink_side(ftp::Direction direction) { return direction == Download ? Side::Client : Side::Backend; }

ftp::Direction Relay::back(ftp::Direction direction) { return direction == Download ? Upload : Download; }

Relay::Step Relay::drain_pipe(ftp::Direction direction, const Pipe& pipe) {
  Flow& now = flow(direction);
  while (now.in_flight > 0) {
    const auto count = ::splice(pipe.read.get(), nullptr, sink(direction).socket.get(), nullptr, now.in_flight,
                                SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (const auto stop = note_written(now, count)) return *stop;
  }
  return Step::Progress;
}

std::optional<Relay::Step> Relay::note_written(Flow& flow, ssize_t count) {
  if (count > 0) {
    flow.in_flight -= static_cast<std::size_t>(count);
    flow.bytes += static_cast<std::uint64_t>(count);
    return std::nullopt;
  }
  if (count < 0 && errno == EINTR) return std::nullopt;
  if (count < 0 && errno != EAGAIN) return Step::Broken;
  flow.blocked = true;
  return Step::Blocked;
}

Relay::Step Relay::say_end(ftp::Direction) { return Step::Progress; }
bool Relay::has_pending(Side) const { return false; }
Relay::Step Relay::prepare(Side) { return Step::Progress; }

std::uint64_t Relay::bytes(ftp::Direction direction) const { return flow(direction).bytes; }

bool Relay::is_over() const { return over_ || (flow(Download).delivered && flow(Upload).delivered); }

void Relay::on_ready(Side side, int events) {
  if (over_) return;
  if (events < 0) {
    const bool is_watched = events == UV_EBADF;
    if (!is_watched || socket_error(leg(side).socket) != 0) return fail(side, false);
  }
  if (events > 0 && (events & UV_PRIORITIZED) != 0) leg(side).urgent = true;
  // A step of TLS may wait for either; then any news is news for both.
  const bool any = std::exchange(leg(side).wants, 0) != 0 || events < 0;
  if (!prepared_) {
    prepared_ = true;
    for (const Side each : {Side::Client, Side::Backend}) {
      const Step step = prepare(each);
      if (step == Step::Broken) return fail(each, false);
      if (step == Step::Blocked) prepared_ = false;
    }
    return update_interest();
  }
  for (const ftp::Direction direction : {Download, Upload}) {
    if (over_) return;
    const bool can_read = source_side(direction) == side && (any || (events & UV_READABLE) != 0 || has_pending(side));
    const bool can_write = sink_side(direction) == side && (any || (events & UV_WRITABLE) != 0);
    if (can_write) flow(direction).blocked = false;
    if (can_read || can_write) pump(direction);
  }
  // The news may be the answer to our end: the timer is for those who don't answer.
  for (const ftp::Direction direction : {Download, Upload}) {
    if (!over_ && flow(direction).sink_shut) check_delivery(direction);
  }
  if (!over_) update_interest();
}

void Relay::pump(ftp::Direction direction) {
  Flow& now = flow(direction);
  const std::uint64_t before = now.bytes;
  Step step = Step::Progress;
  for (int round = 0; round < kRoundsPerTurn && step == Step::Progress; ++round) {
    const Step filled = fill_in_pace(direction);
    if (filled == Step::Broken) return fail(source_side(direction), false);
    step = drain(direction);
    if (step == Step::Broken) return fail(sink_side(direction), false);
    // Order matters: the pipe is drained before the FIN goes on, or a short upload would look complete.
    if (now.source_ended && now.in_flight == 0 && !now.sink_shut) end_sink(direction);
    if (over_) return;
    if (filled == Step::Blocked && now.in_flight == 0) break;
  }
  if (pace_) pace_->give_back();
  if (now.bytes != before) {
    last_progress_ = loop_.now();
    listener_.on_moved(direction, now.bytes - before);
  }
  if (!over_ && now.sink_shut) check_delivery(direction);
}

Relay::Step Relay::fill_in_pace(ftp::Direction direction) {
  if (!pace_) return fill(direction, std::numeric_limits<std::size_t>::max());
  Flow& now = flow(direction);
  if (now.source_ended || now.blocked || now.starved || now.held) return Step::Blocked;
  const auto [most, wait] = pace_->ask(loop_.now());
  if (most == 0) {
    now.held = true;
    hold_ends_ = loop_.now() + static_cast<std::uint64_t>(wait.count());
    start_timer();
    return Step::Blocked;
  }
  const std::uint64_t before = now.bytes + now.in_flight;
  const Step filled = fill(direction, most);
  pace_->used(now.bytes + now.in_flight - before, loop_.now());
  return filled;
}

void Relay::end_sink(ftp::Direction direction) {
  Flow& now = flow(direction);
  const Side side = sink_side(direction);
  // Who has ended and was sent nothing has only our end to hear, and closing says it.
  const bool is_done = now.bytes == 0 && flow(back(direction)).source_ended && !says_end(side);
  if (is_done) {
    leg(side).poll.close(leg(side).socket);
  }
  if (is_done || leg(side).gone) {
    if (std::exchange(now.delivered, true)) return;
    now.sink_shut = true;
    return listener_.on_delivered(direction, now.bytes);
  }
  const Step said = say_end(direction);
  if (said == Step::Broken) return fail(side, false);
  if (said == Step::Blocked) {
    now.blocked = !now.starved;
    return;
  }
  ::shutdown(leg(side).socket.get(), SHUT_WR);
  now.sink_shut = true;
  last_progress_ = loop_.now();
}

void Relay::check_delivery(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.delivered) return;
  const Delivery delivery = delivery_of(sink(direction).socket);
  if (delivery == Delivery::Waits) {
    if (delivery_poll_ == 0ms) {
      delivery_poll_ = kFirstDeliveryPoll;
      start_timer();
    }
    return;
  }
  if (delivery == Delivery::Failed) return fail(sink_side(direction), false);
  now.delivered = true;
  last_progress_ = loop_.now();
  if (direction == Download && payload_ == Download) end_unused(Upload);
  if (over_) return;
  update_interest();
  listener_.on_delivered(direction, now.bytes);
}

/// A client that has its download has nothing more to say: nobody waits for its end, and the backend has ours at once.
void Relay::end_unused(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.source_ended || now.bytes + now.in_flight > 0) return;
  if (says_end(Side::Client) || says_end(Side::Backend)) return;
  now.source_ended = true;
  end_sink(direction);
}

void Relay::update_interest() {
  if (over_ || !is_watched_) return;
  for (const Side side : {Side::Client, Side::Backend}) {
    Leg& here = leg(side);
    if (!prepared_) {
      here.poll.want(here.wants != 0 || here.urgent ? here.wants : UV_PRIORITIZED);
      continue;
    }
    const ftp::Direction outbound = side == Side::Client ? Download : Upload;
    const ftp::Direction inbound = side == Side::Client ? Upload : Download;
    if (flow(inbound).source_ended && (flow(outbound).sink_shut || here.gone)) {
      here.poll.want(0);  // Nothing can come; the poll would report HUP for ever.
      continue;
    }
    const bool waits = flow(inbound).blocked || flow(inbound).starved || flow(inbound).held;
    if (waits && flow(outbound).sink_shut) {
      here.poll.want(0);  // The same, while nothing can be taken: what ends that wait goes on with us.
      continue;
    }
    int events = here.wants;
    const bool writes = flow(outbound).blocked && writes_first(side);
    if (!flow(inbound).source_ended && !waits && !writes) events |= UV_READABLE;
    // What TLS has read already is reported by no socket: being writable is true at once.
    if (flow(outbound).blocked || ((events & UV_READABLE) != 0 && has_pending(side))) events |= UV_WRITABLE;
    if (events != 0) here.urgent = false;
    // Without any interest a reset would go unseen until the next write.
    here.poll.want(events != 0 || here.urgent ? events : UV_PRIORITIZED);
  }
}

void Relay::start_timer(std::chrono::milliseconds quiet) {
  auto delay = std::max(stall() - quiet, 1ms);
  if (!is_watched_) delay = kUnwatched;
  if (delivery_poll_ > 0ms) delay = std::min(delay, delivery_poll_);
  if (flow(Download).starved || flow(Upload).starved) delay = std::min(delay, kPipeRetry);
  if (flow(Download).held || flow(Upload).held) {
    const auto now = loop_.now();
    delay = std::min(delay, std::chrono::milliseconds(std::max(hold_ends_, now + 1) - now));
  }
  timer_.start(delay);
}

void Relay::on_timer() {
  if (is_over()) return;
  is_watched_ = true;
  if (delivery_poll_ > 0ms) {
    bool waits = false;
    for (const ftp::Direction direction : {Download, Upload}) {
      if (!over_ && flow(direction).sink_shut) check_delivery(direction);
      waits = waits || (flow(direction).sink_shut && !flow(direction).delivered);
    }
    delivery_poll_ = waits ? std::min(delivery_poll_ * 2, kSlowestDeliveryPoll) : 0ms;
  }
  for (const ftp::Direction direction : {Download, Upload}) {
    Flow& now = flow(direction);
    // We have kept it waiting: a stall is counted from here.
    if (now.held) progressed();
    const bool was_held = std::exchange(now.held, false);
    const bool was_starved = std::exchange(now.starved, false);
    if (!over_ && (was_held || was_starved)) pump(direction);
  }
  if (is_over()) return;
  update_interest();
  const std::chrono::milliseconds quiet(loop_.now() - last_progress_);
  if (quiet >= stall()) {
    return fail(late(), true);
  }
  start_timer(quiet);
}

void Relay::fail(Side side, bool stalled) {
  if (over_) return;
  if (!stalled && forgive(side)) return update_interest();
  reset();
  listener_.on_broken(side, stalled);
}

/// A side that has ended in order and was sent nothing hasn't lost anything yet. (Our close_notify meets the closed
/// socket of a client that has uploaded, and comes back as a reset, while its upload is still on its way.)
bool Relay::forgive(Side side) {
  const Flow& from = flow(side == Side::Client ? Upload : Download);
  const Flow& to = flow(side == Side::Client ? Download : Upload);
  if (!prepared_ || !from.source_ended || to.bytes > 0 || to.in_flight > 0) return false;
  leg(side).gone = true;
  if (to.source_ended) end_sink(side == Side::Client ? Download : Upload);
  return true;
}

void Relay::reset() {
  stop();
  for (Leg& leg : legs_) leg.socket.reset();
}

void Relay::say_ends() {
  if (over_ || !prepared_) return;
  for (const ftp::Direction direction : {Download, Upload}) {
    Flow& now = flow(direction);
    if (now.sink_shut || now.in_flight > 0) continue;
    say_end(direction);
    ::shutdown(sink(direction).socket.get(), SHUT_WR);
    now.sink_shut = true;
  }
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
