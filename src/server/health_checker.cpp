#include "server/health_checker.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "ftp/line.h"
#include "ftp/reply.h"
#include "net/connector.h"
#include "server/proxy_protocol.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;
using Result = observe::Metrics::CheckResult;

constexpr std::size_t kChecksAtOnce = 32;
// New servers may come from any thread (a session that resolved a name), so the next one due is looked for this often.
constexpr std::chrono::milliseconds kLongestSleep = 1s;
constexpr std::size_t kLongestLine = 8192;
// For the server's answer to QUIT. A close without it would be an error in the server's log.
constexpr std::chrono::milliseconds kFarewell = 1s;

}  // namespace

/// One check: connects, reads the greeting where that is wanted, says QUIT and waits for the server's end.
class HealthChecker::Probe {
 public:
  Probe(HealthChecker& checker, Groups::Check check)
      : checker_(checker),
        check_(std::move(check)),
        timer_(checker.loop_, [this] { timed_out(); }),
        framer_(kLongestLine, ftp::Telnet::Verbatim) {
    timer_.start(check_.check.timeout);
    connector_ =
        std::make_unique<net::Connector>(checker.loop_, check_.check.at, check_.check.timeout,
                                         [this](net::Result<net::Fd> socket) { connected(std::move(socket)); });
  }

 private:
  void connected(net::Result<net::Fd> socket) {
    if (!socket) {
      const net::Error& error = socket.error();
      if (error.is_ours()) return end(std::nullopt, error.text());
      return end(error.code == ETIMEDOUT ? Result::Timeout : Result::Failed, error.text());
    }
    const std::string header = own_proxy_header(check_.check.proxy);
    if (!header.empty() && ::send(socket->get(), header.data(), header.size(), MSG_NOSIGNAL) < 0) {
      return end(Result::Failed, "the connection ended before the greeting");
    }
    if (!check_.check.greeting) return end(Result::Ok, "");
    socket_ = std::move(*socket);
    poll_ = net::Poll(checker_.loop_, socket_.get(), [this](int) { readable(); });
    poll_.want(UV_READABLE);
  }

  void readable() {
    std::array<char, 4096> buffer;
    const auto count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return end(Result::Failed, "the connection ended before the greeting");
    if (told_) return;
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
    while (const auto line = framer_.next(bytes)) {
      const auto reply = reader_.read(line->text);
      // 120 promises a greeting, which may still come in time.
      if (!reply.ends_reply() || reply.is_preliminary()) continue;
      if (reply.code != 220) return end(Result::Failed, "its greeting is " + std::to_string(reply.code));
      return say_quit();
    }
  }

  void say_quit() {
    tell(Result::Ok, "");
    static constexpr std::string_view kQuit = "QUIT\r\n";
    if (::send(socket_.get(), kQuit.data(), kQuit.size(), MSG_NOSIGNAL) < 0) return end(Result::Ok, "");
    timer_.start(kFarewell);
  }

  void timed_out() { end(Result::Timeout, socket_ ? "no greeting in time" : "no connection in time"); }

  void tell(std::optional<Result> result, std::string_view why) {
    if (!std::exchange(told_, true)) checker_.groups_.checked(check_, result, "check: " + std::string(why));
  }
  void end(std::optional<Result> result, std::string_view why) {
    tell(result, why);
    poll_.close();
    timer_.close();
    checker_.ended(*this);
  }

  HealthChecker& checker_;
  const Groups::Check check_;
  net::Fd socket_;  // Before poll_: the descriptor must outlive its handle.
  net::Poll poll_;
  net::Timer timer_;
  std::unique_ptr<net::Connector> connector_;
  ftp::LineFramer framer_;
  ftp::ReplyReader reader_;
  bool told_ = false;
};

HealthChecker::HealthChecker(net::Loop& loop, Groups& groups)
    : loop_(loop), groups_(groups), timer_(loop, [this] { run(); }), next_turn_(loop.uv(), [this] {
        next_turn_.stop();
        dead_.clear();
        run();
      }) {
  run();
}

HealthChecker::~HealthChecker() = default;

void HealthChecker::run() {
  for (auto& check : groups_.due_checks(kChecksAtOnce - probes_.size())) {
    probes_.push_back(std::make_unique<Probe>(*this, std::move(check)));
  }
  const auto next = groups_.next_check().value_or(kLongestSleep);
  timer_.start(probes_.size() == kChecksAtOnce ? kLongestSleep
                                               : std::clamp(next, std::chrono::milliseconds(1), kLongestSleep));
}

void HealthChecker::ended(Probe& probe) {
  const auto found = std::ranges::find(probes_, &probe, &std::unique_ptr<Probe>::get);
  if (found == probes_.end()) return;
  dead_.push_back(std::move(*found));
  probes_.erase(found);
  next_turn_.start();
}

}  // namespace pasvgate::server
