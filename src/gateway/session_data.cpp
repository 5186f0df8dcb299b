#include <utility>

#include "gateway/plan.h"
#include "gateway/session.h"

namespace pasvgate::gateway {
namespace {

// These say that the server doesn't know EPSV at all, not that it can't do it now (B6).
bool lacks_command(int code) { return code == 500 || code == 502 || code == 504; }

std::string active_argument(ftp::Verb verb, const ftp::Endpoint& at) {
  return verb == ftp::Verb::Eprt ? ftp::write_eprt(at) : ftp::write_port(at);
}

}  // namespace

void Session::set_up_data(const ftp::Command& command) {
  ftp::Endpoint client;
  if (command.verb == ftp::Verb::Port || command.verb == ftp::Verb::Eprt) {
    if (epsv_only_) return answer(command.verb, ftp::write_reply(503, "Only EPSV after EPSV ALL."));
    const auto at = active_client(command, options_.client, *options_.policy);
    if (!at) {
      warn("a data address that the client may not use was refused", command.argument);
      return answer(command.verb, at.error());
    }
    client = *at;
  } else {
    if (command.verb == ftp::Verb::Pasv && epsv_only_) {
      return answer(command.verb, ftp::write_reply(503, "Only EPSV after EPSV ALL."));
    }
    if (const auto refusal = refused_passive(command, options_.client.family())) return answer(command.verb, *refusal);
    if (command.verb == ftp::Verb::Epsv && ftp::parse_epsv(command.argument) == ftp::EpsvArgument::All) {
      epsv_only_ = true;
      return answer(command.verb, ftp::write_reply(200, "EPSV ALL ok."));
    }
  }
  discard_data();
  data_.set_up(plan_data(command.verb, backend_.data_mode, backend_family_, backend_.lacks_epsv), client);
  set_up_ = std::make_unique<SetUp>();
  set_up_->asked_argument = command.argument;
  takes_silence_ = false;
  if (data_.plan().backend == Mode::Active) return send(ListenForBackend{});
  const bool as_sent = data_.plan().verb == ftp::Verb::Epsv && data_.plan().verb == command.verb &&
                       backend_family_ == options_.client.family();
  ask_backend(data_.plan().verb, as_sent ? command.argument : std::string_view{});
}

void Session::on(const BackendPortOpened& opened) {
  if (data_.state() != DataChannel::State::SettingUp || data_.plan().backend != Mode::Active) return send(ResetData{});
  set_up_->gateway_at = opened.at;
  ask_backend_again(data_.plan().verb);
}

void Session::on(const BackendPortRefused&) {
  if (data_.state() != DataChannel::State::SettingUp) return;
  warn("no port for the backend's data connection (backends.*.active_ports)");
  refuse_data(425, "Can't open data connection: no port is free, try again later.");
}

void Session::ask_backend(ftp::Verb verb, std::string_view argument) {
  backend_asked_ = verb;
  if (verb != ftp::Verb::Rest) backend_setup_ = verb;
  set_up_->backend_data.reset();
  set_up_->backend_error.reset();
  set_up_->backend_answer.clear();
  replies_.push({.verb = verb});
  std::string line(ftp::verb_name(verb));
  if (!argument.empty()) line.append(" ").append(ftp::telnet_escaped(argument));
  send(ToBackend{line + "\r\n"});
}

void Session::ask_backend_again(ftp::Verb verb) {
  const std::optional<ftp::Endpoint> at = set_up_->gateway_at;
  ask_backend(verb, at ? active_argument(verb, *at) : std::string{});
}

void Session::take_data_reply(const ftp::ReplyLine& line) {
  const bool names_port = line.code == 227 || line.code == 229;
  const bool is_passive = backend_asked_ == ftp::Verb::Pasv || backend_asked_ == ftp::Verb::Epsv;
  if (names_port && is_passive) {
    if (!set_up_->backend_data) take_data_address(line);
    if (line.ends_reply()) finish_data_reply(line.code);
    return;
  }
  if (!line.is_failure()) {
    if (!line.ends_reply()) return;
    const int right = backend_asked_ == ftp::Verb::Rest ? 3 : 2;  // F15: 250 for PORT
    if (!is_passive && line.code / 100 == right) return finish_data_reply(line.code);
    // A20: the late reply of an earlier command; the right one is still to come.
    return warn("a reply that doesn't belong to the data channel's set-up was dropped", line.line);
  }
  const bool is_last = !next_backend_verb(backend_asked_, line.code, backend_family_);
  if (is_last && backend_asked_ != ftp::Verb::Rest) to_client(line.line);
  if (line.ends_reply()) finish_data_reply(line.code);
}

void Session::take_data_address(const ftp::ReplyLine& line) {
  if (line.code == 227) {
    const auto endpoint = ftp::parse_227(line.text);
    if (endpoint) set_up_->backend_data = *endpoint;
    if (!endpoint) set_up_->backend_error = endpoint.error();
  } else {
    const auto passive = ftp::parse_229(line.text);
    if (passive) set_up_->backend_data = {ftp::Address::parse(passive->host).value_or(ftp::Address{}), passive->port};
    if (!passive) set_up_->backend_error = passive.error();
  }
  if (set_up_->backend_data) set_up_->backend_answer = line.line;
}

void Session::finish_data_reply(int code) {
  replies_.remove(std::exchange(answering_, nullptr));
  if (backend_asked_ == ftp::Verb::Rest) {
    if (code < 400) return backend_is_set_up();
    warn("the backend took no REST behind the data channel's set-up");
    return refuse_data(425, "Can't open data connection.");
  }
  if (code >= 400) {
    if (const auto next = next_backend_verb(backend_asked_, code, backend_family_)) {
      set_up_->fell_back = lacks_command(code) && *next == ftp::Verb::Pasv;
      return ask_backend_again(*next);
    }
    send(Note{CommandNote{data_.plan().asked, code}});
    discard_data();
    return run_queued();
  }
  if (data_.plan().backend == Mode::Passive) {
    const std::optional<ftp::Endpoint> told = set_up_->backend_data;
    const bool low = told && told->port < 1024 && !backend_.allow_low_data_ports;
    if (!told || low) {
      warn(low ? "the backend's passive port is below 1024 (backends.*.allow_low_data_ports)"
               : ftp::error_text(set_up_->backend_error.value_or(ftp::AddressError::NoAddress)),
           set_up_->backend_answer);
      return refuse_data(425, "Can't open data connection.");
    }
    if (set_up_->fell_back) {
      send(RememberNoEpsv{});
      backend_.lacks_epsv = true;
    }
    std::optional<ftp::Address> address;
    if (is_trusted(told->address, backend_.data_address, backend_.trusted_data)) address = told->address;
    data_.backend_at(address, told->port);
  }
  // A server forgets its REST over a command that the client didn't send; the client doesn't know, so it is said again.
  if (!restart_.empty() && backend_setup_ != data_.plan().asked) {
    const std::string answer = std::exchange(set_up_->backend_answer, {});
    ask_backend(ftp::Verb::Rest, restart_);
    set_up_->backend_answer = answer;
    return;
  }
  backend_is_set_up();
}

/// The backend's leg can be opened; now the client is told of its own.
void Session::backend_is_set_up() {
  if (data_.plan().client == Mode::Passive) {
    data_.leasing();
    const std::optional<ftp::Endpoint> told = set_up_->backend_data;
    return send(TakeLease{options_.same_ports && told ? std::optional(told->port) : std::nullopt});
  }
  const std::string verb(ftp::verb_name(data_.plan().asked));
  client_is_set_up(ftp::write_reply(200, verb + " command successful."), verb + " " + set_up_->asked_argument);
}

void Session::on(const LeaseGranted& lease) {
  if (data_.state() != DataChannel::State::Leasing) return send(ResetData{});
  if (data_.plan().asked == ftp::Verb::Pasv && !lease.address) {
    warn("no IPv4 address to advertise to this client");
    return refuse_data(425, "Can't open data connection, use EPSV.");
  }
  const std::string told =
      data_.plan().asked == ftp::Verb::Epsv ? ftp::write_229(lease.port) : ftp::write_227({*lease.address, lease.port});
  client_is_set_up(told, std::string_view(told).substr(0, told.size() - 2));
}

void Session::on(const LeaseRefused& refused) {
  if (data_.state() != DataChannel::State::Leasing) return;
  send(Note{LeaseNote{refused.why}});
  refuse_data(425, "Can't open data connection: no port is free, try again later.");
}

/// `told` is the reply to the client; `client_side` says for the trace what is behind it.
void Session::client_is_set_up(std::string_view told, std::string_view client_side) {
  data_.is_set_up();
  const std::optional<ftp::Endpoint> at = set_up_->gateway_at;
  const std::string backend_side =
      at ? std::string(ftp::verb_name(backend_setup_)) + " " + active_argument(backend_setup_, *at)
         : set_up_->backend_answer;
  send(Note{RewriteNote{data_.plan().asked, backend_side, std::string(client_side)}});
  set_up_.reset();
  answer(data_.plan().asked, told);
  run_queued();
}

void Session::refuse_data(int code, std::string_view text) {
  const ftp::Verb asked = data_.plan().asked;
  discard_data();
  // The backend may wait on a port all the same: a transfer pipelined behind is answered here.
  data_.expired();
  answer(asked, ftp::write_reply(code, text));
  run_queued();
}

/// Each leg is opened at its time; here alone that is decided.
void Session::open_legs() {
  using enum Leg;
  const Pending* transfer = replies_.transfer();
  const bool has_word = transfer != nullptr && (transfer->preliminary || held_code_ != 0);
  if (data_.state() == DataChannel::State::Open && has_word) return send(ExpectData{transfer->direction()});
  if (data_.state() != DataChannel::State::Waiting) return;
  const DataPlan& plan = data_.plan();
  const bool client_came = plan.client == Mode::Passive ? data_.stands(Client) : transfer != nullptr;
  // Some servers read no command before it, and close their port within seconds.
  if (plan.backend == Mode::Passive && data_.is_idle(Backend) && client_came) {
    data_.connecting(Backend);
    send(OpenBackendData{data_.address(), data_.port()});
  }
  // An active client is connected to as a server would do it: not before the transfer is sure to come.
  const bool sure = transfer != nullptr && is_sure(*transfer);
  if (plan.client == Mode::Active && data_.is_idle(Client) && data_.stands(Backend) && sure) {
    data_.connecting(Client);
    send(OpenClientData{data_.client()});
  }
  if (data_.stands(Client) && data_.stands(Backend)) {
    data_.opened();
    send(RelayData{.client_tls = security_.has_private_data(),
                   .backend_tls = backend_.tls != config::BackendTls::Off && backend_.private_data});
    if (has_word) send(ExpectData{transfer->direction()});
  }
}

/// The backend won't refuse the transfer any more.
bool Session::is_sure(const Pending& transfer) const {
  return data_.plan().backend == Mode::Active || transfer.preliminary || held_code_ != 0 || takes_silence_;
}

/// An active client isn't connected to yet because nobody knows what the backend makes of the transfer.
bool Session::waits_for_word() const {
  return data_.state() == DataChannel::State::Waiting && data_.plan().client == Mode::Active &&
         data_.is_idle(Leg::Client) && data_.stands(Leg::Backend) && !is_sure(replies_.front());
}

void Session::on(const DataConnected& connected) {
  using enum DataChannel::State;
  // A backend may connect before the client has heard of its own port; nothing else is expected then.
  const bool early = connected.leg == Leg::Backend && (data_.state() == SettingUp || data_.state() == Leasing);
  if (data_.state() != Waiting && !early) return send(ResetData{});
  data_.connected(connected.leg);
  open_legs();
}

void Session::on(const DataUnreachable& unreachable) {
  if (data_.state() != DataChannel::State::Waiting) return;
  warn(unreachable.leg == Leg::Backend ? "the backend's data port can't be reached"
                                       : "the client's data port can't be reached");
  lose_data();
  settle_transfer();
}

void Session::on(const LeaseExpired&) {
  if (data_.state() != DataChannel::State::Waiting) return;
  const bool in_use = replies_.transfer() != nullptr;
  // Where it isn't the client that is missing, the transfer itself is the use, and other timeouts bound it.
  if (in_use && (data_.plan().client == Mode::Active || data_.stands(Leg::Client))) return;
  const bool backend_missed = data_.plan().backend == Mode::Active && !data_.stands(Leg::Backend);
  if (backend_missed) send(Note{DataTimeoutNote{Leg::Backend, Mode::Active}});
  lose_data();
  if (in_use) return settle_transfer();
  data_.expired();
}

/// What there is of the data channel is gone, for the peers as well.
void Session::lose_data() {
  send(ResetData{});
  data_.broken();
}

/// Forgets the data channel, whatever became of it.
void Session::discard_data() {
  using enum DataChannel::State;
  const auto state = data_.state();
  const bool is_open = state == Leasing || state == Waiting || state == Open || state == Broken ||
                       (state == SettingUp && data_.plan().backend == Mode::Active);
  if (is_open) send(ResetData{});
  holding_data_ = false;
  set_up_.reset();
  data_.clear();
}

}  // namespace pasvgate::gateway
