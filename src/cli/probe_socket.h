#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cli/probe.h"
#include "net/socket.h"

namespace pasvgate::cli {

/// Frees with `Free`; for OpenSSL's objects.
template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using SslSession = std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>>;

/// One TCP connection, in clear or with TLS, whose every wait has an end. For a command that asks one thing after the
/// other; the gateway itself never waits like this.
class ProbeSocket {
 public:
  using Milliseconds = std::chrono::milliseconds;

  explicit ProbeSocket(Milliseconds timeout) : timeout_(timeout) {}
  /// From then on nothing is waited for or received, however much comes.
  void end_at(std::chrono::steady_clock::time_point end) { end_ = end; }

  /// Open, or how it failed.
  Reach connect(const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from = {});
  /// Takes over an accepted socket.
  void adopt(net::Fd socket) { socket_ = std::move(socket); }

  /// The client's handshake; with `session` it tries to resume it. The error in words.
  std::expected<void, std::string> start_tls(SSL_CTX* context, const std::string& name, SSL_SESSION* session);
  /// What TLS knows; null before start_tls.
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  /// All of `bytes`; the error in words.
  std::expected<void, std::string> send(std::string_view bytes);
  /// Some bytes, none at the end of the stream; the error in words.
  std::expected<std::string_view, std::string> receive();
  /// TLS's end, then TCP's.
  void close();

  [[nodiscard]] const net::Fd& fd() const { return socket_; }

 private:
  /// Waits for what OpenSSL's `result` asks for; the error when it asks for nothing.
  std::expected<void, std::string> wait_for_tls(int result);
  bool wait(short events) const;

  Milliseconds timeout_;
  std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::time_point::max();
  net::Fd socket_;
  std::unique_ptr<SSL, FreeWith<SSL_free>> ssl_;
  char buffer_[16 * 1024];
};

/// Waits until somebody connects to `listener`, `until` at the latest.
std::optional<net::Accepted> accept_one(const net::Fd& listener, std::chrono::milliseconds timeout);

}  // namespace pasvgate::cli
