#include "net/stream.h"

#include <cerrno>
#include <utility>

namespace pasvgate::net {

Stream::Stream(Loop& loop, Fd socket, std::span<char> buffer, Listener& listener)
    : socket_(std::move(socket)),
      poll_(loop, socket_.get(), [this](int events) { on_ready(events); }),
      buffer_(buffer),
      listener_(listener) {
  update_interest();
}

std::string_view Stream::tls_error() const { return tls_ ? std::string_view(tls_->error()) : std::string_view(); }

void Stream::queue_urgent(std::string_view bytes) {
  if (closed_) return;
  queue(bytes);
  urgent_at_ = queue_.size() - 1;
}

void Stream::flush() {
  if (queue_.empty() && clear_from_ != 0 && !next_tls_) return;
  while (!closed_ && secured_ != Secured::Handshake && (!queue_.empty() || clear_from_ == 0)) {
    if (clear_from_ == 0) {
      if (!say_end_of_tls()) break;
      continue;
    }
    const auto [step, count] = send_some();
    if (step == Tls::Step::Failed) return fail();
    if (step != Tls::Step::Done) break;
    queue_.erase(0, count);
    if (clear_from_ != std::string::npos) clear_from_ -= count;
  }
  // An idle session keeps no buffer.
  if (queue_.empty()) std::string().swap(queue_);
  if (queue_.empty() && next_tls_ && !closed_) {
    tls_ = std::move(next_tls_);
    secured_ = Secured::Handshake;
    return continue_handshake();
  }
  update_interest();
}

Tls::Moved Stream::send_some() {
  if (tls_ && secured_ == Secured::Yes) {
    const auto moved = tls_->write(std::string_view(queue_).substr(0, clear_from_));
    wants_write_ = moved.step == Tls::Step::WantWrite;
    return moved;
  }
  // Up to the urgent byte and no further, so that the kernel's urgent mark stands on just that byte.
  const bool urgent = urgent_at_ != std::string::npos;
  const std::size_t size = urgent ? urgent_at_ + 1 : queue_.size();
  const auto sent = ::send(socket_.get(), queue_.data(), size, MSG_NOSIGNAL | (urgent ? MSG_OOB : 0));
  if (sent < 0) return {errno == EAGAIN || errno == EINTR ? Tls::Step::WantWrite : Tls::Step::Failed};
  const auto count = static_cast<std::size_t>(sent);
  if (urgent) urgent_at_ = count == size ? std::string::npos : urgent_at_ - count;
  return {Tls::Step::Done, count};
}

void Stream::start_tls(std::unique_ptr<Tls> tls) {
  next_tls_ = std::move(tls);
  flush();
}

void Stream::continue_handshake() {
  const auto step = tls_->handshake();
  wants_write_ = step == Tls::Step::WantWrite;
  if (step == Tls::Step::WantRead || step == Tls::Step::WantWrite) return update_interest();
  if (step != Tls::Step::Done) return fail();
  secured_ = Secured::Yes;
  update_interest();
  listener_.on_secured(*this);
}

void Stream::end_tls() {
  if (!tls_ || secured_ != Secured::Yes) return;
  clear_from_ = queue_.size();
  flush();
}

/// What was queued before is sent: now close_notify, and the rest in clear. False: again when the socket is writable.
bool Stream::say_end_of_tls() {
  wants_write_ = tls_->close() == Tls::Step::WantWrite;
  if (wants_write_) return false;
  clear_from_ = std::string::npos;
  secured_ = Secured::Ending;
  return true;
}

void Stream::read(bool wanted) {
  reading_ = wanted;
  update_interest();
}

void Stream::shutdown() {
  if (tls_ && secured_ == Secured::Yes) tls_->close();
  ::shutdown(socket_.get(), SHUT_WR);
}

void Stream::close() {
  poll_.close(socket_);
  next_tls_.reset();
  tls_.reset();
  closed_ = true;
  at_end_ = true;
  std::string().swap(queue_);
}

void Stream::update_interest() {
  if (!poll_) return;
  if (secured_ == Secured::Handshake) return poll_.want(closed_ ? 0 : wants_write_ ? UV_WRITABLE : UV_READABLE);
  // Before the handshake nothing more is read in clear: it would come from whoever is in between.
  const bool wants_read = reading_ && !at_end_ && !closed_ && !next_tls_ && !wants_write_;
  // What TLS has read already is reported by no socket: being writable is true at once.
  const bool has_pending = wants_read && tls_ && tls_->has_pending();
  const bool wants_write = (!queue_.empty() || clear_from_ == 0 || has_pending) && !closed_;
  poll_.want((wants_read ? UV_READABLE : 0) | (wants_write ? UV_WRITABLE : 0));
}

void Stream::on_ready(int events) {
  if (events < 0) {
    if (at_end_ || events != UV_EBADF) return fail();
    // An error of the socket: the next read or write says which, behind what came before. Nothing is watched meanwhile.
    update_interest();
    // Nothing is read before a write of TLS that is blocked, so that this one says it.
    events = wants_write_ ? UV_WRITABLE : UV_READABLE;
  }
  if (secured_ == Secured::Handshake) return continue_handshake();
  if ((events & UV_WRITABLE) != 0) {
    const bool had_queue = !queue_.empty();
    flush();
    if (closed_) return;
    if (had_queue && queue_.empty()) {
      listener_.on_written(*this);
      return;  // the listener may have destroyed us; what is readable is reported again
    }
  }
  const bool is_readable = (events & UV_READABLE) != 0 || (reading_ && tls_ && tls_->has_pending());
  if (is_readable && !at_end_ && !wants_write_) receive();
}

Tls::Moved Stream::receive_some() {
  if (tls_) {
    const auto moved = tls_->read(buffer_);
    // A step that has to write first goes on with the next bytes of ours.
    if (moved.step != Tls::Step::Closed || secured_ != Secured::Ending) return moved;
    tls_.reset();
    secured_ = Secured::No;
  }
  const auto count = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
  if (count > 0) return {Tls::Step::Done, static_cast<std::size_t>(count)};
  if (count == 0) return {Tls::Step::Closed};
  return {errno == EAGAIN || errno == EINTR ? Tls::Step::WantRead : Tls::Step::Failed};
}

void Stream::receive() {
  const auto [step, count] = receive_some();
  switch (step) {
    case Tls::Step::Done:
      if (tls_) update_interest();  // what it holds no socket tells of
      return listener_.on_bytes(*this, {buffer_.data(), count});
    case Tls::Step::WantRead:
    case Tls::Step::WantWrite:
      return update_interest();
    case Tls::Step::Failed:
      return fail();
    // Many clients end their control channel without close_notify; nothing hangs on it.
    case Tls::Step::Closed:
    case Tls::Step::Truncated:
      at_end_ = true;
      update_interest();
      return listener_.on_closed(*this, Closed::Orderly);
  }
}

void Stream::fail() {
  if (closed_) return;
  closed_ = true;
  at_end_ = true;
  std::string().swap(queue_);
  update_interest();
  listener_.on_closed(*this, Closed::Reset);
}

}  // namespace pasvgate::net
