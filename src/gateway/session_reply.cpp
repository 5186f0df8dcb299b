#include <algorithm>
#include <utility>

#include "gateway/command_policy.h"
#include "gateway/plan.h"
#include "gateway/session.h"

namespace pasvgate::gateway {
namespace {

/// TYPE's argument: A and E are text, I and L bytes (RFC 959 §4.1.2).
bool is_text_type(std::string_view argument) {
  const char type = argument.empty() ? ' ' : argument.front();
  return type == 'A' || type == 'a' || type == 'E' || type == 'e';
}

}  // namespace
namespace {

// A final reply is a line or a few. Beyond this a hostile one loses its middle, not its end.
constexpr std::size_t kHeldReplyLimit = std::size_t{64} * 1024;

}  // namespace

void Session::on(const BackendLine& line) {
  if (line.fault != ftp::LineFault::None) {
    warn("a reply line of the backend is longer than limits.line_bytes");
    if (reader_.is_inside()) return;
    return close_with(421, "Service not available, try again later.", EndReason::BackendClosed);
  }
  take_reply_line(reader_.read(line.text));
}

void Session::take_reply_line(const ftp::ReplyLine& line) {
  using enum ftp::ReplyLine::Place;
  if (line.place == Stray) return take_stray(line);
  bool is_word = false;
  if (line.place == First || line.place == Only) {
    answering_ = replies_.match(line);
    // Nothing that wasn't asked for may name a port: neither to the client, nor to a firewall on the way.
    discarding_ = answering_ == nullptr ? line.code == 227 || line.code == 229 : answering_->answered;
    if (discarding_ && answering_ == nullptr) warn("a reply that nobody asked for was dropped", line.line);
    if (answering_ != nullptr && line.is_preliminary() && answering_->preliminary && answering_->aborted) {
      // Pure-FTPd's last word on a transfer whose client went away is a second 150.
      fail_transfer();
      answering_ = nullptr;
      discarding_ = true;
    }
    // 120 speaks of the server's own delay (a greeting, REIN), never of a data connection.
    if (answering_ != nullptr && line.is_preliminary() && line.code != 120 && !answering_->is_own() &&
        data_.state() != DataChannel::State::SettingUp) {
      answering_->preliminary = true;
      answering_->transfer = true;
      logged_in_ = true;
      is_word = true;
    }
  }
  pass_reply_line(line);
  // The client hears of its transfer before the first byte.
  if (is_word && !ended_) open_legs();
}

void Session::pass_reply_line(const ftp::ReplyLine& line) {
  using enum ftp::ReplyLine::Place;
  if (discarding_) {
    if (line.ends_reply() && !line.is_preliminary() && answering_ != nullptr) {
      if (answering_->transfer) aborting_ = false;
      replies_.remove(std::exchange(answering_, nullptr));
      run_queued();
    }
    return;
  }
  if (line.code == 421 || answering_ == nullptr) {
    to_client(line.line);
    if (line.code == 421 && line.ends_reply()) end(EndReason::BackendClosed);
    return;
  }
  if (data_.state() == DataChannel::State::SettingUp && answering_->verb == backend_asked_)
    return take_data_reply(line);
  if (line.code == 227 || line.code == 229) {
    // The answer to another command: its text could open a port in a firewall on the way.
    warn("a 227 or 229 that answers neither PASV nor EPSV was replaced", line.line);
    discarding_ = line.place == First;
    constexpr std::string_view kReplacement = "451 Unexpected reply from the server.";
    return take_reply({Only, 451, kReplacement, kReplacement.substr(4)});
  }
  take_reply(line);
}

void Session::take_reply(const ftp::ReplyLine& line) {
  if (answering_->greeting) return take_greeting(line);
  if (answering_->security) return take_security_reply(line);
  if (answering_->repeated) return take_repeated_reply(line);
  if (answering_->transfer && !line.is_preliminary()) return take_transfer_reply(line);
  take_plain_reply(line);
}

void Session::take_stray(const ftp::ReplyLine& line) {
  if (line.line.empty() || discarding_) return;  // F11
  if (front_ && !greeted_) return;
  to_client(line.line);  // F6: banners that are no replies
}

namespace {

/// What lets a user in: 230, 232 with security data, and whatever is good of a password (202: one wasn't needed). Some
/// servers say 202 to an ACCT that nobody may give yet.
bool is_login(ftp::Verb verb, int code) {
  if (verb == ftp::Verb::Pass) return code >= 200 && code < 300;
  return (verb == ftp::Verb::User || verb == ftp::Verb::Acct) && (code == 230 || code == 232);
}

/// A password that isn't taken isn't, whatever the code; but one that nobody asked for (503) is none.
bool is_failed_login(ftp::Verb verb, int code) {
  if (verb == ftp::Verb::Pass) return code >= 400 && code != 503;
  return (verb == ftp::Verb::User || verb == ftp::Verb::Acct) && (code == 530 || code == 430 || code == 532);
}

}  // namespace

void Session::take_plain_reply(const ftp::ReplyLine& line) {
  using enum ftp::ReplyLine::Place;
  const bool is_first = line.place == First || line.place == Only;
  const ftp::Verb verb = answering_->verb;
  // More of a greeting that came in several replies: the client had one already.
  if (front_ && verb == ftp::Verb::User && line.code == 220) {
    if (line.ends_reply()) answering_ = nullptr;
    return;
  }
  if (options_.counts_users && is_first && is_login(verb, line.code)) return count_user(line);
  pass_plain_reply(line);
}

/// The client hears of its login when it is sure that it may stay.
void Session::count_user(const ftp::ReplyLine& line) {
  login_reply_.reset(new LoginReply{line.place, line.code, std::string(line.line)});
  send(CountUser{key_of(asked_user_)});
}

void Session::on(const UserCounted& counted) {
  const auto held = std::move(login_reply_);
  if (!counted.allowed) {
    return close_with(421, "This user has too many sessions, try again later.", EndReason::Refused);
  }
  const std::string_view line = held->line;
  pass_plain_reply({held->place, held->code, line, line.substr(std::min<std::size_t>(4, line.size()))});
}

void Session::pass_plain_reply(const ftp::ReplyLine& line) {
  using enum ftp::ReplyLine::Place;
  const bool is_first = line.place == First || line.place == Only;
  const ftp::Verb verb = answering_->verb;
  const bool passes = verb == ftp::Verb::Auth && options_.client_tls == config::ClientTls::Passthrough;
  if (passes && line.code == 234 && line.ends_reply()) return pass_through(line);
  if (verb == ftp::Verb::Abor && is_first && line.is_success() && replies_.transfer() != nullptr) fail_transfer();
  if (verb == ftp::Verb::Feat && line.code == 211) {
    take_feat_reply(line);
  } else {
    to_client(line.line);
  }
  if (!line.ends_reply() || line.is_preliminary()) return;

  const Pending answered = *answering_;
  replies_.remove(std::exchange(answering_, nullptr));
  send(Note{CommandNote{answered.verb, line.code}});
  note_login(answered, line.code);
  if (answered.verb == ftp::Verb::Rest && line.code == 350) restart_ = answered.argument;
  if (answered.verb == ftp::Verb::Type && line.is_success()) ascii_ = is_text_type(answered.argument);
  if (verb == ftp::Verb::Abor) {
    aborting_ = false;
    // It has seen the ABOR and won't end the transfer for it (G6): the end of the data connection will.
    if (std::exchange(holding_data_, false)) send(ResetData{});
  }
  if (verb == ftp::Verb::Quit && line.is_success()) return end(EndReason::Quit);
  run_queued();
}

/// Whether it holds for the policy that there is, and before the backend is chosen for those that there may be.
bool Session::policies_agree(const std::function<bool(const config::Policy&)>& holds) const {
  if (!holds(*options_.policy)) return false;
  return !is_at_front() ||
         std::ranges::all_of(options_.rules->routes, [&](const config::Route& route) { return holds(route.policy); });
}

/// What FEAT must not promise through a gateway, and what it may.
ftp::FeatPolicy Session::feat_policy() const {
  ftp::FeatPolicy feat{.removed = {"LPRT", "LPSV", "SPSV", "ESTA", "ESTP", "CPSV", "SSCN"}, .added = {"EPSV"}};
  const bool has_eprt = policies_agree([](const config::Policy& policy) { return policy.allow_active; });
  (has_eprt ? feat.added : feat.removed).emplace_back("EPRT");
  if (front_) feat.added.emplace_back("HOST");
  security_.edit(feat);
  if (options_.policy->limits_commands()) {
    feat.is_refused = [policy = options_.policy](std::string_view feature) {
      return !may_be_offered(feature, *policy);
    };
  }
  std::erase_if(feat.added, [&](std::string_view feature) {
    return !policies_agree([&](const config::Policy& policy) { return may_be_offered(feature, policy); });
  });
  return feat;
}

void Session::take_feat_reply(const ftp::ReplyLine& line) {
  if (!feat_) feat_.reset(new FeatReply{.policy = feat_policy()});
  std::string text;
  feat_->editor.edit(line, text);
  if (!text.empty()) send(ToClient{std::move(text)});
  if (line.ends_reply()) feat_.reset();
}

void Session::note_login(const Pending& command, int code) {
  if (command.verb == ftp::Verb::Rein && code == 220) {
    if (options_.counts_users && logged_in_) send(CountUser{});
    ascii_ = true;
    logged_in_ = false;
    user_.clear();
    asked_user_.clear();
    if (front_) front_->forget();
  }
  if (is_login(command.verb, code)) {
    if (!logged_in_) send(Note{LoginNote{asked_user_, true}});
    user_ = asked_user_;
    logged_in_ = true;
    if (front_) front_->logged_in();
  } else if (is_failed_login(command.verb, code)) {
    send(Note{LoginNote{asked_user_, false}});
    asked_user_ = user_;
  }
}

void Session::take_transfer_reply(const ftp::ReplyLine& line) {
  const auto direction = answering_->direction();
  if (line.is_success() && data_.payload(direction) != DataChannel::Payload::Unused) {
    if (held_.size() < kHeldReplyLimit || line.ends_reply()) held_.append(line.line).append("\r\n");
    if (!line.ends_reply()) return;
    answering_ = nullptr;
    held_code_ = line.code;
    // What comes behind the held reply comes after it, so it isn't read before.
    backend_paused_ = true;
    send(PauseBackend{});
    open_legs();
    return settle_transfer();
  }
  to_client(line.line);
  if (!line.ends_reply()) return;
  answering_ = nullptr;
  finish_transfer(line.code);
  run_queued();
}

/// Something about the payload or the final reply has changed: says the final reply when both are there.
void Session::settle_transfer() {
  if (held_code_ == 0) return;
  const auto direction = replies_.front().direction();
  const auto payload = data_.payload(direction);
  if (payload == DataChannel::Payload::Moving) return;
  if (payload == DataChannel::Payload::Delivered) {
    reply(held_);
    finish_transfer(held_code_);
  } else {
    fail_transfer();
  }
  run_queued();
}

/// The transfer failed, whatever the backend says or doesn't say.
void Session::fail_transfer() {
  const int code = data_.stands(Leg::Client) || data_.state() == DataChannel::State::None ? 426 : 425;
  reply(ftp::write_reply(
      code, code == 426 ? "Data connection broken, transfer incomplete." : "No data connection was opened."));
  finish_transfer(code);
}

/// The client has its final reply: notes it, and takes the data channel down.
void Session::finish_transfer(int code) {
  const Pending& transfer = replies_.front();
  const auto direction = transfer.direction();
  const auto payload = data_.payload(direction);
  auto result = TransferNote::Result::Ok;
  if (code >= 400) {
    result = transfer.aborted                                    ? TransferNote::Result::Aborted
             : data_.stalled()                                   ? TransferNote::Result::Stalled
             : data_.stands(Leg::Client) && transfer.preliminary ? TransferNote::Result::Broken
                                                                 : TransferNote::Result::Refused;
  }
  note_transfer(transfer, result, code);
  send(Note{CommandNote{transfer.verb, code}});

  holding_data_ = false;
  const bool untouched =
      data_.state() == DataChannel::State::Waiting && data_.is_idle(Leg::Client) && data_.is_idle(Leg::Backend);
  // D3: after a refusal the client may use the same port for its next try, so what wasn't touched stays.
  if (!untouched) {
    // A refused transfer's data connection must not look like an empty file's.
    if (payload == DataChannel::Payload::Delivered && data_.state() == DataChannel::State::Open)
      send(CloseData{});
    else
      discard_data();
    data_.clear();
  }

  held_.clear();
  held_code_ = 0;
  if (answering_ == &transfer) {
    // In the middle of a long reply to it: the rest is for nobody.
    answering_ = nullptr;
    discarding_ = reader_.is_inside();
  }
  replies_.remove(&transfer);
  if (replies_.find(ftp::Verb::Abor) == nullptr) aborting_ = false;
  if (std::exchange(backend_paused_, false)) send(ResumeBackend{});
}

void Session::note_transfer(const Pending& transfer, TransferNote::Result result, int code) {
  const bool was_set_up = data_.state() != DataChannel::State::None;
  send(Note{TransferNote{.verb = transfer.verb,
                         .direction = transfer.direction(),
                         .path = transfer.argument,
                         .result = result,
                         .bytes = data_.bytes(transfer.direction()),
                         .ascii = ascii_,
                         .code = code,
                         .contradicted = held_code_ != 0 && code >= 400 && result != TransferNote::Result::Aborted,
                         .client_setup = was_set_up ? data_.plan().asked : ftp::Verb::Other,
                         .backend_setup = was_set_up ? backend_setup_ : ftp::Verb::Other}});
}

/// The backend is mute on an ABOR (G5, G6): the client gets the replies that RFC 959 promises it.
void Session::give_up_abort() {
  warn("the backend doesn't answer ABOR");
  if (const Pending* transfer = replies_.transfer()) {
    const Pending mute = *transfer;
    fail_transfer();
    // Its own final reply may still come.
    replies_.push_front({.verb = mute.verb, .transfer = true, .answered = true});
  }
  if (Pending* abort = replies_.find(ftp::Verb::Abor)) {
    reply(ftp::write_reply(226, "ABOR processed."));
    abort->answered = true;
  }
  replies_.push({.verb = ftp::Verb::Noop, .answered = true});
  send(ToBackend{"NOOP\r\n"});
  aborting_ = false;
  run_queued();
}

/// The backend closed the control connection, and no payload moves any more.
void Session::end_without_backend() {
  if (ended_) return;
  const bool quitting = replies_.find(ftp::Verb::Quit) != nullptr;
  if (replies_.transfer() != nullptr && data_.state() != DataChannel::State::None) {
    fail_transfer();
  }
  if (quitting) return end(EndReason::Quit);
  close_with(421, "Service not available, closing control connection.", EndReason::BackendClosed);
}

}  // namespace pasvgate::gateway
