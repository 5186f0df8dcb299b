#include <utility>

#include "server/session_driver.h"
#include "server/worker.h"

// TLS on the session's control connections; on its data connections: make_relay in session_data.cpp.
namespace pasvgate::server {

void SessionDriver::execute(const gateway::StartTls& action) { control_leg(action.leg).starts_tls = true; }

/// At the end of the turn: what was said in clear is on its way, and what came behind it in clear is here.
void SessionDriver::begin_tls(gateway::Leg leg) {
  Leg& here = control_leg(leg);
  if (!here.unread.empty() || here.framer.is_partial()) return tls_failed(leg, "bytes in clear before the handshake");
  here.binding = net::make_tls_binding();
  here.stream->start_tls(make_tls(leg, here.stream->socket(), net::Tls::Channel::Control));
}

std::unique_ptr<net::Tls> SessionDriver::make_tls(gateway::Leg leg, const net::Fd& socket, net::Tls::Channel channel) {
  if (leg == gateway::Leg::Client) {
    return std::make_unique<net::Tls>(tls_->listeners, socket.get(), channel, client_.binding);
  }
  return std::make_unique<net::Tls>(tls_->backends.at(std::string(backend_name_)), socket.get(), backend_.binding,
                                    backend_settings_->tls_name.value_or(server_->host()));
}

void SessionDriver::on_secured(net::Stream& stream) {
  const Turn turn(*this);
  const auto leg = &stream == client_.stream.get() ? gateway::Leg::Client : gateway::Leg::Backend;
  // What came in clear since the check in begin_tls.
  if (!control_leg(leg).unread.empty()) return tls_failed(leg, "bytes in clear before the handshake");
  control_leg(leg).starts_tls = false;
  const net::Tls& tls = *stream.tls();
  worker_.shared().metrics.tls_handshake(leg, tls.version(), tls.is_resumed());
  observe::log(config::LogLevel::Info, "encrypted",
               {{"session", log_.id()},
                {"leg", std::string(leg_name(leg))},
                {"version", std::string(tls.version())},
                {"resumed", tls.is_resumed() ? "true" : "false"},
                {"subject", tls.peer().value_or("")}});
  handle(gateway::TlsStarted{leg, {std::string(tls.server_name()), tls.peer().value_or("")}});
}

void SessionDriver::tls_failed(gateway::Leg leg, std::string_view why) {
  note_tls_failure(leg, why);
  handle(gateway::TlsFailed{leg});
}

void SessionDriver::note_tls_failure(gateway::Leg leg, std::string_view why) {
  control_leg(leg).starts_tls = false;
  worker_.shared().metrics.tls_handshake(leg, "", false);
  observe::log(config::LogLevel::Warn, "no encryption",
               {{"session", log_.id()}, {"leg", std::string(leg_name(leg))}, {"error", std::string(why)}});
}

void SessionDriver::execute(const gateway::EndTls&) { client_.stream->end_tls(); }

}  // namespace pasvgate::server
