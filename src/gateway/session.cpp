#include "gateway/session.h"

#include <algorithm>
#include <utility>

#include "gateway/command_policy.h"
#include "gateway/foreign.h"
#include "gateway/plan.h"

namespace pasvgate::gateway {
namespace {

// Before the login no client has need of as many commands that FTP doesn't know, one behind the other.
constexpr std::uint8_t kMostUnknown = 10;

/// What may stand between REST and its transfer (RFC 3659 §5 has nothing there; clients have these).
bool keeps_restart(ftp::Verb verb) {
  using enum ftp::Verb;
  switch (verb) {
    case Allo:
    case Mdtm:
    case Mode:
    case Noop:
    case Size:
    case Stru:
    case Type:
      return true;
    default:
      return false;
  }
}

}  // namespace

Session::Session(const SessionOptions& options)
    : options_(options), security_(options_.client_tls, options_.require_private_data) {
  static const config::Timeouts defaults;
  if (options_.timeouts == nullptr) options_.timeouts = &defaults;
  static const config::Policy anything;
  if (options_.policy == nullptr) options_.policy = options_.rules != nullptr ? &options_.rules->policy : &anything;
}

void Session::begin(std::vector<Action>& out) {
  out_ = &out;
  if (options_.client_tls == config::ClientTls::Implicit) {
    start_tls(Leg::Client);
  } else {
    choose_backend(nullptr);
  }
  set_timer(false);
  out_ = nullptr;
}

void Session::handle(const Event& event, std::vector<Action>& out) {
  if (ended_) return;
  out_ = &out;
  if (blind_) {
    take_blind(event);
    out_ = nullptr;
    return;
  }
  std::visit([this](const auto& one) { on(one); }, event);
  if (!ended_ && !blind_) end_if_over();
  if (!ended_ && !blind_) {
    set_timer(std::holds_alternative<ClientLine>(event) || std::holds_alternative<BackendLine>(event));
  }
  out_ = nullptr;
}

void Session::on(const ClientLine& line) {
  if (client_gone_) return;
  if (line.fault == ftp::LineFault::None) {
    const ftp::Command command = ftp::Command::parse(line.text);
    if (command.name.empty()) return;  // G14: an empty line is no command
    if (may_overtake(command)) {
      if (command.verb == ftp::Verb::Abor) abort_transfer();
      forward(command, line.text, line.interrupt);
      return;
    }
  }
  if (commands_.empty() && may_run()) {
    run(line.text, line.fault);
  } else {
    commands_.push_back({std::string(line.text), line.fault});
  }
  run_queued();
  if (commands_.size() >= options_.pipelined_commands && !client_paused_) {
    client_paused_ = true;
    send(PauseClient{});
  }
}

// RFC 959 §4.1.3 lets ABOR, STAT and QUIT in while a transfer runs. Others keep their turn: most servers read nothing
// then. So does QUIT, whose answer comes behind the transfer anyway: Pure-FTPd takes it for an ABOR.
bool Session::may_overtake(const ftp::Command& command) const {
  const bool transferring = !replies_.empty() && replies_.front().transfer && !replies_.front().answered;
  if (!transferring || aborting_ || refused_command(command, *options_.policy)) return false;
  if (command.verb == ftp::Verb::Abor) return true;
  // One at a time: Pure-FTPd gives one answer to all that it finds when it looks.
  return command.verb == ftp::Verb::Stat && held_code_ == 0 && commands_.empty() && replies_.size() == 1;
}

void Session::abort_transfer() {
  aborting_ = true;
  replies_.front().aborted = true;
  // A server that watches its control channel must see the ABOR before its data connection ends, or it never answers
  // it (Pure-FTPd). One that writes into a full socket reads no ABOR, and some know none (G6): those learn it from the
  // reset, after a moment.
  if (data_.state() == DataChannel::State::Open || data_.state() == DataChannel::State::Waiting) {
    holding_data_ = true;
    send(HoldData{});
  }
  if (data_.state() != DataChannel::State::None) data_.broken();
  if (held_code_ != 0) settle_transfer();
}

/// One command at a time.
bool Session::may_run() const {
  return !ended_ && (greeted_ || is_at_front()) && !handshake_ && replies_.empty() && held_code_ == 0 &&
         data_.state() != DataChannel::State::SettingUp && data_.state() != DataChannel::State::Leasing;
}

void Session::run_queued() {
  while (!commands_.empty() && may_run()) {
    const Queued queued = std::move(commands_.front());
    commands_.pop_front();
    run(queued.text, queued.fault);
  }
  if (client_paused_ && commands_.size() < options_.pipelined_commands) {
    client_paused_ = false;
    send(ResumeClient{});
  }
}

/// G16: of a client that has logged in nobody doubts it.
bool Session::is_no_ftp(std::string_view line, ftp::LineFault fault) {
  if (logged_in_) return false;
  const ftp::Command command = ftp::Command::parse(line);
  const bool is_known = fault == ftp::LineFault::None && command.verb != ftp::Verb::Other;
  unknown_ = is_known ? std::uint8_t{0} : static_cast<std::uint8_t>(unknown_ + 1);
  return unknown_ > kMostUnknown || is_foreign(command);
}

void Session::run(std::string_view line, ftp::LineFault fault) {
  if (is_no_ftp(line, fault)) {
    warn("the client speaks another protocol than FTP");
    return close_with(421, "This is an FTP server.", EndReason::ForeignProtocol);
  }
  if (fault == ftp::LineFault::TooLong) return reply(ftp::write_reply(500, "Line too long."));
  if (fault == ftp::LineFault::ForbiddenByte) {
    return reply(ftp::write_reply(501, "A command holds no NUL and no CR."));
  }
  const ftp::Command command = ftp::Command::parse(line);
  if (refuse_by_policy(command) || secure(command)) return;
  if (front_ && answer_in_front(command, line)) return;
  if (command.verb == ftp::Verb::Auth && !commands_.empty()) {
    warn("a command came in clear behind AUTH");
    return end(EndReason::TlsFailed);
  }
  if (const auto own = own_answer(command)) return answer(command.verb, *own);
  if (command.sets_up_data()) return set_up_data(command);
  if (command.is_transfer() && data_.state() == DataChannel::State::Expired) {
    // The backend would wait in vain for a data connection that can't come any more.
    data_.clear();
    return answer(command.verb, ftp::write_reply(425, "The data port has expired, ask for one again."));
  }
  forward(command, line, false);
}

bool Session::refuse_by_policy(const ftp::Command& command) {
  const auto refused = refused_command(command, *options_.policy);
  if (!refused) return false;
  send(Note{PolicyNote{refused->key, command.masked()}});
  answer(command.verb, refused->reply);
  return true;
}

void Session::forward(const ftp::Command& command, std::string_view line, bool interrupt) {
  if (command.verb == ftp::Verb::User) asked_user_ = command.argument;
  if (command.verb == ftp::Verb::Rein) discard_data();
  if (!keeps_restart(command.verb)) restart_.clear();
  const bool is_remembered =
      command.is_transfer() || command.verb == ftp::Verb::Rest || command.verb == ftp::Verb::Type;
  replies_.push({.verb = command.verb,
                 .argument = is_remembered ? std::string(command.argument) : std::string{},
                 .transfer = command.is_transfer()});
  const auto start = line.find_first_not_of(" \t");
  send(ToBackend{ftp::telnet_escaped(line.substr(start)) + "\r\n", interrupt && command.verb == ftp::Verb::Abor});
  open_legs();
}

void Session::answer(ftp::Verb verb, std::string_view whole) {
  send(Note{CommandNote{verb, (whole.at(0) - '0') * 100 + (whole.at(1) - '0') * 10 + (whole.at(2) - '0')}});
  reply(whole);
}

void Session::on(const ClientClosed& closed) {
  client_gone_ = true;
  commands_.remove_if([](const Queued& queued) { return queued.fault != ftp::LineFault::None; });
  if (closed.how == Closing::Reset) end(EndReason::ClientReset);
}

void Session::on(const BackendConnected& connected) {
  connected_ = true;
  backend_family_ = connected.family;
  backend_ = connected.traits;
  if (backend_.tls == config::BackendTls::Implicit) return start_tls(Leg::Backend);
  replies_.push({.greeting = true});
}

void Session::on(const BackendUnreachable& why) {
  if (is_reaching() && why.forbidden) {
    refuse_user("the host of a login has no address that user_hosts allows");
    return run_queued();
  }
  close_with(421, "Service not available, try again later.", EndReason::BackendUnreachable);
}

void Session::on(const BackendClosed&) {
  if (!connected_) return;  // the one before
  backend_gone_ = true;
  if (!payload_moves()) end_without_backend();
}

void Session::on(const DataEnded& end) {
  if (data_.state() != DataChannel::State::Open) return;
  data_.ended(end);
  settle_transfer();
}

void Session::on(const DataBroken& how) {
  if (data_.state() != DataChannel::State::Open) return;
  data_.broken(how);
  settle_transfer();
}

void Session::on(const Banned&) { close_with(421, "Too many failed logins, try again later.", EndReason::Refused); }

void Session::on(const Drain&) { draining_ = true; }

/// RFC 959 §4.2.1: 421 may answer any command, so what runs gets no reply of its own.
void Session::on(const Stop& stop) {
  close_with(
      421,
      stop.reason == EndReason::Operator ? "Closed by the operator." : "Service is shutting down, try again later.",
      stop.reason);
}

void Session::on(const TimerFired&) {
  switch (waiting_) {
    case Wait::Handshake:
      if (handshake_) on(TlsFailed{*handshake_});
      return;
    case Wait::Greeting:
      return close_with(421, "Service not available, try again later.", EndReason::GreetingTimeout);
    case Wait::Login:
      return close_with(421, "Login took too long.", EndReason::LoginTimeout);
    case Wait::Idle:
      return close_with(421, "Idle for too long.", EndReason::IdleTimeout);
    case Wait::Abort:
      if (!holding_data_) return give_up_abort();
      holding_data_ = false;
      waiting_ = Wait::Nothing;  // the same wait once more
      return send(ResetData{});
    case Wait::Word:
      takes_silence_ = true;
      return open_legs();
    case Wait::Data:
      warn("the backend didn't open its data connection");
      send(Note{DataTimeoutNote{Leg::Backend, Mode::Active}});
      lose_data();
      return settle_transfer();
    case Wait::TransferReply:
      if (replies_.transfer() != nullptr) fail_transfer();
      [[fallthrough]];
    case Wait::Reply:
      return close_with(421, "The server doesn't answer.", EndReason::ReplyTimeout);
    case Wait::Nothing:
      return;
  }
}

bool Session::is_idle() const {
  using enum DataChannel::State;
  return commands_.empty() && !is_reaching() && replies_.empty() && held_code_ == 0 && data_.state() != SettingUp &&
         data_.state() != Leasing;
}

void Session::end_if_over() {
  if (backend_gone_ && !payload_moves()) return end_without_backend();
  if (client_gone_) {
    // Nobody is there to open a passive data connection, nor to hear that one broke.
    const bool waits_for_client = data_.state() == DataChannel::State::Waiting && data_.plan().client == Mode::Passive;
    const bool stuck = replies_.transfer() != nullptr && !payload_moves() && held_code_ == 0 &&
                       (waits_for_client || data_.state() == DataChannel::State::Broken);
    // With a whole login said, what it asks for still happens.
    const bool has_login = is_reaching() && !commands_.empty();
    if (is_idle() || stuck || (!connected_ && !has_login)) return end(EndReason::ClientClosed);
  }
  // Who was told a port is about to use it, and would see its transfer fail. What doesn't come ends with its lease.
  const bool has_port = data_.plan().client == Mode::Passive &&
                        (data_.state() == DataChannel::State::Waiting || data_.state() == DataChannel::State::Open);
  if (draining_ && ((is_idle() && !has_port) || !connected_)) {
    close_with(421, "Service is shutting down, try again later.", EndReason::Drained);
  }
}

std::string_view Session::activity() const {
  if (!connected_) return is_at_front() ? "login" : "connecting";
  if (!greeted_) return "greeting";
  if (replies_.transfer() != nullptr) return "transfer";
  if (!logged_in_) return "login";
  return replies_.empty() ? "idle" : "command";
}

void Session::to_client(std::string_view line) {
  std::string text;
  text.reserve(line.size() + 2);
  text.append(line).append("\r\n");
  send(ToClient{std::move(text)});
}

void Session::warn(std::string_view what, std::string_view detail) {
  send(Note{WarningNote{what, std::string(detail)}});
}

void Session::close_with(int code, std::string_view text, EndReason reason) {
  reply(ftp::write_reply(code, text));
  end(reason, code);
}

void Session::end(EndReason reason, int told) {
  if (ended_) return;
  if (const Pending* cut = replies_.transfer()) {
    note_transfer(*cut, TransferNote::Result::Aborted, told);
  }
  send(End{reason});
  ended_ = true;
}

}  // namespace pasvgate::gateway
