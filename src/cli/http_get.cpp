#include "cli/http_get.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <system_error>

#include "net/socket.h"

namespace pasvgate::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string error_text(int code) {
  std::string text = std::generic_category().message(code);
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string in_seconds(std::chrono::milliseconds time) {
  std::string text = std::to_string(time.count() / 1000);
  if (time.count() % 1000 != 0) text += "." + std::to_string(time.count() % 1000 / 100);
  return text + " s";
}

class Exchange {
 public:
  using Result = std::expected<void, std::string>;

  explicit Exchange(const HttpGet& get) : get_(get), end_(Clock::now() + get.timeout) {}

  Result connect() {
    auto begun = net::connect_tcp(get_.server);
    if (!begun) return std::unexpected(error_text(begun.error().code));
    socket_ = std::move(*begun);
    if (auto waited = wait(POLLOUT); !waited) return waited;
    const int error = net::socket_error(socket_);
    return error == 0 ? Result() : std::unexpected(error_text(error));
  }

  Result send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno != EAGAIN && errno != EINTR) {
        return std::unexpected(error_text(errno));
      } else if (auto waited = wait(POLLOUT); !waited) {
        return waited;
      }
    }
    return {};
  }

  std::expected<HttpReply, std::string> receive() {
    HttpReader reader(get_.limit);
    std::array<char, 64UL * 1024> buffer{};
    while (!reader.is_whole()) {
      // Each time, or a peer that always has a byte ready would never come to its deadline.
      if (auto waited = wait(POLLIN); !waited) return std::unexpected(waited.error());
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got < 0) return std::unexpected(error_text(errno));
      auto taken = got == 0 ? reader.end() : reader.take({buffer.data(), static_cast<std::size_t>(got)});
      if (!taken) return std::unexpected(taken.error());
    }
    return std::move(reader).reply();
  }

 private:
  Result wait(short events) {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
      std::array<pollfd, 2> both{{{socket_.get(), events, 0}, {get_.interrupt, POLLIN, 0}}};
      const int ready = left <= 0 ? 0 : ::poll(both.data(), both.size(), static_cast<int>(left));
      if (ready == 0) return std::unexpected("no whole answer within " + in_seconds(get_.timeout));
      if (ready < 0 && errno != EINTR) return std::unexpected(error_text(errno));
      if (ready > 0 && both[1].revents != 0) return std::unexpected("interrupted");
      if (ready > 0) return {};
    }
  }

  const HttpGet& get_;
  Clock::time_point end_;
  net::Fd socket_;
};

}  // namespace

std::expected<HttpReply, std::string> http_get(const HttpGet& get) {
  Exchange exchange(get);
  if (auto connected = exchange.connect(); !connected) return std::unexpected(connected.error());
  const std::string request = "GET " + get.target + " HTTP/1.1\r\nHost: " + get.server.text() +
                              "\r\nAccept: application/json\r\nUser-Agent: pasvgate/" PASVGATE_VERSION
                              "\r\nConnection: close\r\n\r\n";
  if (auto sent = exchange.send(request); !sent) return std::unexpected(sent.error());
  return exchange.receive();
}

}  // namespace pasvgate::cli
