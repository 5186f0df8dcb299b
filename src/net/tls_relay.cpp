#include "net/tls_relay.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace pasvgate::net {
namespace {

// Four full records; more brings nothing.
constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;

}  // namespace

TlsRelay::TlsRelay(Loop& loop, Fd client, Secured client_tls, Fd backend, Secured backend_tls, const Times& times,
                   Listener& listener)
    : Relay(loop, std::move(client), std::move(backend), times.stall, listener), handshake_(times.handshake) {
  secure(Side::Client).secured = std::move(client_tls);
  secure(Side::Backend).secured = std::move(backend_tls);
  for (const Side side : {Side::Client, Side::Backend}) {
    if (!secure(side).secured.tls) continue;
    secure(side).stage = Stage::Handshake;
    must_prepare();
    // Who begins is the TLS client; being writable is true at once, so the first step comes from the loop.
    leg(side).wants = UV_WRITABLE;
  }
  start();
}

std::chrono::milliseconds TlsRelay::stall() const {
  const bool is_up = secure(Side::Client).stage == Stage::Up && secure(Side::Backend).stage == Stage::Up;
  // Clients begin theirs when they have heard that the transfer begins.
  return is_up || !is_expected_ ? Relay::stall() : handshake_;
}

void TlsRelay::expect() {
  if (std::exchange(is_expected_, true)) return;
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

Relay::Step TlsRelay::fill(ftp::Direction direction) {
  Flow& now = flow(direction);
  if (now.source_ended || now.blocked || now.in_flight > 0) return Step::Blocked;
  Buffer& buffer = buffers_.at(std::to_underlying(direction));
  if (buffer.bytes.empty()) buffer.bytes.resize(kBufferBytes);
  buffer.start = 0;
  const Side side = source_side(direction);
  while (now.in_flight < buffer.bytes.size()) {
    const auto [step, count] = receive(side, std::span(buffer.bytes).subspan(now.in_flight));
    if (step == Tls::Step::Done) {
      now.in_flight += count;
      continue;
    }
    if (step == Tls::Step::WantWrite) leg(side).wants |= UV_WRITABLE;
    if (step == Tls::Step::WantRead || step == Tls::Step::WantWrite) {
      return now.in_flight > 0 ? Step::Progress : Step::Blocked;
    }
    // A peer that has our own end already and never had anything to say may go without a word.
    const bool was_silent = now.bytes + now.in_flight == 0;
    const bool may_truncate =
        secure(side).secured.tolerates_truncation || (flow(back(direction)).sink_shut && was_silent);
    if (step == Tls::Step::Closed || (step == Tls::Step::Truncated && may_truncate)) {
      now.source_ended = true;
      return Step::Progress;
    }
    if (!secure(side).secured.tls) return Step::Broken;
    return waiting(side, step);
  }
  return Step::Progress;
}

Relay::Step TlsRelay::drain(ftp::Direction direction) {
  Flow& now = flow(direction);
  Buffer& buffer = buffers_.at(std::to_underlying(direction));
  const Side side = sink_side(direction);
  while (now.in_flight > 0) {
    const auto [step, count] = send(side, {buffer.bytes.data() + buffer.start, now.in_flight});
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

Relay::Step TlsRelay::say_end(ftp::Direction direction) {
  const Side side = sink_side(direction);
  if (!secure(side).secured.tls) return Step::Progress;
  const auto step = secure(side).secured.tls->close();
  return step == Tls::Step::Done || step == Tls::Step::Closed ? Step::Progress : waiting(side, step);
}

bool TlsRelay::has_pending(Side side) const {
  const auto& tls = secure(side).secured.tls;
  return tls && secure(side).stage == Stage::Up && tls->has_pending();
}

}  // namespace pasvgate::net
