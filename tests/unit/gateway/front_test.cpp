#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "config/read.h"
#include "unit/gateway/dialogue.h"

// The gateway in the backend's place, until USER says which one it is.
using namespace pasvgate;
using namespace pasvgate::gateway;
using config::ClientTls;

namespace {

const std::string kGreeting = "220 FTP server ready\r\n";
const std::string kNotYet = "530 Please login with USER and PASS.\r\n";

/// Rules that outlive the sessions of a test.
config::Listener rules(std::string_view keys) {
  const auto read = config::read_json(R"({"listeners": [{"address": "0.0.0.0:21", )" + std::string(keys) +
                                      R"(}], "backends": {"default": {"servers": ["a"]},
                                          "one": {"servers": ["b"]}, "two": {"servers": ["c"]}}})");
  REQUIRE(read);
  return read->listeners.at(0);
}

const config::Listener& by_user() {
  static const auto made = rules(R"("routes": [{"user": ["anna"], "backend": "one"}, {"user": ["bert", "b*"],
                                    "backend": "two"}, {"host": ["two.example"], "backend": "two"}])");
  return made;
}

const config::Listener& by_host() {
  static const auto made = rules(R"("user_hosts": ["ftp.internal", "10.0.0.0/8"])");
  return made;
}

SessionOptions options(const config::Listener& listener, ClientTls tls = ClientTls::Off) {
  return {.client_tls = tls, .rules = &listener};
}

Dialogue fronted(const config::Listener& listener = by_user(), ClientTls tls = ClientTls::Off) {
  Dialogue d(options(listener, tls));
  CHECK(d.to_client == kGreeting);
  CHECK_FALSE(d.connecting);
  CHECK(d.timer == config::Timeouts{}.login);
  d.forget();
  return d;
}

}  // namespace

TEST_CASE("a route that USER decides: the gateway greets, then the backend goes on") {
  auto d = fronted();
  d.client("USER anna");
  REQUIRE(d.connecting);
  CHECK(d.connecting->target.backend == "one");
  CHECK(d.connecting->user == "anna");
  d.client("PASS secret").connect().backend({"120 wait", "banner", "220-Hello", " there", "220 ready"});
  CHECK(d.to_client.empty());
  CHECK(d.to_backend == "USER anna\r\n");
  d.backend({"331-go", "331 on"});
  CHECK(d.to_client == "331-go\r\n331 on\r\n");
  CHECK(d.to_backend == "USER anna\r\nPASS secret\r\n");
  d.backend({"230 in"});
  REQUIRE(d.logins.size() == 1);
  CHECK(d.logins[0].user == "anna");
  CHECK(d.logins[0].ok);
  d.forget().client("FEAT").backend({"211-f", " MLST", "211 end"});
  CHECK(d.to_client == "211-f\r\n MLST\r\n EPSV\r\n EPRT\r\n HOST\r\n211 end\r\n");
  CHECK(d.times("ConnectBackend") == 0);
}

TEST_CASE("what is decided before a word needs no front") {
  static const auto listener =
      rules(R"("routes": [{"clients": ["192.0.2.0/24"], "backend": "one"}, {"user": ["x"], "backend": "two"}])");
  Dialogue d(options(listener));
  REQUIRE(d.connecting);
  CHECK(d.connecting->target.backend == "one");
  d.connect().backend({"220 its own"});
  CHECK(d.to_client == "220 its own\r\n");
  auto other = options(listener);
  other.client = ftp::Address::v4({198, 51, 100, 1});
  CHECK(Dialogue(other).to_client == kGreeting);
}

TEST_CASE("what the gateway answers before USER") {
  struct Row {
    const char* command;
    std::string answer;
  };
  const Row rows[] = {
      {"FEAT", "211-Features:\r\n EPSV\r\n EPRT\r\n HOST\r\n211 End\r\n"},
      {"NOOP", "200 OK.\r\n"},
      {"noop", "200 OK.\r\n"},
      {"CLNT x", "200 Noted.\r\n"},
      {"SYST", "215 UNIX Type: L8\r\n"},
      {"HELP", "214 Log in with USER and PASS.\r\n"},
      {"OPTS UTF8 ON", "200 OK.\r\n"},
      {"opts utf-8 on", "200 OK.\r\n"},
      {"OPTS MLST size", kNotYet},
      {"HOST a.example", "220 Host accepted.\r\n"},
      {"HOST", "501 HOST takes a name.\r\n"},
      {"REIN", kGreeting},
      {"PASS x", "503 Login with USER first.\r\n"},
      {"ACCT x", kNotYet},
      {"PASV", kNotYet},
      {"PORT 192,0,2,1,200,10", kNotYet},
      {"RETR f", kNotYet},
      {"STAT", kNotYet},
      {"ABOR", kNotYet},
      {"LANG de", kNotYet},
      {"XWHAT", kNotYet},
      {"AUTH TLS", "502 TLS isn't available here.\r\n"},
      {"PBSZ 0", "503 No security exchange took place.\r\n"},
      {"PROT P", "503 PBSZ comes first.\r\n"},
  };
  auto d = fronted();
  for (const auto& row : rows) {
    CAPTURE(row.command);
    d.forget().client(row.command);
    CHECK(d.to_client == row.answer);
    CHECK_FALSE(d.connecting);
    CHECK(d.timer == config::Timeouts{}.login);
  }
  d.forget().event(ClientLine{"", ftp::LineFault::TooLong});
  CHECK(d.to_client == "500 Line too long.\r\n");
  d.forget().client("QUIT");
  CHECK(d.to_client == "221 Goodbye.\r\n");
  CHECK(d.reason == EndReason::Quit);
}

TEST_CASE("FEAT says what holds with any backend: TLS as the listener has it, active mode as the policy") {
  auto d = fronted(by_user(), ClientTls::Optional);
  d.client("FEAT");
  CHECK(d.to_client ==
        "211-Features:\r\n EPSV\r\n EPRT\r\n HOST\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n CCC\r\n211 End\r\n");
  auto strict = options(by_user());
  const config::Policy passive{.allow_active = false};
  strict.policy = &passive;
  Dialogue s(strict);
  s.forget().client("FEAT");
  CHECK(s.to_client == "211-Features:\r\n EPSV\r\n HOST\r\n211 End\r\n");
}

TEST_CASE("what a user's policy refuses the backend doesn't hear from before either") {
  static const auto listener =
      rules(R"("routes": [{"user": ["anna"], "backend": "one", "policy": {"denied_commands": ["CLNT", "HOST"]}}])");
  auto d = fronted(listener);
  d.client("OPTS UTF8 ON").client("CLNT one").client("HOST a.example");
  d.forget().client("USER anna").connect().backend({"220 hi"});
  CHECK(d.to_backend == "OPTS UTF8 ON\r\n");
  d.forget().backend({"200 on"});
  CHECK(d.to_backend == "USER anna\r\n");
}

TEST_CASE("the backend hears what the client said before USER, one by one, and its answers go nowhere") {
  auto d = fronted();
  d.client("OPTS UTF8 ON").client("CLNT one").client("CLNT two").client("HOST two.example").client("FEAT");
  d.forget().client("USER carl").client("PASS x");
  CHECK(d.connecting->target.backend == "two");
  d.connect().backend({"220 ready"});
  CHECK(d.to_backend == "HOST two.example\r\n");
  d.backend({"504-no such", "504 host"});
  CHECK(d.to_backend == "HOST two.example\r\nCLNT two\r\n");
  d.backend({"150 a liar"});  // says nothing yet
  CHECK(d.to_backend == "HOST two.example\r\nCLNT two\r\n");
  d.backend({"200 ok", "202 ok"});
  CHECK(d.to_backend == "HOST two.example\r\nCLNT two\r\nOPTS UTF8 ON\r\nUSER carl\r\n");
  CHECK(d.to_client.empty());
  d.backend({"331 go on", "230 in"});
  CHECK(d.to_client == "331 go on\r\n230 in\r\n");
  CHECK(d.to_backend.ends_with("USER carl\r\nPASS x\r\n"));
}

TEST_CASE("a backend that can't be had ends the session, whatever the reason") {
  using Events = std::vector<Event>;
  struct Row {
    const char* why;
    Events events;
    const char* told;
    EndReason reason;
  };
  const BackendConnected up{ftp::Family::V4};
  const char* const kGone = "421 Service not available, try again later.\r\n";
  const Row rows[] = {
      {"unreachable", {BackendUnreachable{}}, kGone, EndReason::BackendUnreachable},
      {"mute", {up, TimerFired{}}, kGone, EndReason::GreetingTimeout},
      {"full",
       {up, BackendLine{"421-too"}, BackendLine{"421 many"}},
       "421-too\r\n421 many\r\n",
       EndReason::BackendClosed},
      {"refuses", {up, BackendLine{"530-not"}, BackendLine{"530 you"}}, "530-not\r\n530 you\r\n", EndReason::Refused},
      {"closes",
       {up, BackendClosed{}},
       "421 Service not available, closing control connection.\r\n",
       EndReason::BackendClosed},
      {"the process ends", {Drain{}}, "421 Service is shutting down, try again later.\r\n", EndReason::Drained},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    auto d = fronted();
    d.client("USER anna").client("PASS x");
    for (const auto& event : row.events) d.event(event);
    CHECK(d.to_client == row.told);
    CHECK(d.reason == row.reason);
  }
}

TEST_CASE("the login timeout bounds the front, and a client may leave it") {
  auto d = fronted();
  d.client("NOOP").event(TimerFired{});
  CHECK(d.to_client == "200 OK.\r\n421 Login took too long.\r\n");
  CHECK(d.reason == EndReason::LoginTimeout);
  auto gone = fronted();
  gone.event(ClientClosed{Closing::Orderly});
  CHECK(gone.reason == EndReason::ClientClosed);
  auto drained = fronted();
  drained.event(Drain{});
  CHECK(drained.reason == EndReason::Drained);
  // With USER alone nothing can come of it.
  auto half = fronted();
  half.client("USER anna").event(ClientClosed{Closing::Orderly});
  CHECK(half.reason == EndReason::ClientClosed);
  // All in one go, then the end: what was said still happens.
  auto whole = fronted();
  whole.client("USER anna").client("PASS x").client("QUIT").event(ClientClosed{Closing::Orderly});
  CHECK_FALSE(whole.ended());
  whole.connect().backend({"220 hello", "331 go", "230 in", "221 bye"});
  CHECK(whole.to_backend == "USER anna\r\nPASS x\r\nQUIT\r\n");
  CHECK(whole.reason == EndReason::Quit);
}

TEST_CASE("behind a failed login: the same backend, or another one") {
  auto d = fronted();
  d.client("USER bert").connect().backend({"220 hello", "331 go"}).client("PASS no").backend({"530 wrong"}).forget();
  d.client("USER berta");
  CHECK(d.order.empty());
  CHECK(d.to_backend == "USER berta\r\n");
  d.backend({"331 go"}).client("PASS no").backend({"530 wrong"}).forget();
  d.client("USER anna").client("PASS yes");
  CHECK(d.order == std::vector<std::string>{"DropBackend", "ConnectBackend"});
  CHECK(d.connecting->target.backend == "one");
  d.event(BackendClosed{});  // of the one that was dropped
  d.connect().backend({"220 hello", "331 go", "230 in"});
  CHECK(d.to_backend == "USER anna\r\nPASS yes\r\n");
  CHECK(d.to_client == "331 go\r\n230 in\r\n");
  CHECK_FALSE(d.ended());
  SUBCASE("once in, another backend's user needs a session of its own") {
    d.forget().client("USER bert");
    CHECK(d.to_client == "530 This user needs a session of its own.\r\n");
    CHECK(d.to_backend.empty());
    d.forget().client("USER anna");
    CHECK(d.to_backend == "USER anna\r\n");
  }
  SUBCASE("REIN gives the choice back") {
    d.client("REIN").backend({"220 anew"}).forget();
    d.client("USER bert");
    CHECK(d.order == std::vector<std::string>{"DropBackend", "ConnectBackend"});
  }
}

TEST_CASE("USER sent with the answer to the login before: what the old backend still says isn't heard") {
  auto d = fronted();
  d.client("USER bert").client("PASS no").client("USER anna").client("PASS yes").connect();
  d.backend({"220 hello", "331 go", "530 wrong"});
  CHECK(d.times("DropBackend") == 1);
  d.forget().connect().backend({"220 hello", "331 go", "230 in"});
  CHECK(d.to_client == "331 go\r\n230 in\r\n");
  CHECK(d.to_backend == "USER anna\r\nPASS yes\r\n");
}

TEST_CASE("HOST behind USER: the next USER reaches the backend of that host") {
  auto d = fronted();
  d.client("USER carl").connect().backend({"220 hello", "331 go"}).client("PASS no").backend({"530 wrong"}).forget();
  CHECK(d.connecting->target.backend == "default");
  d.client("HOST two.example");
  CHECK(d.to_client == "220 Host accepted.\r\n");
  CHECK(d.to_backend.empty());
  d.client("USER carl");
  CHECK(d.connecting->target.backend == "two");
  d.connect().backend({"220 hello"});
  CHECK(d.to_backend == "HOST two.example\r\n");
  d.backend({"220 ok", "331 go"}).client("PASS yes").backend({"230 in"}).forget();
  d.client("HOST three.example");  // too late, says the backend (RFC 7151 §3.2)
  CHECK(d.to_backend == "HOST three.example\r\n");
}

TEST_CASE("a client that goes from backend to backend isn't served for ever") {
  auto d = fronted();
  int logins = 0;
  while (!d.ended() && logins < 50) {
    d.client(logins++ % 2 == 0 ? "USER anna" : "USER bert").connect().backend({"220 hello", "530 no"});
  }
  CHECK(logins == 9);
  CHECK(d.to_client.ends_with("421 Too many logins failed.\r\n"));
}

TEST_CASE("user@host: the backend sees the name alone") {
  auto d = fronted(by_host());
  d.client("USER anna@FTP.internal").client("PASS x");
  REQUIRE(d.connecting);
  REQUIRE(d.connecting->target.host);
  CHECK(d.connecting->target.host->host == "ftp.internal");
  CHECK(d.connecting->target.backend == "default");
  CHECK(d.connecting->user == "anna");
  d.connect().backend({"220 hello", "331 go", "530 no"});
  CHECK(d.to_backend == "USER anna\r\nPASS x\r\n");
  REQUIRE(d.logins.size() == 1);
  CHECK(d.logins[0].user == "anna@FTP.internal");
  d.forget().client("USER bert@ftp.internal");  // the same server
  CHECK(d.order.empty());
  CHECK(d.to_backend == "USER bert\r\n");
}

TEST_CASE("user@host: a host that isn't allowed is refused, and the session goes on") {
  auto d = fronted(by_host());
  d.client("USER anna@192.0.2.9");
  CHECK(d.to_client == "530 This host isn't available here.\r\n");
  CHECK_FALSE(d.connecting);
  REQUIRE(d.logins.size() == 1);
  CHECK_FALSE(d.logins[0].ok);
  d.client("PASS x").forget();
  SUBCASE("a name that resolves to what isn't allowed") {
    d.client("USER anna@evil.example").client("PASS x").client("NOOP").event(BackendUnreachable{.forbidden = true});
    CHECK(d.to_client == "530 This host isn't available here.\r\n503 Login with USER first.\r\n200 OK.\r\n");
    d.forget().client("USER anna");
  }
  SUBCASE("then another") { d.client("USER anna"); }
  CHECK_FALSE(d.ended());
  d.connect().backend({"220 hello", "331 go"});
  CHECK(d.to_client == "331 go\r\n");
}

TEST_CASE("behind a USER that was refused no password goes to the backend that is there") {
  auto d = fronted(by_host());
  d.client("USER anna@ftp.internal").connect().backend({"220 hello", "331 go"}).forget();
  SUBCASE("a host that isn't allowed") {
    d.client("USER bert@192.0.2.9").client("PASS of bert").client("ACCT of bert");
    CHECK(d.to_client ==
          "530 This host isn't available here.\r\n503 Login with USER first.\r\n503 Login with USER first.\r\n");
  }
  SUBCASE("another backend behind a login") {
    d.client("PASS x").backend({"230 in"}).forget().client("USER carl").client("PASS of carl");
    CHECK(d.to_client == "530 This user needs a session of its own.\r\n503 Login with USER first.\r\n");
    CHECK(d.user() == "anna@ftp.internal");
  }
  CHECK(d.to_backend.empty());
  d.forget().client("USER anna@ftp.internal").client("PASS x");
  CHECK(d.to_backend.starts_with("USER anna\r\n"));
}

TEST_CASE("who is logged in is who was let in, not who asked last") {
  auto d = Dialogue::logged_in();
  const std::string user = d.user();
  d.client("USER mallory").backend({"530 no"});
  CHECK(d.user() == user);
}

TEST_CASE("user_hash: another user may have another server") {
  auto listener = rules(R"("greeting": "hello")");
  listener.by_user = {"default"};
  Dialogue d(options(listener));
  d.forget().client("USER anna").connect().backend({"220 hello", "331 go"}).forget();
  d.client("USER anna");
  CHECK(d.times("ConnectBackend") == 0);
  d.backend({"331 go"}).forget().client("USER bert");
  CHECK(d.times("ConnectBackend") == 1);
}

TEST_CASE("a second 220 is more of the greeting, not USER's answer") {
  auto d = fronted();
  d.client("USER anna").connect().backend({"220 hello", "220 and again", "331 go"});
  CHECK(d.to_client == "331 go\r\n");
  CHECK(d.logins.empty());
}

TEST_CASE("SNI: known before a word with implicit TLS, behind AUTH otherwise") {
  static const auto listener = rules(R"("routes": [{"sni": ["a.example"], "backend": "one"},
                                       {"certificate_subject": ["CN=bert"], "backend": "two"}])");
  Dialogue implicit(options(listener, ClientTls::Implicit));
  CHECK_FALSE(implicit.connecting);
  implicit.event(TlsStarted{Leg::Client, {"A.example", ""}});
  REQUIRE(implicit.connecting);
  CHECK(implicit.connecting->target.backend == "one");
  implicit.connect().backend({"220 its own"});
  CHECK(implicit.to_client == "220 its own\r\n");

  auto d = fronted(listener, ClientTls::Optional);
  d.client("AUTH TLS").event(TlsStarted{Leg::Client, {"", "CN=bert"}}).client("PBSZ 0").client("PROT P");
  CHECK_FALSE(d.connecting);
  d.client("USER x");
  CHECK(d.connecting->target.backend == "two");
  d.connect().backend({"220 hello"});
  CHECK(d.to_backend == "USER x\r\n");

  auto clear = fronted(listener, ClientTls::Optional);
  clear.client("USER x");
  CHECK(clear.connecting->target.backend == "default");
  auto required = fronted(listener, ClientTls::Required);
  required.client("USER x");
  CHECK(required.to_client.starts_with("530 Encryption"));
  // No TLS at all: nothing is left to wait for.
  CHECK(Dialogue(options(listener)).connecting->target.backend == "default");
}

TEST_CASE("a backend with TLS behind the front: USER when all of it stands") {
  Dialogue d(options(by_user()), BackendTraits{.tls = config::BackendTls::Explicit});
  d.client("CLNT x").forget().client("USER anna").connect().backend({"220-hello", "220 there", "234 go on"});
  d.event(TlsStarted{Leg::Backend}).backend({"200 ok", "200 ok"});
  CHECK(d.to_client.empty());
  CHECK(d.to_backend == "AUTH TLS\r\nPBSZ 0\r\nPROT P\r\nCLNT x\r\n");
  d.backend({"500 what"});
  CHECK(d.to_backend.ends_with("USER anna\r\n"));
  Dialogue refused(options(by_user()), BackendTraits{.tls = config::BackendTls::Explicit});
  refused.forget().client("USER anna").connect().backend({"530 not now"});
  CHECK(refused.to_client == "530 not now\r\n");
  CHECK(refused.reason == EndReason::Refused);
}

TEST_CASE("user@host: the user that is counted is the one that the backend sees there") {
  auto counting = options(by_host());
  counting.counts_users = true;
  Dialogue d(counting);
  d.client("USER anna@FTP.internal:21").connect().backend({"220 ready", "331 on"}).client("PASS secret");
  d.backend({"230 in"});
  CHECK(d.to_backend == "USER anna\r\nPASS secret\r\n");
  CHECK(d.users == std::vector<std::string>{"anna\nftp.internal:21"});
  CHECK(d.user() == "anna@FTP.internal:21");
  CHECK(d.user_key() == "anna\nftp.internal:21");
}
