#include "server/proxy_intake.h"

#include <string>
#include <utility>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

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
  // A proxy that is set up wrongly is wrong with every connection.
  const std::size_t count = refusals_.count();
  if (count == 0) return;
  observe::log(config::LogLevel::Warn, "connection without its PROXY header",
               {{"from", client.peer.text()},
                {"why", std::string(why)},
                {"count", std::to_string(count), observe::Field::Kind::Number}});
}

}  // namespace pasvgate::server
