#include "net/socket.h"

#include <fcntl.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

namespace pasvgate::net {
namespace {

struct SockAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SockAddress to_sockaddr(const ftp::Endpoint& endpoint) {
  SockAddress result;
  const auto octets = endpoint.address.octets();
  if (endpoint.address.family() == ftp::Family::V4) {
    auto* in = reinterpret_cast<sockaddr_in*>(&result.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(endpoint.port);
    std::memcpy(&in->sin_addr, octets.data(), octets.size());
    result.length = sizeof(sockaddr_in);
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(endpoint.port);
    std::memcpy(&in6->sin6_addr, octets.data(), octets.size());
    result.length = sizeof(sockaddr_in6);
  }
  return result;
}

void set(const Fd& socket, int level, int option, int value) {
  ::setsockopt(socket.get(), level, option, &value, sizeof value);
}

std::unexpected<Error> failure(std::string what) { return std::unexpected(Error{errno, std::move(what)}); }

Result<Fd> open_tcp(const ftp::Endpoint& endpoint, const std::string& what) {
  const int family = endpoint.address.family() == ftp::Family::V4 ? AF_INET : AF_INET6;
  Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return failure(what);
  return socket;
}

}  // namespace

bool Error::is_ours() const {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM || code == EADDRNOTAVAIL;
}

std::string Error::text() const { return what + ": " + std::generic_category().message(code); }

void Fd::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void Fd::reset() noexcept {
  if (descriptor_ < 0) return;
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close();
}

Result<Fd> bind_tcp(const ftp::Endpoint& at, Share share) {
  const std::string what = "listen on " + at.text();
  auto socket = open_tcp(at, what);
  if (!socket) return socket;
  set(*socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (share == Share::AmongWorkers) set(*socket, SOL_SOCKET, SO_REUSEPORT, 1);
  if (at.address.family() == ftp::Family::V6) set(*socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const SockAddress address = to_sockaddr(at);
  if (::bind(socket->get(), address.get(), address.length) != 0) return failure(what);
  return socket;
}

Result<void> start_listening(const Fd& socket, int backlog) {
  if (::listen(socket.get(), backlog) == 0) return {};
  int code = errno;
  if (code == EADDRINUSE) {
    int before = 0;
    socklen_t length = sizeof before;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &before, &length);
    set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    code = ::listen(socket.get(), backlog) == 0 ? 0 : errno;
    set(socket, SOL_SOCKET, SO_REUSEADDR, before);
    if (code == 0) return {};
  }
  const auto at = local_endpoint(socket);
  return std::unexpected(Error{code, "listen on " + (at ? at->text() : std::string("a socket"))});
}

void stop_listening(const Fd& socket) { ::shutdown(socket.get(), SHUT_RD); }

void keep_port(const Fd& socket) {
  set(socket, SOL_SOCKET, SO_REUSEADDR, 0);
  set(socket, SOL_SOCKET, SO_REUSEPORT, 1);
}

void make_room_for(std::size_t descriptors) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || descriptors == 0) return;
  const auto highest = std::min<rlim_t>({descriptors, limit.rlim_cur, INT_MAX}) - 1;
  const Fd any(::eventfd(0, EFD_CLOEXEC));
  // One that stands there, and goes: the table stays.
  const Fd last(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(highest)));
}

Cork::Cork(const Fd& socket) : socket_(socket) { cork_to_end(socket_); }
Cork::~Cork() { set(socket_, IPPROTO_TCP, TCP_CORK, 0); }
void cork_to_end(const Fd& socket) { set(socket, IPPROTO_TCP, TCP_CORK, 1); }

void free_port(const Fd& accepted) { set(accepted, SOL_SOCKET, SO_REUSEADDR, 1); }

Result<Accepted> accept_tcp(const Fd& listener) {
  SockAddress peer;
  peer.length = sizeof peer.storage;
  Fd socket(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length,
                      SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return failure("accept");
  const auto endpoint = endpoint_of(peer.get());
  return Accepted{std::move(socket), endpoint.value_or(ftp::Endpoint{})};
}

ftp::Endpoint Accepted::dialled() const { return told.value_or(local_endpoint(socket).value_or(ftp::Endpoint{})); }

Result<Fd> connect_tcp(const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from) {
  const std::string what = "connect to " + to.text();
  auto socket = open_tcp(to, what);
  if (!socket) return socket;
  if (from) {
    set(*socket, SOL_SOCKET, SO_REUSEADDR, 1);
    // The kernel then chooses the port by the whole connection, so that far more of them fit.
    if (from->port == 0) set(*socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    const SockAddress local = to_sockaddr(*from);
    if (::bind(socket->get(), local.get(), local.length) != 0) {
      if (from->port != 0) return connect_tcp(to, ftp::Endpoint{from->address, 0});
      return failure(what);
    }
  }
  const SockAddress address = to_sockaddr(to);
  if (::connect(socket->get(), address.get(), address.length) != 0 && errno != EINPROGRESS) {
    // The very same connection lingers from before.
    if (errno == EADDRNOTAVAIL && from && from->port != 0) return connect_tcp(to, ftp::Endpoint{from->address, 0});
    return failure(what);
  }
  return socket;
}

std::optional<int> connect_result(const Fd& socket, const ftp::Endpoint& to) {
  const SockAddress address = to_sockaddr(to);
  if (::connect(socket.get(), address.get(), address.length) == 0) return 0;
  if (errno == EALREADY || errno == EINPROGRESS || errno == EINTR) return std::nullopt;
  return errno == EISCONN ? 0 : errno;
}

Result<void> make_transparent(const Fd& listening) {
  const auto at = local_endpoint(listening);
  const bool is_v6 = at && at->address.family() == ftp::Family::V6;
  const int on = 1;
  const int failed = is_v6 ? ::setsockopt(listening.get(), IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on)
                           : ::setsockopt(listening.get(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
  if (failed != 0) return failure("IP_TRANSPARENT");
  return {};
}

std::optional<ftp::Endpoint> original_destination(const Fd& accepted) {
  const auto local = local_endpoint(accepted);
  if (!local) return local;
  const bool is_v6 = local->address.family() == ftp::Family::V6;
  // linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which don't go together with netinet/in.h.
  constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST
  SockAddress address;
  address.length = is_v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (::getsockopt(accepted.get(), is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, kOriginalDestination, &address.storage,
                   &address.length) != 0) {
    return local;  // the connection is no conntrack's
  }
  return endpoint_of(address.get());
}

bool is_own(const ftp::Address& address) { return bind_tcp({address, 0}, Share::Alone).has_value(); }

int socket_error(const Fd& socket) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

std::optional<ftp::Endpoint> endpoint_of(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(address);
    std::array<std::uint8_t, 4> octets{};
    std::memcpy(octets.data(), &in->sin_addr, octets.size());
    return ftp::Endpoint{ftp::Address::v4(octets), ntohs(in->sin_port)};
  }
  if (address->sa_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &in6->sin6_addr, octets.size());
    return ftp::Endpoint{ftp::Address::v6(octets), ntohs(in6->sin6_port)};
  }
  return std::nullopt;
}

std::optional<ftp::Endpoint> local_endpoint(const Fd& socket) {
  SockAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) return {};
  return endpoint_of(address.get());
}

std::optional<ftp::Endpoint> peer_endpoint(const Fd& socket) {
  SockAddress address;
  address.length = sizeof address.storage;
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) return {};
  return endpoint_of(address.get());
}

void tune_control(const Fd& socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, SOL_SOCKET, SO_OOBINLINE, 1);
  // Firewalls forget idle connections after some minutes, and a control channel is idle as long as its transfer runs.
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

void tune_data(const Fd& socket) {
  // What splice brings is sent as it comes: a last small segment must not wait for an acknowledgement.
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  // splice stops at an urgent byte; in line it can at least be read (see Relay::probe).
  set(socket, SOL_SOCKET, SO_OOBINLINE, 1);
}

Delivery delivery_of(const Fd& socket) {
  constexpr int kFin = 1;
  int left = INT_MAX;
  ::ioctl(socket.get(), SIOCOUTQ, &left);
  // A peer that has no room but for the last byte hasn't been sent the FIN.
  int unsent = 0;
  if (left == kFin && ::ioctl(socket.get(), SIOCOUTQNSD, &unsent) != 0) unsent = kFin;
  if (socket_error(socket) != 0) return Delivery::Failed;
  return left <= kFin && unsent == 0 ? Delivery::Done : Delivery::Waits;
}

SendBuffer send_buffer(const Fd& socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_MEMINFO, info.data(), &length) != 0) return {};
  return {info[SK_MEMINFO_WMEM_QUEUED], info[SK_MEMINFO_SNDBUF]};
}

}  // namespace pasvgate::net
