#include "cli/probe_client.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <utility>

#include "cli/probe_certificate.h"
#include "ftp/data_address.h"
#include "net/resolver.h"

namespace pasvgate::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kLineLimit = 8192;
constexpr std::uint16_t kPort = 21;
constexpr std::uint16_t kImplicitPort = 990;
constexpr std::size_t kMostFeatures = 64;
constexpr std::size_t kLongestAnswer = 1024UL * 1024;
constexpr int kMostTimeouts = 12;

milliseconds since(Clock::time_point start) { return std::chrono::duration_cast<milliseconds>(Clock::now() - start); }

struct Target {
  std::string host;
  std::optional<std::uint16_t> port;
};

std::optional<Target> parse_target(const std::string& text) {
  if (ftp::Address::parse(text)) return Target{text, {}};
  if (text.starts_with('[') && text.ends_with(']')) {
    const std::string inner = text.substr(1, text.size() - 2);
    return ftp::Address::parse(inner) ? std::optional(Target{inner, {}}) : std::nullopt;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return text.empty() ? std::nullopt : std::optional(Target{text, {}});
  const auto port = ftp::parse_decimal(text.substr(colon + 1), 65535);
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool is_good = !host.empty() && (host.find(':') == std::string::npos || ftp::Address::parse(host));
  if (!port || *port == 0 || !is_good) return std::nullopt;
  return Target{host, static_cast<std::uint16_t>(*port)};
}

}  // namespace

ProbeClient::ProbeClient(ProbeRequest request)
    : request_(std::move(request)), control_(request_.timeout), framer_(kLineLimit, ftp::Telnet::Verbatim) {}

std::expected<ProbeFacts, std::string> ProbeClient::run() {
  end_ = Clock::now() + request_.timeout * kMostTimeouts;
  const auto target = parse_target(request_.target);
  if (!target) return std::unexpected("\"" + request_.target + "\" is no HOST[:PORT]");
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_) return std::unexpected("TLS can't be set up");
  // An old server is to be told of, not to be left with a failed handshake.
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
  SSL_CTX_set_security_level(context_.get(), 0);
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
  if (request_.tls_ca.empty()) {
    SSL_CTX_set_default_verify_paths(context_.get());
  } else if (SSL_CTX_load_verify_locations(context_.get(), request_.tls_ca.c_str(), nullptr) != 1) {
    ERR_clear_error();
    return std::unexpected(request_.tls_ca + ": no certificates can be read from it");
  }
  facts_.target = request_.target;
  facts_.host = target->host;
  facts_.timeout = request_.timeout;
  facts_.user = request_.user;
  facts_.tls_demanded = request_.tls == ProbeTls::Explicit || request_.tls == ProbeTls::Implicit;
  if (connect(target->host, target->port)) dialogue();
  return std::move(facts_);
}

bool ProbeClient::connect(const std::string& host, std::optional<std::uint16_t> port) {
  const bool wants_implicit = request_.tls == ProbeTls::Implicit;
  const std::uint16_t to_port = port.value_or(wants_implicit ? kImplicitPort : kPort);
  facts_.is_implicit = wants_implicit || (request_.tls == ProbeTls::Auto && to_port == kImplicitPort);
  std::vector<ftp::Address> addresses;
  if (const auto address = ftp::Address::parse(host)) {
    addresses.push_back(*address);
  } else if (auto found = net::resolve_now(host)) {
    addresses = std::move(*found);
  } else {
    facts_.connect_error = host + " doesn't resolve: " + found.error();
    return false;
  }
  control_.end_at(end_);
  for (const auto& address : addresses) {
    const ftp::Endpoint to{address, to_port};
    step("connecting to " + to.text());
    const auto start = Clock::now();
    const Reach reach = control_.connect(to);
    facts_.connect_took = since(start);
    if (reach == Reach::Open) {
      peer_ = to;
      facts_.peer = to;
      facts_.own = net::local_endpoint(control_.fd());
      facts_.connect_error.clear();
      return true;
    }
    facts_.connect_error = "No connection to " + to.text() + ": " + std::string(reach_name(reach)) +
                           (reach == Reach::Silent ? " for " + std::to_string(request_.timeout.count()) + " ms" : "");
  }
  return false;
}

void ProbeClient::dialogue() {
  if (facts_.is_implicit && !tls_on_control()) return;
  step("greeting");
  const auto start = Clock::now();
  facts_.greeting = final_reply();
  facts_.greeting_took = since(start);
  if (!facts_.greeting.is_success()) return;
  features();
  if (!secure()) return;
  if (is_lost()) return;
  if (!may_send_password()) {
    facts_.password_withheld = true;
    return leave();
  }
  const Answer login = log_in();
  facts_.login = login;
  if (is_lost() || !login.is_success()) return;
  if (facts_.tls) protect_data(*facts_.tls);
  if (!features_known_) features();
  // A 227 has no room for an IPv6 address.
  if (peer_.address.family() == ftp::Family::V4) passive("PASV", facts_.pasv);
  passive("EPSV", facts_.epsv);
  if (facts_.tls && facts_.tls->data_protected) reuse();
  if (request_.active) active();
  leave();
}

void ProbeClient::leave() {
  if (!is_lost()) {
    ask("QUIT");
    facts_.lost.clear();  // It was asked to go.
  }
  control_.close();
}

/// A password isn't for whoever stands in between and shows a certificate of its own.
bool ProbeClient::may_send_password() const {
  if (request_.password.empty() || request_.any_certificate || !facts_.tls) return true;
  return facts_.tls->chain_error.empty() && facts_.tls->name_matches;
}

/// False when the session is no longer of use.
bool ProbeClient::secure() {
  if (facts_.is_implicit) return true;
  if (request_.tls == ProbeTls::Off) return true;
  const bool named = std::ranges::any_of(facts_.features, [](const auto& one) { return one.starts_with("AUTH"); });
  // Some servers answer FEAT after the login only: then it has to be tried.
  if (request_.tls == ProbeTls::Auto && features_known_ && !named) return true;
  const Answer answer = ask("AUTH TLS");
  facts_.auth_tls = answer;
  if (answer.is_success()) return tls_on_control();
  // Whoever asked for TLS wants no password in clear.
  return request_.tls == ProbeTls::Auto;
}

bool ProbeClient::tls_on_control() {
  step("TLS handshake");
  begin_answer();
  TlsFacts& tls = facts_.tls.emplace();
  if (const auto done = control_.start_tls(context_.get(), facts_.host, nullptr); !done) {
    tls.error = done.error();
    return false;
  }
  read_certificate(control_.ssl(), facts_.host, tls);
  return true;
}

Answer ProbeClient::log_in() {
  step("login");
  const bool anonymous = request_.user.empty();
  Answer answer = ask("USER " + (anonymous ? std::string("anonymous") : request_.user));
  if (answer.code / 100 != 3) return answer;
  return ask("PASS " + (anonymous ? std::string("pasvgate@") : request_.password));
}

void ProbeClient::protect_data(TlsFacts& tls) {
  tls.data_protected = ask("PBSZ 0").is_success() && ask("PROT P").is_success();
}

void ProbeClient::features() {
  step("FEAT");
  if (!say("FEAT")) return;
  features_known_ = final_reply([this](std::string_view line) {
                      const std::size_t begin = line.find_first_not_of(' ');
                      if (begin == std::string_view::npos || facts_.features.size() == kMostFeatures) return;
                      facts_.features.push_back(without_password(line.substr(begin)));
                    }).code == 211;
  if (!features_known_) facts_.features.clear();
}

void ProbeClient::passive(std::string_view verb, DataTry& data) {
  if (is_lost()) return;
  step(verb);
  data.asked = true;
  data.answer = ask(verb);
  if (verb == "PASV" && data.answer.code == 227) {
    if (const auto told = ftp::parse_227(data.answer.text)) data.told = *told;
  }
  if (verb == "EPSV" && data.answer.code == 229) {
    if (const auto told = ftp::parse_229(data.answer.text)) data.told = {peer_.address, told->port};
  }
  if (!data.told) return;
  step(std::string(verb) + ": " + data.told->text());
  ProbeSocket socket = data_socket();
  const auto start = Clock::now();
  data.reach = socket.connect(*data.told);
  data.took = since(start);
  if (data.told->address != peer_.address) {
    // What it is that's wrong: the address alone, or the port too.
    ProbeSocket beside = data_socket();
    if (data.reach != Reach::Open) data.at_control = beside.connect({peer_.address, data.told->port});
    // With it the transfer goes on, so that the server is left in order.
    if (data.at_control == Reach::Open) {
      DataTry aside = data;
      return list(aside, std::move(beside), nullptr, Resume::Yes);
    }
  }
  if (data.reach == Reach::Open) list(data, std::move(socket), nullptr, Resume::Yes);
  if (is_over()) data = {};
}

void ProbeClient::active() {
  if (is_lost() || !facts_.own) return;
  step("active mode");
  DataTry& data = facts_.active;
  auto listener = net::bind_tcp({facts_.own->address, 0}, net::Share::Alone);
  if (!listener || !net::start_listening(*listener, 1)) return;
  data.told = net::local_endpoint(*listener);
  if (!data.told) return;
  data.asked = true;
  data.answer = data.told->address.family() == ftp::Family::V4 ? ask("PORT " + ftp::write_port(*data.told))
                                                               : ask("EPRT " + ftp::write_eprt(*data.told));
  if (data.answer.is_success()) list(data, data_socket(), &*listener, Resume::Yes);
  if (is_over()) data = {};
}

/// Once more without the control connection's session: who demands it refuses.
void ProbeClient::reuse() {
  const bool by_pasv = facts_.pasv.works() && facts_.pasv.resumed;
  if (is_lost() || !(by_pasv || (facts_.epsv.works() && facts_.epsv.resumed))) return;
  step("a data connection without the TLS session");
  DataTry data;
  data.answer = ask(by_pasv ? "PASV" : "EPSV");
  if (by_pasv) {
    if (const auto told = ftp::parse_227(data.answer.text)) data.told = *told;
  } else if (const auto told = ftp::parse_229(data.answer.text)) {
    data.told = {peer_.address, told->port};
  }
  if (!data.told) return;
  ProbeSocket socket = data_socket();
  data.reach = socket.connect(*data.told);
  if (data.reach != Reach::Open) return;
  list(data, std::move(socket), nullptr, Resume::No);
  if (!is_over()) facts_.reuse_demanded = !data.works();
}

void ProbeClient::list(DataTry& data, ProbeSocket socket, const net::Fd* listener, Resume resume) {
  if (!say("LIST")) return;
  data.transfer.emplace();
  if (listener != nullptr) {
    const auto wait = std::chrono::ceil<milliseconds>(within(1) - Clock::now());
    auto accepted = accept_one(*listener, std::max(wait, milliseconds(0)));
    if (!accepted) {
      data.reach = Reach::Silent;
      data.transfer = final_reply();
      return;
    }
    data.reach = Reach::Open;
    data.came_from = accepted->peer;
    socket.adopt(std::move(accepted->socket));
  }
  Answer answer = next_reply();
  if (answer.code >= 100 && answer.code < 200) {
    bool is_good = true;
    if (facts_.tls && facts_.tls->data_protected) {
      socket.end_at(within(1));
      const SslSession session(resume == Resume::Yes ? SSL_get1_session(control_.ssl()) : nullptr);
      const auto done = socket.start_tls(context_.get(), facts_.host, session.get());
      if (!done) data.tls_error = done.error();
      is_good = done.has_value();
      data.resumed = is_good && SSL_session_reused(socket.ssl()) == 1;
    }
    if (is_good) read_to_end(socket, data);
    socket.close();
    answer = final_reply();
  }
  data.transfer = std::move(answer);
}

/// The listing isn't kept. A server that never ends it is left at the time.
void ProbeClient::read_to_end(ProbeSocket& socket, DataTry& data) const {
  const auto end = within(kMostTimeouts / 2);
  socket.end_at(end);
  for (;;) {
    const auto got = socket.receive();
    if (!got && socket.ssl() != nullptr && Clock::now() < end) data.tls_error = got.error();
    if (!got || got->empty()) return;
  }
}

ProbeSocket ProbeClient::data_socket() const {
  ProbeSocket socket(request_.timeout);
  socket.end_at(end_);
  return socket;
}

ProbeClient::Clock::time_point ProbeClient::within(int count) const {
  return std::min(Clock::now() + request_.timeout * count, end_);
}

void ProbeClient::begin_answer() {
  answered_ = 0;
  control_.end_at(within(1));
}

bool ProbeClient::is_lost() {
  if (facts_.lost.empty() && is_over()) {
    facts_.lost = "all of it took longer than " + std::to_string(kMostTimeouts) + " times --timeout";
  }
  return !facts_.lost.empty();
}

void ProbeClient::step(std::string_view what) const {
  if (request_.on_step) request_.on_step(what);
}

bool ProbeClient::say(std::string_view command) {
  if (is_lost()) return false;
  begin_answer();
  const auto sent = control_.send(std::string(command) + "\r\n");
  if (!sent) facts_.lost = sent.error();
  return sent.has_value();
}

Answer ProbeClient::ask(std::string_view command) { return say(command) ? final_reply() : Answer{}; }

Answer ProbeClient::final_reply(const OnMiddle& on_middle) {
  begin_answer();
  for (;;) {
    Answer answer = read_reply(on_middle);
    if (answer.code == 0 || answer.code >= 200) return answer;
  }
}

Answer ProbeClient::next_reply(const OnMiddle& on_middle) {
  begin_answer();
  return read_reply(on_middle);
}

Answer ProbeClient::read_reply(const OnMiddle& on_middle) {
  for (;;) {
    std::string_view bytes = pending_;
    while (const auto line = framer_.next(bytes)) {
      const auto reply = replies_.read(line->text);
      if (reply.place == ftp::ReplyLine::Place::Middle && on_middle) on_middle(reply.line);
      if (!reply.ends_reply()) continue;
      Answer answer{reply.code, without_password(reply.text)};
      pending_.erase(0, pending_.size() - bytes.size());
      return answer;
    }
    pending_.clear();  // The framer keeps an unfinished line.
    const auto got = control_.receive();
    if (!got || got->empty()) {
      if (!is_lost()) facts_.lost = got ? "the server closed it" : got.error();
      return {};
    }
    answered_ += got->size();
    if (answered_ > kLongestAnswer) {
      facts_.lost = "an answer went on for more than 1 MiB";
      return {};
    }
    pending_ += *got;
  }
}

/// A server may repeat what it was sent.
std::string ProbeClient::without_password(std::string_view text) const {
  std::string out(text);
  if (request_.password.empty()) return out;
  for (std::size_t at = out.find(request_.password); at != std::string::npos;
       at = out.find(request_.password, at + 3)) {
    out.replace(at, request_.password.size(), "***");
  }
  return out;
}

}  // namespace pasvgate::cli
