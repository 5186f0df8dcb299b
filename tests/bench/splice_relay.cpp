// The bench's physical limit: two sockets, one pipe of 1 MiB a direction, splice, and nothing else. No FTP.
//   splice_relay ADDRESS PORT BACKEND PORT LOW-HIGH
// Forwards the port and every port of the range to the same port (PORT to the backend's) of BACKEND; one thread, epoll.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int kPipe = 1 << 20;
int poller = -1;
std::string backend;

sockaddr_in endpoint(const std::string& host, int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, host.c_str(), &at.sin_addr);
  return at;
}

struct Pair;
struct Side {
  Pair* pair = nullptr;
  int socket = -1;
  int pipe[2] = {-1, -1};  ///< What this side sends.
  std::size_t held = 0;
  bool ended = false;
  int listens_for = 0;  ///< A listener: the backend's port.
};
struct Pair {
  Side sides[2];
};

bool move(Side& from, Side& to) {
  for (;;) {
    if (!from.ended && from.held < kPipe) {
      const auto count =
          splice(from.socket, nullptr, from.pipe[1], nullptr, kPipe - from.held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (count > 0) from.held += static_cast<std::size_t>(count);
      if (count == 0) from.ended = true;
      if (count < 0 && errno != EAGAIN) return false;
      if (count < 0 && from.held == 0) return true;
    }
    if (from.held == 0) {
      if (from.ended) shutdown(to.socket, SHUT_WR);
      return true;
    }
    const auto count = splice(from.pipe[0], nullptr, to.socket, nullptr, from.held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (count > 0) from.held -= static_cast<std::size_t>(count);
    if (count < 0) return errno == EAGAIN;
  }
}

void add(Side& side, unsigned events) {
  epoll_event event{.events = events, .data = {.ptr = &side}};
  epoll_ctl(poller, EPOLL_CTL_ADD, side.socket, &event);
}

void finish(Pair* pair) {
  for (Side& side : pair->sides) {
    close(side.socket);
    close(side.pipe[0]);
    close(side.pipe[1]);
  }
  delete pair;
}

void begin(const Side& listener) {
  const int client = accept4(listener.socket, nullptr, nullptr, SOCK_NONBLOCK);
  if (client < 0) return;
  auto* pair = new Pair;
  pair->sides[0].socket = client;
  pair->sides[1].socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const auto at = endpoint(backend, listener.listens_for);
  connect(pair->sides[1].socket, reinterpret_cast<const sockaddr*>(&at), sizeof at);
  const int one = 1;
  for (Side& side : pair->sides) {
    side.pair = pair;
    setsockopt(side.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (pipe2(side.pipe, O_NONBLOCK) != 0) std::abort();
    fcntl(side.pipe[1], F_SETPIPE_SZ, kPipe);
    add(side, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

void listen_on(const std::string& address, int port, int to) {
  auto* side = new Side;
  side->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int one = 1;
  setsockopt(side->socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const auto at = endpoint(address, port);
  if (bind(side->socket, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || listen(side->socket, 1024) != 0)
    std::exit(1);
  side->listens_for = to;
  add(*side, EPOLLIN);
}

}  // namespace

int main(int argc, char** argv) {
  int low = 0;
  int high = 0;
  if (argc != 6 || std::sscanf(argv[5], "%d-%d", &low, &high) != 2) return 2;
  poller = epoll_create1(0);
  backend = argv[3];
  listen_on(argv[1], std::atoi(argv[2]), std::atoi(argv[4]));
  for (int port = low; port <= high; ++port) listen_on(argv[1], port, port);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    epoll_event events[64];
    int count = epoll_wait(poller, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      auto* side = static_cast<Side*>(events[i].data.ptr);
      if (side->listens_for != 0) {
        begin(*side);
        continue;
      }
      Pair* pair = side->pair;
      Side& other = side == &pair->sides[0] ? pair->sides[1] : pair->sides[0];
      const bool works = move(*side, other) && move(other, *side);
      const bool over =
          pair->sides[0].ended && pair->sides[1].ended && pair->sides[0].held == 0 && pair->sides[1].held == 0;
      if (works && !over) continue;
      // Both sides of a pair may be in this batch.
      for (int later = i + 1; later < count; ++later) {
        if (events[later].data.ptr == &pair->sides[0] || events[later].data.ptr == &pair->sides[1]) {
          events[later] = events[--count];
          --later;
        }
      }
      finish(pair);
    }
  }
}
