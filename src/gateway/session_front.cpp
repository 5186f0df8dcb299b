#include <utility>

#include "gateway/command_policy.h"
#include "gateway/session.h"

// A session whose backend depends on USER. The gateway greets the client and answers what may come before USER; then it
// connects, and the backend hears what the client has said so far.
namespace pasvgate::gateway {
namespace {

// A client that goes from one backend to the next tries passwords, or wants to outlive the login timeout.
constexpr unsigned kMostBackends = 8;

char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }

/// OPTS UTF8 ON, OPTS UTF-8 OFF and the like.
bool sets_utf8(const ftp::Command& command) {
  if (command.verb != ftp::Verb::Opts) return false;
  std::string option(command.argument.substr(0, command.argument.find(' ')));
  for (char& byte : option) byte = upper(byte);
  return option == "UTF8" || option == "UTF-8";
}

/// 211 with what is true whatever backend there will be. The backend's own features come with its own FEAT, which
/// clients ask for again behind the login.
std::string feat_reply(const ftp::FeatPolicy& feat) {
  std::string text = "211-Features:\r\n";
  for (const auto& line : feat.added) text.append(" ").append(line).append("\r\n");
  return text + "211 End\r\n";
}

}  // namespace

/// Once, before the client has said a word; `tls` is there where that comes even earlier.
void Session::choose_backend(const TlsIdentity* tls) {
  if (options_.rules == nullptr) return send(ConnectBackend{});
  Facts facts{.client = options_.client};
  const TlsIdentity nothing;
  if (tls == nullptr && options_.client_tls == config::ClientTls::Off) tls = &nothing;
  if (tls != nullptr) {
    facts.server_name = tls->server_name;
    facts.certificate_subject = tls->certificate_subject;
  }
  auto verdict = decide(*options_.rules, facts);
  if (verdict.kind == Verdict::Kind::Decided) {
    options_.policy = verdict.policy;
    return send(ConnectBackend{std::move(verdict.target), {}});
  }
  front_ = std::make_unique<Front>();
  if (tls != nullptr) front_->tls = *tls;
  reply(front_greeting());
}

std::string Session::front_greeting() const { return ftp::write_reply(220, options_.rules->greeting); }

/// False: the command is for the backend.
bool Session::answer_in_front(const ftp::Command& command, std::string_view line) {
  if (command.verb == ftp::Verb::User) return take_user(command);
  if (!logged_in_) {
    const std::string_view whole = line.substr(line.find_first_not_of(" \t"));
    if (command.verb == ftp::Verb::Clnt) front_->clnt = whole;
    if (sets_utf8(command)) front_->utf8 = whole;
    if (command.verb == ftp::Verb::Host) {
      take_host(command);
      return true;
    }
  }
  const bool is_password = command.verb == ftp::Verb::Pass || command.verb == ftp::Verb::Acct;
  if (front_->refused && is_password) {
    answer(command.verb, ftp::write_reply(503, "Login with USER first."));
    return true;
  }
  if (!front_->awaits_user) return false;
  if (command.verb == ftp::Verb::Rein) front_->forget();
  answer(command.verb, front_reply(command));
  if (command.verb == ftp::Verb::Quit) end(EndReason::Quit);
  return true;
}

std::string Session::front_reply(const ftp::Command& command) const {
  using enum ftp::Verb;
  using ftp::write_reply;
  switch (command.verb) {
    case Feat:
      return feat_reply(feat_policy());
    case Clnt:
      return write_reply(200, "Noted.");
    case Noop:
      return write_reply(200, "OK.");
    case Help:
      return write_reply(214, "Log in with USER and PASS.");
    // Of the system only that its bytes have eight bits is sure; most servers, whatever they run on, say just this.
    case Syst:
      return write_reply(215, "UNIX Type: L8");
    case Quit:
      return write_reply(221, "Goodbye.");
    case Rein:
      return front_greeting();
    case Pass:
      return write_reply(503, "Login with USER first.");
    case Opts:
      if (sets_utf8(command)) return write_reply(200, "OK.");
      break;
    default:
      break;
  }
  return write_reply(530, "Please login with USER and PASS.");
}

/// RFC 7151 §3.2. A default route takes every host, so that none is unknown.
void Session::take_host(const ftp::Command& command) {
  if (command.argument.empty()) return answer(command.verb, ftp::write_reply(501, "HOST takes a name."));
  front_->host = command.argument;
  front_->has_new_host = true;
  answer(command.verb, ftp::write_reply(220, "Host accepted."));
}

/// All that can be known is known now. False: the backend that there is gets it as it is.
bool Session::take_user(const ftp::Command& command) {
  const Verdict verdict = decide(*options_.rules, {.client = options_.client,
                                                   .server_name = front_->tls.server_name,
                                                   .certificate_subject = front_->tls.certificate_subject,
                                                   .host = front_->host,
                                                   .user = command.argument});
  const bool is_decided = verdict.kind == Verdict::Kind::Decided;
  const bool is_by_user =
      is_decided && !verdict.target.host && options_.rules->by_user.contains(verdict.target.backend);
  const bool stays = is_decided && verdict.target == front_->target && !front_->has_new_host && !front_->awaits_user &&
                     (!is_by_user || front_->picked_for == verdict.user) && *verdict.policy == *options_.policy;
  front_->refused = !stays && logged_in_;
  if (stays && verdict.user == command.argument) return false;
  if (!stays && logged_in_) {
    answer(command.verb, ftp::write_reply(530, "This user needs a session of its own."));
    return true;
  }
  asked_user_ = command.argument;
  if (!is_decided) {
    refuse_user("a login for a host that user_hosts doesn't allow");
  } else if (!stays) {
    connect_for(verdict);
  } else {
    front_->login = verdict.user;
    tell_backend();
  }
  return true;
}

std::string Session::key_of(std::string_view user) const {
  return front_ ? gateway::user_key(front_->target, user) : std::string(user);
}

void Session::refuse_user(std::string_view why) {
  warn(why, asked_user_);
  front_->refused = true;
  if (is_reaching()) {
    front_->login.reset();
    front_->awaits_user = true;
  }
  send(Note{LoginNote{asked_user_, false}});
  answer(ftp::Verb::User, ftp::write_reply(530, "This host isn't available here."));
}

void Session::connect_for(const Verdict& verdict) {
  if (++front_->tried > kMostBackends) return close_with(421, "Too many logins failed.", EndReason::Refused);
  if (connected_) leave_backend();
  front_->awaits_user = false;
  front_->has_new_host = false;
  front_->target = verdict.target;
  options_.policy = verdict.policy;
  front_->picked_for = verdict.user;
  front_->login = verdict.user;
  front_->untold.clear();
  for (const std::string& line : {front_->utf8, front_->clnt, front_->host.empty() ? "" : "HOST " + front_->host}) {
    if (line.empty() || refused_command(ftp::Command::parse(line), *options_.policy)) continue;
    front_->untold.push_back(line);
  }
  send(ConnectBackend{verdict.target, std::string(verdict.user)});
}

/// Nothing of it is left: no reply is awaited when a command runs.
void Session::leave_backend() {
  discard_data();
  send(DropBackend{});
  connected_ = greeted_ = false;
  backend_gone_ = false;
  restart_.clear();
  greeting_.clear();
  reader_ = {};
  discarding_ = false;
}

/// The backend has greeted, or has answered what it was told last.
void Session::tell_backend() {
  if (!front_->untold.empty()) {
    const std::string line = std::move(front_->untold.back());
    front_->untold.pop_back();
    replies_.push({.verb = ftp::Command::parse(line).verb, .repeated = true});
    return send(ToBackend{ftp::telnet_escaped(line) + "\r\n"});
  }
  greeted_ = true;
  const std::string line = "USER " + std::exchange(front_->login, std::nullopt).value_or("");
  const std::string asked = asked_user_;
  forward(ftp::Command::parse(line), line, false);
  asked_user_ = asked;
}

/// A backend that doesn't know it is none the worse for it.
void Session::take_repeated_reply(const ftp::ReplyLine& line) {
  if (!line.ends_reply() || line.is_preliminary()) return;
  replies_.remove(std::exchange(answering_, nullptr));
  tell_backend();
}

}  // namespace pasvgate::gateway
