// The bench's backend: just enough FTP, a thread for each session, nothing that would be measured instead of the
// gateway.
//   ftp_server ADDRESS PORT ADVERTISED LOW-HIGH
// Listens on ADDRESS:PORT and advertises ADVERTISED with passive ports of the range, which it binds on ADDRESS.
// RETR N sends N bytes, STOR takes all; anything else gets 200.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

std::string address;
std::string advertised;
int low = 0;
int high = 0;
std::vector<char> payload(1 << 20, 'x');

sockaddr_in endpoint(const std::string& host, int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, host.c_str(), &at.sin_addr);
  return at;
}

int listen_on(int port) {
  const int one = 1;
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const auto at = endpoint(address, port);
  if (bind(server, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || listen(server, 1024) != 0) {
    close(server);
    return -1;
  }
  return server;
}

/// A passive port of the range, listening from the first to the last: on one host it would otherwise be the stub that
/// slows the listen(2) of what is measured, whose ports have the same numbers.
struct Passive {
  int port = 0;
  int socket = -1;
};
std::mutex passive_lock;
std::deque<Passive> free_passive;

Passive take_passive() {
  const std::lock_guard held(passive_lock);
  if (free_passive.empty()) return {};
  const Passive taken = free_passive.front();
  free_passive.pop_front();
  return taken;
}

void give_back(Passive& passive) {
  const std::lock_guard held(passive_lock);
  if (passive.socket >= 0) free_passive.push_back(passive);
  passive = {};
}

void say(int control, const std::string& text) {
  if (write(control, text.data(), text.size()) < 0) return;
}

class Session {
 public:
  explicit Session(int control) : control_(control) {
    const int one = 1;
    setsockopt(control, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~Session() {
    give_back(passive_);
    close(control_);
  }

  void run() {
    say(control_, "220 bench\r\n");
    std::string line;
    while (read_line(line)) {
      if (!handle(line)) return;
    }
  }

 private:
  bool read_line(std::string& line) {
    for (;;) {
      const auto end = buffer_.find('\n');
      if (end != std::string::npos) {
        line = buffer_.substr(0, end);
        if (line.ends_with('\r')) line.pop_back();
        buffer_.erase(0, end + 1);
        return true;
      }
      char bytes[4096];
      const auto count = read(control_, bytes, sizeof bytes);
      if (count <= 0) return false;
      buffer_.append(bytes, static_cast<std::size_t>(count));
    }
  }

  bool handle(const std::string& line) {
    if (line.starts_with("PASV")) {
      if (passive_.socket < 0) passive_ = take_passive();
      const int port = passive_.port;
      std::string comma = advertised;
      std::ranges::replace(comma, '.', ',');
      say(control_, "227 Entering Passive Mode (" + comma + "," + std::to_string(port / 256) + "," +
                        std::to_string(port % 256) + ").\r\n");
    } else if (line.starts_with("RETR ")) {
      transfer([&](int data) { send_bytes(data, std::strtoull(line.c_str() + 5, nullptr, 10)); });
    } else if (line.starts_with("STOR ")) {
      transfer([&](int data) { take_bytes(data); });
    } else if (line.starts_with("USER")) {
      say(control_, "331 password\r\n");
    } else if (line.starts_with("PASS")) {
      say(control_, "230 in\r\n");
    } else if (line.starts_with("QUIT")) {
      say(control_, "221 bye\r\n");
      return false;
    } else {
      say(control_, "200 ok\r\n");
    }
    return true;
  }

  template <typename Move>
  void transfer(Move move) {
    if (passive_.socket < 0) return say(control_, "425 PASV first\r\n");
    say(control_, "150 here\r\n");
    const int data = accept(passive_.socket, nullptr, nullptr);
    give_back(passive_);
    move(data);
    close(data);
    say(control_, "226 done\r\n");
  }

  static void send_bytes(int data, unsigned long long left) {
    while (left > 0) {
      const auto count = send(data, payload.data(), std::min<unsigned long long>(left, payload.size()), MSG_NOSIGNAL);
      if (count <= 0) return;
      left -= static_cast<unsigned long long>(count);
    }
    // The client's FIN, so that closing is no reset.
    shutdown(data, SHUT_WR);
    char byte = 0;
    while (recv(data, &byte, 1, 0) > 0) {
    }
  }

  static void take_bytes(int data) {
    // MSG_TRUNC: the kernel drops what nobody wants to see.
    std::vector<char> bytes(1 << 18);
    while (recv(data, bytes.data(), bytes.size(), MSG_TRUNC) > 0) {
    }
  }

  int control_;
  Passive passive_;
  std::string buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || std::sscanf(argv[4], "%d-%d", &low, &high) != 2) return 2;
  address = argv[1];
  advertised = argv[3];
  const int server = listen_on(std::atoi(argv[2]));
  if (server < 0) return 1;
  for (int port = low; port <= high; ++port) {
    const int socket = listen_on(port);
    if (socket >= 0) free_passive.push_back({port, socket});
  }
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    const int control = accept(server, nullptr, nullptr);
    if (control < 0) continue;
    std::thread([control] { Session(control).run(); }).detach();
  }
}
