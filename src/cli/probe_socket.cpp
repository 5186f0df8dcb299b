#include "cli/probe_socket.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pasvgate::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Whether `events` came before the time was over. A signal doesn't make it longer.
bool poll_until(int fd, short events, std::chrono::milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::max<long>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

Reach reach_of(int error) {
  if (error == ECONNREFUSED || error == ECONNRESET) return Reach::Refused;
  if (error == ETIMEDOUT) return Reach::Silent;
  return Reach::Unreachable;
}

std::string tls_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "the connection was closed" : reason;
}

std::string system_error(int code) { return std::strerror(code); }  // NOLINT(concurrency-mt-unsafe): one thread

}  // namespace

bool ProbeSocket::wait(short events) const {
  const auto now = Clock::now();
  const bool is_near = end_ - now < timeout_;
  return poll_until(socket_.get(), events, is_near ? std::chrono::ceil<Milliseconds>(end_ - now) : timeout_);
}

Reach ProbeSocket::connect(const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from) {
  auto begun = net::connect_tcp(to, from);
  if (!begun) return reach_of(begun.error().code);
  socket_ = std::move(*begun);
  if (!wait(POLLOUT)) return Reach::Silent;
  const int error = net::socket_error(socket_);
  return error == 0 ? Reach::Open : reach_of(error);
}

std::expected<void, std::string> ProbeSocket::wait_for_tls(int result) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      if (wait(POLLIN)) return {};
      return std::unexpected("no answer in time");
    case SSL_ERROR_WANT_WRITE:
      if (wait(POLLOUT)) return {};
      return std::unexpected("no answer in time");
    case SSL_ERROR_SYSCALL:
      return std::unexpected(saved == 0 ? "the connection was closed" : system_error(saved));
    default:
      return std::unexpected(tls_error());
  }
}

std::expected<void, std::string> ProbeSocket::start_tls(SSL_CTX* context, const std::string& name,
                                                        SSL_SESSION* session) {
  ssl_.reset(SSL_new(context));
  if (!ssl_ || SSL_set_fd(ssl_.get(), socket_.get()) != 1) return std::unexpected(tls_error());
  // No name for an address (RFC 6066 §3).
  if (!name.empty() && !ftp::Address::parse(name)) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
  for (;;) {
    errno = 0;
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return {};
    if (auto waited = wait_for_tls(result); !waited) return waited;
  }
}

std::expected<void, std::string> ProbeSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    errno = 0;
    if (ssl_) {
      const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (auto waited = wait_for_tls(sent); !waited) {
        return waited;
      }
      continue;
    }
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN || !wait(POLLOUT)) {
      return std::unexpected(errno == EAGAIN ? "no answer in time" : system_error(errno));
    }
  }
  return {};
}

std::expected<std::string_view, std::string> ProbeSocket::receive() {
  for (;;) {
    if (Clock::now() >= end_) return std::unexpected("no answer in time");
    errno = 0;
    if (ssl_) {
      const int got = SSL_read(ssl_.get(), buffer_, sizeof buffer_);
      if (got > 0) return std::string_view(buffer_, static_cast<std::size_t>(got));
      if ((SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0) return std::string_view();
      if (auto waited = wait_for_tls(got); !waited) return std::unexpected(waited.error());
      continue;
    }
    const ssize_t got = ::recv(socket_.get(), buffer_, sizeof buffer_, 0);
    if (got >= 0) return std::string_view(buffer_, static_cast<std::size_t>(got));
    if (errno != EAGAIN) return std::unexpected(system_error(errno));
    if (!wait(POLLIN)) return std::unexpected("no answer in time");
  }
}

void ProbeSocket::close() {
  if (ssl_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  ssl_.reset();
  socket_.close();
}

std::optional<net::Accepted> accept_one(const net::Fd& listener, std::chrono::milliseconds timeout) {
  if (!poll_until(listener.get(), POLLIN, timeout)) return std::nullopt;
  auto accepted = net::accept_tcp(listener);
  if (!accepted) return std::nullopt;
  return std::move(*accepted);
}

}  // namespace pasvgate::cli
