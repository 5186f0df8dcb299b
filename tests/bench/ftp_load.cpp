// The bench's client. Prints one line of JSON with what it measured.
//   ftp_load ADDRESS PORT [--tls] MODE …
//   down N BYTES       N sessions at once download BYTES each
//   up N BYTES         … upload
//   small COUNT BYTES  one session downloads COUNT files, one after the other
//   logins COUNT BYTES COUNT whole sessions, one after the other, with one file each
//   noop COUNT         round trips in one session
//   idle COUNT         sessions that log in and wait: prints, and ends with its standard input
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::string host;
int port = 0;
bool tls = false;
SSL_CTX* context = nullptr;
std::vector<char> payload(1 << 20, 'y');
/// What the last ticket gave: a control channel's, or a data connection's where the server gives some there.
thread_local SSL_SESSION* newest_session = nullptr;

int on_session(SSL*, SSL_SESSION* session) {
  SSL_SESSION_free(newest_session);
  newest_session = session;
  return 1;
}

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "ftp_load: %s\n", why.c_str());
  std::exit(1);
}

class Connection {
 public:
  Connection(const std::string& address, int to) {
    socket_ = socket(AF_INET, SOCK_STREAM, 0);
    const int one = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(to));
    inet_pton(AF_INET, address.c_str(), &at.sin_addr);
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
      fail("connect: " + std::string(std::strerror(errno)));
  }
  ~Connection() {
    if (ssl_ != nullptr) {
      SSL_shutdown(ssl_);
      SSL_free(ssl_);
    }
    close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void secure(SSL_SESSION* resume) {
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, socket_);
    if (resume != nullptr) SSL_set_session(ssl_, resume);
    if (SSL_connect(ssl_) != 1) fail("TLS handshake");
  }
  long read_some(char* into, std::size_t size) {
    return ssl_ != nullptr ? SSL_read(ssl_, into, static_cast<int>(size)) : recv(socket_, into, size, 0);
  }
  /// Bytes nobody looks at; the kernel may drop them.
  long skip_some(char* into, std::size_t size) {
    return ssl_ != nullptr ? SSL_read(ssl_, into, static_cast<int>(size)) : recv(socket_, into, size, MSG_TRUNC);
  }
  void write_all(const char* bytes, std::size_t size) {
    while (size > 0) {
      const long count = ssl_ != nullptr
                             ? SSL_write(ssl_, bytes, static_cast<int>(std::min<std::size_t>(size, 1 << 20)))
                             : send(socket_, bytes, size, MSG_NOSIGNAL);
      if (count <= 0) fail("write");
      bytes += count;
      size -= static_cast<std::size_t>(count);
    }
  }
  void end() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_);
    shutdown(socket_, SHUT_WR);
  }

 private:
  int socket_;
  SSL* ssl_ = nullptr;
};

class Session {
 public:
  Session() : control_(std::make_unique<Connection>(host, port)) {
    expect("220");
    if (tls) {
      command("AUTH TLS", "234");
      control_->secure(nullptr);
    }
    command("USER tester", "331");
    command("PASS secret", "230");
    if (tls) {
      command("PBSZ 0", "200");
      command("PROT P", "200");
    }
  }

  std::string command(const std::string& text, const char* code) {
    const std::string line = text + "\r\n";
    control_->write_all(line.data(), line.size());
    return expect(code);
  }

  void download(unsigned long long bytes) {
    static thread_local std::vector<char> into(1 << 18);
    unsigned long long got = 0;
    {
      const auto data = passive();
      command("RETR " + std::to_string(bytes), "150");
      secure(*data);
      for (long count = 0; (count = data->skip_some(into.data(), into.size())) > 0;) {
        got += static_cast<unsigned long long>(count);
      }
    }
    if (got != bytes) fail("short file: " + std::to_string(got));
    expect("226");
  }

  void upload(unsigned long long bytes) {
    {
      const auto data = passive();
      command("STOR " + std::to_string(bytes), "150");
      secure(*data);
      for (unsigned long long left = bytes; left > 0;) {
        const auto part = std::min<unsigned long long>(left, payload.size());
        data->write_all(payload.data(), part);
        left -= part;
      }
      data->end();
      char byte = 0;
      while (data->read_some(&byte, 1) > 0) {
      }
    }
    expect("226");
  }

  void quit() { command("QUIT", "221"); }

 private:
  std::string expect(const char* code) {
    for (;;) {
      const auto end = buffer_.find('\n');
      if (end == std::string::npos) {
        char bytes[2048];
        const long count = control_->read_some(bytes, sizeof bytes);
        if (count <= 0) fail(std::string("closed before ") + code);
        buffer_.append(bytes, static_cast<std::size_t>(count));
        continue;
      }
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.size() < 4 || line[3] != ' ') continue;
      if (!line.starts_with(code)) fail("expected " + std::string(code) + ", got " + line);
      return line;
    }
  }

  std::unique_ptr<Connection> passive() {
    const std::string answer = command("PASV", "227");
    unsigned h[4];
    unsigned p[2];
    const auto open = answer.find('(');
    if (open == std::string::npos ||
        std::sscanf(answer.c_str() + open, "(%u,%u,%u,%u,%u,%u)", &h[0], &h[1], &h[2], &h[3], &p[0], &p[1]) != 6) {
      fail(answer);
    }
    const std::string at =
        std::to_string(h[0]) + "." + std::to_string(h[1]) + "." + std::to_string(h[2]) + "." + std::to_string(h[3]);
    return std::make_unique<Connection>(at, static_cast<int>(p[0] * 256 + p[1]));
  }

  void secure(Connection& data) {
    if (tls) data.secure(newest_session);
  }

  std::unique_ptr<Connection> control_;
  std::string buffer_;
};

double seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

void report(double took, double count, double bytes, double latency) {
  std::printf("{\"seconds\": %.6f, \"count\": %.0f, \"bytes\": %.0f, \"latency\": %.9f}\n", took, count, bytes,
              latency);
  std::fflush(stdout);
}

void bulk(long sessions, unsigned long long bytes, bool down) {
  std::barrier logged_in(sessions + 1);
  std::vector<std::thread> threads;
  for (long i = 0; i < sessions; ++i) {
    threads.emplace_back([&] {
      Session session;
      logged_in.arrive_and_wait();
      down ? session.download(bytes) : session.upload(bytes);
    });
  }
  logged_in.arrive_and_wait();
  const auto start = Clock::now();
  for (auto& thread : threads) thread.join();
  report(seconds(start), static_cast<double>(sessions), static_cast<double>(bytes) * static_cast<double>(sessions), 0);
}

void repeat(long count, double bytes, const std::function<void()>& one) {
  std::vector<double> latencies;
  const auto start = Clock::now();
  for (long i = 0; i < count; ++i) {
    const auto begun = Clock::now();
    one();
    latencies.push_back(seconds(begun));
  }
  report(seconds(start), static_cast<double>(count), bytes * static_cast<double>(count), median(std::move(latencies)));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::erase_if(arguments, [](const std::string& one) {
    if (one == "--tls") tls = true;
    return one == "--tls";
  });
  if (arguments.size() < 4) return 2;
  host = arguments[0];
  port = std::atoi(arguments[1].c_str());
  const std::string& mode = arguments[2];
  const long count = std::atol(arguments[3].c_str());
  const unsigned long long bytes = arguments.size() > 4 ? std::strtoull(arguments[4].c_str(), nullptr, 10) : 0;
  if (tls) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
  }
  if (mode == "down" || mode == "up") {
    bulk(count, bytes, mode == "down");
  } else if (mode == "small") {
    Session session;
    repeat(count, static_cast<double>(bytes), [&] { session.download(bytes); });
  } else if (mode == "logins") {
    repeat(count, static_cast<double>(bytes), [&] {
      Session session;
      session.download(bytes);
      session.quit();
    });
  } else if (mode == "noop") {
    Session session;
    repeat(count, 0, [&] { session.command("NOOP", "200"); });
  } else if (mode == "idle") {
    std::vector<std::unique_ptr<Session>> all;
    for (long i = 0; i < count; ++i) all.push_back(std::make_unique<Session>());
    report(0, static_cast<double>(count), 0, 0);
    char byte = 0;
    while (read(0, &byte, 1) > 0) {
    }
  } else {
    return 2;
  }
}
