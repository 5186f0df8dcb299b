#include "server/proxy_intake.h"

#include <string>
#include <utility>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

// A proxy that is set up wrongly is wrong with every connection: one line in this time tells it.
constexpr std::chrono::milliseconds kLogPause = 1min;

observe::Metrics::ProxyHeader counted(net::ProxyResult result) {
  using enum observe::Metrics::ProxyHeader;
  switch (result) {
    case net::ProxyResult::Ok:
      return Ok;
    case net::ProxyResult::Own:
      return Own;
    case net::ProxyResult::Malformed:
      return Malformed;
    case net::ProxyResult::Timeout:
      return Timeout;
    case net::ProxyResult::Closed:
      return Closed;
  }
  std::unreachable();
}

}  // namespace

void ProxyIntake::take(net::Accepted client, std::chrono::milliseconds timeout, OnRead on_read) {
  const auto here = waiting_.insert(waiting_.end(), Waiting{std::move(on_read), nullptr});
  here->reader = std::make_unique<net::ProxyReader>(
      loop_, std::move(client), timeout,
      [this, here](net::Accepted read, net::ProxyResult result, std::string_view why) {
        OnRead next = std::move(here->on_read);
        waiting_.erase(here);
        metrics_.proxy_header(counted(result));
        if (result == net::ProxyResult::Ok || result == net::ProxyResult::Own) return next(std::move(read));
        refuse(std::move(read), result, why);
      });
}

void ProxyIntake::refuse(net::Accepted client, net::ProxyResult result, std::string_view why) {
  client.socket.reset();
  // So does every probe of a balancer that only connects.
  if (result == net::ProxyResult::Closed) return;
  ++unlogged_;
  if (loop_.now() < next_line_) return;
  next_line_ = loop_.now() + static_cast<std::uint64_t>(kLogPause.count());
  observe::log(config::LogLevel::Warn, "connection without its PROXY header",
               {{"from", client.peer.text()},
                {"why", std::string(why)},
                {"count", std::to_string(std::exchange(unlogged_, 0)), observe::Field::Kind::Number}});
}

}  // namespace pasvgate::server
