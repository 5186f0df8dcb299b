#include "net/stream.h"

#include <cerrno>

namespace pasvgate::net {

Stream::Stream(Loop& loop, Fd socket, std::span<char> buffer, Listener& listener)
    : socket_(std::move(socket)),
      poll_(loop.uv(), socket_.get(), [this](int events) { on_ready(events); }),
      buffer_(buffer),
      listener_(listener) {
  update_interest();
}

void Stream::queue_urgent(std::string_view bytes) {
  if (closed_) return;
  queue(bytes);
  urgent_at_ = queue_.size() - 1;
}

void Stream::flush() {
  while (!queue_.empty() && !closed_) {
    // Up to the urgent byte and no further, so that the kernel's urgent mark stands on just that byte.
    const bool urgent = urgent_at_ != std::string::npos;
    const std::size_t size = urgent ? urgent_at_ + 1 : queue_.size();
    const auto sent = ::send(socket_.get(), queue_.data(), size, MSG_NOSIGNAL | (urgent ? MSG_OOB : 0));
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return fail();
      break;
    }
    const auto count = static_cast<std::size_t>(sent);
    queue_.erase(0, count);
    if (urgent) urgent_at_ = count == size ? std::string::npos : urgent_at_ - count;
  }
  // An idle session keeps no buffer.
  if (queue_.empty()) std::string().swap(queue_);
  update_interest();
}

void Stream::read(bool wanted) {
  reading_ = wanted;
  update_interest();
}

void Stream::shutdown() { ::shutdown(socket_.get(), SHUT_WR); }

void Stream::close() {
  poll_.close();
  socket_.close();
  closed_ = true;
  at_end_ = true;
  std::string().swap(queue_);
}

void Stream::update_interest() {
  if (!poll_) return;
  const bool wants_read = reading_ && !at_end_ && !closed_;
  const bool wants_write = !queue_.empty() && !closed_;
  poll_.want((wants_read ? UV_READABLE : 0) | (wants_write ? UV_WRITABLE : 0));
}

void Stream::on_ready(int events) {
  if (events < 0) {
    poll_.was_stopped();
    if (at_end_ || events != UV_EBADF) return fail();
    // An error of the socket: the next read or write says which.
    events = UV_READABLE;
  }
  if ((events & UV_WRITABLE) != 0) {
    const bool had_queue = !queue_.empty();
    flush();
    if (closed_) return;
    if (had_queue && queue_.empty()) {
      listener_.on_written(*this);
      return;  // the listener may have destroyed us; what is readable is reported again
    }
  }
  if ((events & UV_READABLE) != 0 && !at_end_) receive();
}

void Stream::receive() {
  const auto count = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
  if (count > 0) {
    update_interest();
    return listener_.on_bytes(*this, {buffer_.data(), static_cast<std::size_t>(count)});
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return update_interest();
  if (count < 0) return fail();
  at_end_ = true;
  update_interest();
  listener_.on_closed(*this, Closed::Orderly);
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
