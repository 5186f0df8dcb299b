#include "server/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "net/socket.h"

namespace pasvgate::server {

Notify::Notify(net::Loop& loop) : watchdog_(loop, [this] { feed_watchdog(); }) {
  // The variable belongs to the process that WATCHDOG_PID names.
  const char* owner = std::getenv("WATCHDOG_PID");
  const char* timeout = std::getenv("WATCHDOG_USEC");
  if (timeout == nullptr || (owner != nullptr && std::strtol(owner, nullptr, 10) != ::getpid())) return;
  interval_ = std::chrono::milliseconds(std::strtoll(timeout, nullptr, 10) / 1000 / 2);
}

void Notify::ready() {
  send("READY=1");
  if (interval_.count() > 0) watchdog_.start(interval_);
}

void Notify::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto micros = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(micros));
}

void Notify::stopping() { send("STOPPING=1"); }

void Notify::feed_watchdog() {
  send("WATCHDOG=1");
  watchdog_.start(interval_);
}

void Notify::send(std::string_view state) const {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string_view name(path);
  if (name.empty() || name.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const net::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace pasvgate::server
