#include "server/health_checker.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <variant>

#include "ftp/line.h"
#include "ftp/reply.h"
#include "gateway/health_dialogue.h"
#include "net/connector.h"
#include "net/stream.h"
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

/// One check: connects, and carries out what gateway::HealthDialogue says; then QUIT, and waits for the server's end.
class HealthChecker::Probe final : public net::Stream::Listener {
 public:
  Probe(HealthChecker& checker, Groups::Check check)
      : checker_(checker),
        config_(checker.config_),
        backend_(config_->backends.at(check.backend)),
        check_(std::move(check)),
        dialogue_(backend_, check_.check.at.address),
        timer_(checker.loop_, [this] { timed_out(); }),
        framer_(kLongestLine, ftp::Telnet::Verbatim) {
    timer_.start(backend_.health.timeout);
    connector_ =
        std::make_unique<net::Connector>(checker.loop_, check_.check.at, backend_.health.timeout,
                                         [this](net::Result<net::Fd> socket) { connected(std::move(socket)); });
  }

 private:
  void connected(net::Result<net::Fd> socket) {
    if (!socket) return connect_failed(socket.error());
    stream_ = std::make_unique<net::Stream>(checker_.loop_, std::move(*socket), checker_.buffer_, *this);
    stream_->queue(own_proxy_header(backend_.proxy_protocol));
    stream_->flush();
    if (stream_->is_open()) follow(dialogue_.connected());
  }

  void connect_failed(const net::Error& error) {
    if (error.is_ours()) return end(std::nullopt, error.text());
    end(error.code == ETIMEDOUT ? Result::Timeout : Result::Failed, error.text());
  }

  void follow(gateway::HealthDialogue::Step step) {
    if (const auto* say = std::get_if<gateway::HealthDialogue::Say>(&step)) {
      stream_->queue(say->line);
      stream_->flush();
    } else if (std::holds_alternative<gateway::HealthDialogue::BeginTls>(step)) {
      begin_tls();
    } else if (const auto* data = std::get_if<gateway::HealthDialogue::Connect>(&step)) {
      connect_data(data->to);
    } else if (const auto* done = std::get_if<gateway::HealthDialogue::Done>(&step)) {
      if (!done->wrong.empty()) return end(Result::Failed, done->wrong);
      if (backend_.health.check == config::HealthCheck::Tcp) return end(Result::Ok, "");
      say_quit();
    }
  }

  void begin_tls() {
    if (framer_.is_partial()) return end(Result::Failed, "bytes in clear before the TLS handshake");
    stream_->start_tls(std::make_unique<net::Tls>(checker_.tls_->backends.at(check_.backend), stream_->socket().get(),
                                                  net::make_tls_binding(),
                                                  backend_.tls_name.value_or(check_.check.host)));
  }

  void connect_data(const ftp::Endpoint& to) {
    connector_ = std::make_unique<net::Connector>(
        checker_.loop_, to, backend_.health.timeout, [this](net::Result<net::Fd> socket) {
          if (told_) return;
          if (!socket) return connect_failed({socket.error().code, "data connection: " + socket.error().what});
          if (backend_.proxy_protocol_data) {
            const std::string header = own_proxy_header(backend_.proxy_protocol);
            // Whoever doesn't get it says so in the server's log; that it connects is what is checked.
            (void)::send(socket->get(), header.data(), header.size(), MSG_NOSIGNAL);
          }
          follow(dialogue_.data_connected());
        });
  }

  void on_bytes(net::Stream&, std::string_view bytes) override {
    while (!told_) {
      const auto line = framer_.next(bytes);
      if (!line) return;
      const auto reply = reader_.read(line->text);
      auto step = dialogue_.replied(reply);
      if (std::holds_alternative<gateway::HealthDialogue::BeginTls>(step) && !bytes.empty()) {
        return end(Result::Failed, "bytes in clear before the TLS handshake");
      }
      follow(std::move(step));
    }
  }
  void on_secured(net::Stream&) override { follow(dialogue_.secured()); }
  void on_written(net::Stream&) override {}
  void on_closed(net::Stream& stream, net::Stream::Closed) override {
    const std::string why(stream.tls_error());
    end(Result::Failed, why.empty() ? "the connection ended before the " + std::string(dialogue_.awaited()) : why);
  }

  void say_quit() {
    tell(Result::Ok, "");
    // First, as sending may find the server gone, and be the end of this check.
    timer_.start(kFarewell);
    stream_->queue("QUIT\r\n");
    stream_->flush();
  }

  void timed_out() {
    end(Result::Timeout, "no " + std::string(stream_ ? dialogue_.awaited() : "connection") + " in time");
  }

  void tell(std::optional<Result> result, std::string_view why) {
    if (!std::exchange(told_, true)) checker_.groups_.checked(check_, result, "check: " + std::string(why));
  }
  void end(std::optional<Result> result, std::string_view why) {
    tell(result, why);
    if (stream_) stream_->close();
    timer_.close();
    checker_.ended(*this);
  }

  HealthChecker& checker_;
  const std::shared_ptr<const config::Config> config_;
  const config::Backend& backend_;
  const Groups::Check check_;
  gateway::HealthDialogue dialogue_;
  net::Timer timer_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Stream> stream_;
  ftp::LineFramer framer_;
  ftp::ReplyReader reader_;
  bool told_ = false;
};

HealthChecker::HealthChecker(net::Loop& loop, Groups& groups)
    : loop_(loop), groups_(groups), timer_(loop, [this] { run(); }), next_turn_(loop, [this] {
        dead_.clear();
        run();
      }) {}

HealthChecker::~HealthChecker() = default;

void HealthChecker::use(std::shared_ptr<const config::Config> config, std::shared_ptr<const TlsContexts> tls) {
  config_ = std::move(config);
  tls_ = std::move(tls);
  run();
}

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
  next_turn_.start(net::kNextTurn);
}

}  // namespace pasvgate::server
