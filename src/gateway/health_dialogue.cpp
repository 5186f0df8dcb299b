#include "gateway/health_dialogue.h"

#include <utility>

#include "gateway/plan.h"

namespace pasvgate::gateway {

using config::BackendTls;
using config::HealthCheck;

std::string_view HealthDialogue::awaited() const {
  switch (awaited_) {
    case Awaited::Greeting:
      return "greeting";
    case Awaited::Auth:
      return "answer to AUTH";
    case Awaited::Handshake:
      return "TLS handshake";
    case Awaited::User:
      return "answer to USER";
    case Awaited::Pass:
      return "answer to PASS";
    case Awaited::Passive:
      return "answer to PASV";
    case Awaited::Data:
      return "data connection";
  }
  std::unreachable();
}

HealthDialogue::Step HealthDialogue::say(Awaited awaited, std::string line) {
  awaited_ = awaited;
  return Say{std::move(line) + "\r\n"};
}

HealthDialogue::Step HealthDialogue::connected() {
  if (backend_.health.check == HealthCheck::Tcp) return Done{};
  if (backend_.tls != BackendTls::Implicit) return Wait{};
  awaited_ = Awaited::Handshake;
  return BeginTls{};
}

HealthDialogue::Step HealthDialogue::secured() {
  if (backend_.tls == BackendTls::Explicit) return log_in();
  awaited_ = Awaited::Greeting;
  return Wait{};
}

HealthDialogue::Step HealthDialogue::log_in() {
  return say(Awaited::User, "USER " + backend_.health.user.value_or(""));
}

/// The way of PASV is what a login doesn't show: a server may be out of ports, or behind a firewall. One whose data
/// connections are always its own to open may have no PASV.
HealthDialogue::Step HealthDialogue::logged_in() {
  if (backend_.data_mode == config::DataMode::Active) return Done{};
  return say(Awaited::Passive, at_.family() == ftp::Family::V6 ? "EPSV" : "PASV");
}

HealthDialogue::Step HealthDialogue::passive(int code) {
  if (code != 227 && code != 229) return Done{"its answer to PASV is " + std::to_string(code)};
  if (!data_) return Done{"its answer to PASV has no address"};
  const bool as_told = is_trusted(data_->address, backend_.data_address, backend_.trusted_data);
  awaited_ = Awaited::Data;
  return Connect{{as_told ? data_->address : at_, data_->port}};
}

HealthDialogue::Step HealthDialogue::replied(const ftp::ReplyLine& line) {
  if (awaited_ == Awaited::Passive && !data_) {
    if (line.code == 227) {
      if (const auto told = ftp::parse_227(line.text)) data_ = *told;
    } else if (line.code == 229) {
      if (const auto told = ftp::parse_229(line.text)) data_ = {at_, told->port};
    }
  }
  // 120 promises a greeting, which may still come in time.
  if (!line.ends_reply() || line.is_preliminary()) return Wait{};
  const auto wrong = [&] { return Done{"its " + std::string(awaited()) + " is " + std::to_string(line.code)}; };
  switch (awaited_) {
    case Awaited::Greeting:
      if (line.code != 220) return wrong();
      if (backend_.health.check == HealthCheck::Greeting) return Done{};
      return backend_.tls == BackendTls::Explicit ? say(Awaited::Auth, "AUTH TLS") : log_in();
    case Awaited::Auth:
      if (line.code != 234) return wrong();
      awaited_ = Awaited::Handshake;
      return BeginTls{};
    case Awaited::User:
      if (line.code == 331) return say(Awaited::Pass, "PASS " + backend_.health.password);
      return line.code == 230 || line.code == 232 ? logged_in() : wrong();
    case Awaited::Pass:
      return line.code == 230 || line.code == 202 ? logged_in() : wrong();
    case Awaited::Passive:
      return passive(line.code);
    case Awaited::Handshake:
    case Awaited::Data:
      return Wait{};
  }
  std::unreachable();
}

}  // namespace pasvgate::gateway
