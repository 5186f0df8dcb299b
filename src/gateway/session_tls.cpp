#include <utility>

#include "gateway/session.h"

namespace pasvgate::gateway {

using enum Leg;
using Then = ClientSecurity::Answer::Then;

void Session::start_tls(Leg leg) {
  handshake_ = leg;
  send(StartTls{leg});
}

/// True when the command was answered here.
bool Session::secure(const ftp::Command& command) {
  auto own = security_.answer(command);
  if (!own && command.verb == ftp::Verb::Rein && backend_.tls != config::BackendTls::Off) {
    own = ClientSecurity::Answer{.reply = ftp::write_reply(502, "REIN isn't available here.")};
  }
  if (!own) return false;
  // What stands behind AUTH in clear came from whoever was in between (RFC 4217 §15.1.1, and the STARTTLS injections).
  if (own->then == Then::StartTls && !commands_.empty()) {
    warn("a command came in clear behind AUTH");
    end(EndReason::TlsFailed);
    return true;
  }
  answer(command.verb, own->reply);
  if (own->then == Then::StartTls) start_tls(Client);
  if (own->then == Then::EndTls) send(EndTls{});
  return true;
}

void Session::on(const TlsStarted& started) {
  if (handshake_ != started.leg) return;
  handshake_.reset();
  if (started.leg == Client) {
    security_.secured();
    if (front_) {
      front_->tls = started.client;
    } else if (!connected_) {
      choose_backend(&started.client);
    }
    return run_queued();
  }
  if (backend_.tls == config::BackendTls::Explicit) return secure_backend_data();
  replies_.push({.greeting = true});
}

void Session::on(const TlsFailed& failed) {
  if (failed.leg == Client) return end(EndReason::TlsFailed);
  close_with(421, "Service not available, try again later.", EndReason::TlsFailed);
}

// The backend's greeting goes on to the client when all is ready behind it: a backend whose TLS fails is one that
// couldn't be reached.
void Session::take_greeting(const ftp::ReplyLine& line) {
  if (front_) {
    // The client has had its greeting; a refusal is the answer to its USER.
    if (line.is_failure()) to_client(line.line);
  } else if (backend_.tls == config::BackendTls::Off) {
    to_client(line.line);
  } else if (greeting_.size() < options_.line_bytes * 8 || line.ends_reply()) {
    greeting_.append(line.line).append("\r\n");
  }
  if (!line.ends_reply() || line.is_preliminary()) return;
  replies_.remove(std::exchange(answering_, nullptr));
  if (line.is_failure()) {
    if (!greeting_.empty()) reply(greeting_);
    return end(EndReason::Refused);
  }
  switch (backend_.tls) {
    case config::BackendTls::Off:
      return greet();
    case config::BackendTls::Explicit:
      return ask_security(ftp::Verb::Auth, "TLS");
    case config::BackendTls::Implicit:
      return secure_backend_data();
  }
}

void Session::ask_security(ftp::Verb verb, std::string_view argument) {
  replies_.push({.verb = verb, .security = true});
  send(ToBackend{std::string(ftp::verb_name(verb)) + " " + std::string(argument) + "\r\n"});
}

void Session::take_security_reply(const ftp::ReplyLine& line) {
  if (!line.ends_reply()) return;
  const ftp::Verb verb = answering_->verb;
  replies_.remove(std::exchange(answering_, nullptr));
  if (line.is_failure()) return refuse_security(line.line);
  if (verb == ftp::Verb::Auth) return start_tls(Backend);
  if (verb == ftp::Verb::Pbsz) return ask_security(ftp::Verb::Prot, "P");
  greet();
}

void Session::secure_backend_data() {
  if (!backend_.private_data) return greet();
  ask_security(ftp::Verb::Pbsz, "0");
}

void Session::refuse_security(std::string_view why) {
  warn("the backend refuses TLS (backends.*.tls, backends.*.tls_private_data)", why);
  close_with(421, "Service not available, try again later.", EndReason::TlsFailed);
}

void Session::greet() {
  if (front_) return tell_backend();
  greeted_ = true;
  if (!greeting_.empty()) reply(std::exchange(greeting_, {}));
  run_queued();
}

}  // namespace pasvgate::gateway
