#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>

#include "ftp/address.h"

namespace pasvgate::net {

/// What failed: an errno and what was tried with whom. Never shown to a client.
struct Error {
  int code = 0;      ///< errno
  std::string what;  ///< "connect to 192.168.1.10:21"
  [[nodiscard]] std::string text() const;
  /// Descriptors, memory or ports of this machine ran out: it says nothing of the peer.
  [[nodiscard]] bool is_ours() const;
};
template <typename T>
using Result = std::expected<T, Error>;

/// A descriptor with one owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int descriptor) : descriptor_(descriptor) {}
  Fd(Fd&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      close();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~Fd() { close(); }
  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] explicit operator bool() const { return descriptor_ >= 0; }
  void close() noexcept;
  /// Closes with a TCP reset (SO_LINGER 0).
  void reset() noexcept;

 private:
  int descriptor_ = -1;
};

/// A TCP server socket that isn't listening yet: bound to `at`, SO_REUSEADDR, non-blocking; IPv6 sockets take IPv6
/// only.
enum class Share : std::uint8_t { Alone, AmongWorkers /* SO_REUSEPORT */ };
Result<Fd> bind_tcp(const ftp::Endpoint& at, Share share);
/// Starts listening. On a bound socket that was shut down (`stop_listening`) it starts again. Connections of another
/// program that linger on the port (TIME_WAIT) are in nobody's way, also after `keep_port`.
Result<void> start_listening(const Fd& socket, int backlog);
/// The port is closed to the world but stays ours; waiting connections are reset. Only for one that listens: on another
/// Linux would remember the shutdown, and all that it accepts later would read as ended.
void stop_listening(const Fd& socket);
/// A bound socket keeps its port to itself and listens quickly from now on. With SO_REUSEADDR any program could bind to
/// the port while nobody listens there. listen(2) looks for a conflict among all connections of the port, those in
/// TIME_WAIT too, unless the socket shares it (SO_REUSEPORT): with programs of our own user that ask for that.
void keep_port(const Fd& socket);
/// Of a connection that such a socket accepted: its TIME_WAIT keeps nobody from binding to the port.
void free_port(const Fd& accepted);

/// Makes the process's table of descriptors large enough for so many, or as many as it may have. To let it grow later
/// stops whichever thread needs it to for tens of milliseconds, once other threads share the table (the kernel's
/// synchronize_rcu).
void make_room_for(std::size_t descriptors);

/// What is written while this lives TCP sends in full segments; the rest goes at its end.
class Cork {
 public:
  explicit Cork(const Fd& socket);
  ~Cork();
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;

 private:
  const Fd& socket_;
};

/// The same to the socket's end: the last segment goes with the FIN.
void cork_to_end(const Fd& socket);

struct Accepted {
  Fd socket;  ///< Non-blocking, close-on-exec.
  ftp::Endpoint peer;
  std::optional<ftp::Endpoint> told;  ///< Where somebody in between says that the peer was going.
  /// What the peer connected to: that, or our own address.
  [[nodiscard]] ftp::Endpoint dialled() const;
};
/// errno EAGAIN when nobody waits.
Result<Accepted> accept_tcp(const Fd& listener);

/// Begins a non-blocking connect; ready when writable, then `socket_error` tells. With `from` it comes from that
/// address, and from that port where it can be had.
Result<Fd> connect_tcp(const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from = {});
/// What has come of it: an errno, or 0 for a connection that stands; nothing yet while it is on its way.
std::optional<int> connect_result(const Fd& socket, const ftp::Endpoint& to);
/// The listening socket also takes connections to other addresses, which nftables' `tproxy` sends to it. Needs
/// CAP_NET_ADMIN. (Its `redirect` needs nothing.)
Result<void> make_transparent(const Fd& listening);
/// Where a connection was going that nftables redirected to us; our end of it for any other.
std::optional<ftp::Endpoint> original_destination(const Fd& accepted);
/// Whether the address is this machine's.
bool is_own(const ftp::Address& address);
/// 0, or the errno that the socket holds (and clears it).
int socket_error(const Fd& socket);

std::optional<ftp::Endpoint> local_endpoint(const Fd& socket);
std::optional<ftp::Endpoint> peer_endpoint(const Fd& socket);
std::optional<ftp::Endpoint> endpoint_of(const sockaddr* address);

/// Small writes go out at once; a peer that vanished is noticed by keep-alive; urgent data is read in line (RFC 959
/// §4.1.3). Of a listening socket: for all that it accepts.
void tune_control(const Fd& socket);
void tune_data(const Fd& socket);
/// Of all bytes that were written before `shutdown(SHUT_WR)`: whether the peer has acknowledged them, and was sent the
/// FIN. That one is acknowledged late, mostly with the peer's own; the kernel sends it again when it is lost, as long
/// as for any socket that was closed.
enum class Delivery : std::uint8_t { Waits, Done, Failed };
Delivery delivery_of(const Fd& socket);

struct SendBuffer {
  std::size_t queued = 0;  ///< Not acknowledged yet, with the kernel's own bookkeeping.
  std::size_t size = 0;
};
SendBuffer send_buffer(const Fd& socket);

}  // namespace pasvgate::net
