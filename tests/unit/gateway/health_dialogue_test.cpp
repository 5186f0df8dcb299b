#include "gateway/health_dialogue.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pasvgate;
using gateway::HealthDialogue;

namespace {

std::string text(const HealthDialogue::Step& step) {
  if (const auto* say = std::get_if<HealthDialogue::Say>(&step)) return say->line.substr(0, say->line.find('\r'));
  if (const auto* to = std::get_if<HealthDialogue::Connect>(&step)) return "connect " + to->to.text();
  if (const auto* done = std::get_if<HealthDialogue::Done>(&step)) return done->wrong.empty() ? "good" : done->wrong;
  return std::holds_alternative<HealthDialogue::BeginTls>(step) ? "tls" : "wait";
}

/// Each answer's step, joined; "+" is a handshake that is done, "=" a data connection.
std::string run(const config::Backend& backend, const std::vector<std::string_view>& lines,
                std::string_view at = "10.0.0.1") {
  HealthDialogue dialogue(backend, *ftp::Address::parse(at));
  ftp::ReplyReader reader;
  std::string all = text(dialogue.connected());
  for (const auto line : lines) {
    all += " > ";
    if (line == "+") {
      all += text(dialogue.secured());
    } else if (line == "=") {
      all += text(HealthDialogue::data_connected());
    } else {
      all += text(dialogue.replied(reader.read(line)));
    }
  }
  return all;
}

config::Backend with(config::HealthCheck check, config::BackendTls tls = config::BackendTls::Off) {
  config::Backend backend;
  backend.tls = tls;
  backend.health.check = check;
  backend.health.user = "monitor";
  backend.health.password = "secret";
  return backend;
}

}  // namespace

TEST_CASE("a connection is enough, or a greeting") {
  using enum config::BackendTls;
  using config::HealthCheck;
  constexpr auto Tcp = HealthCheck::Tcp;
  constexpr auto Greeting = HealthCheck::Greeting;
  CHECK(run(with(Tcp), {}) == "good");
  CHECK(run(with(Tcp, Implicit), {}) == "good");
  CHECK(run(with(Greeting), {"220 hello"}) == "wait > good");
  CHECK(run(with(Greeting), {"120 soon", "220-hello", "421 not me", "220 now"}) == "wait > wait > wait > wait > good");
  CHECK(run(with(Greeting), {"421 too many"}) == "wait > its greeting is 421");
  CHECK(run(with(Greeting, Explicit), {"220 hello"}) == "wait > good");
  CHECK(run(with(Greeting, Implicit), {"+", "220 hello"}) == "tls > wait > good");
}

TEST_CASE("a login and a data connection") {
  using enum config::BackendTls;
  const auto login = [](config::BackendTls tls = Off) { return with(config::HealthCheck::Login, tls); };
  CHECK(run(login(), {"220 hi", "331 who", "230 in", "227 Entering (192,168,1,1,4,1)", "="}) ==
        "wait > USER monitor > PASS secret > PASV > connect 10.0.0.1:1025 > good");
  CHECK(run(login(), {"220 hi", "230 in", "227-one (192,168,1,1,4,1)", "227 two (192,168,1,1,4,2)"}) ==
        "wait > USER monitor > PASV > wait > connect 10.0.0.1:1025");
  CHECK(run(login(), {"220 hi", "331 who", "202 in", "229 Entering (|||1025|)", "="}, "2001:db8::1") ==
        "wait > USER monitor > PASS secret > EPSV > connect [2001:db8::1]:1025 > good");
  CHECK(run(login(Explicit), {"220 hi", "234 go", "+", "331 who", "230 in"}) ==
        "wait > AUTH TLS > tls > USER monitor > PASS secret > PASV");
  CHECK(run(login(Implicit), {"+", "220 hi", "331 who"}) == "tls > wait > USER monitor > PASS secret");
}

TEST_CASE("what a login may be answered") {
  const auto login = with(config::HealthCheck::Login);
  const auto last = [&](std::vector<std::string_view> lines) {
    const std::string all = run(login, lines);
    return all.substr(all.rfind(" > ") + 3);
  };
  CHECK(last({"530 no"}) == "its greeting is 530");
  CHECK(last({"220 hi", "332 which account"}) == "its answer to USER is 332");
  CHECK(last({"220 hi", "331 who", "530 no"}) == "its answer to PASS is 530");
  CHECK(last({"220 hi", "331 who", "421 going"}) == "its answer to PASS is 421");
  CHECK(last({"220 hi", "230 in", "425 no port"}) == "its answer to PASV is 425");
  CHECK(last({"220 hi", "230 in", "227 somewhere"}) == "its answer to PASV has no address");
  CHECK(last({"220 hi", "230 in", "227 (10,0,0,1,0,0)"}) == "its answer to PASV has no address");
  CHECK(run(with(config::HealthCheck::Login, config::BackendTls::Explicit), {"220 hi", "502 what"}) ==
        "wait > AUTH TLS > its answer to AUTH is 502");
}

TEST_CASE("where its data connection goes") {
  auto backend = with(config::HealthCheck::Login);
  backend.data_address = config::DataAddress::Trust;
  backend.trusted_data = {*ftp::Cidr::parse("192.168.0.0/16")};
  CHECK(run(backend, {"220 hi", "230 in", "227 (192,168,1,1,4,1)"}).ends_with("connect 192.168.1.1:1025"));
  CHECK(run(backend, {"220 hi", "230 in", "227 (203,0,113,1,4,1)"}).ends_with("connect 10.0.0.1:1025"));
  backend.data_mode = config::DataMode::Active;
  CHECK(run(backend, {"220 hi", "230 in"}) == "wait > USER monitor > good");
}

TEST_CASE("what it waits for") {
  const auto backend = with(config::HealthCheck::Login);
  HealthDialogue dialogue(backend, *ftp::Address::parse("10.0.0.1"));
  ftp::ReplyReader reader;
  std::string all(dialogue.awaited());
  for (const auto* line : {"220 hi", "331 who", "230 in", "227 (10,0,0,1,4,1)"}) {
    (void)dialogue.replied(reader.read(line));
    all += ", " + std::string(dialogue.awaited());
  }
  CHECK(all == "greeting, answer to USER, answer to PASS, answer to PASV, data connection");
}
