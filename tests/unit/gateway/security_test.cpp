#include "gateway/security.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "unit/gateway/dialogue.h"

// TLS on the control channels: what the gateway answers itself, and when the session waits for a handshake.
using namespace pasvgate;
using namespace pasvgate::gateway;
using config::BackendTls;
using config::ClientTls;
using Then = ClientSecurity::Answer::Then;

namespace {

/// "234 tls" and the like: the code, and what comes then. Empty: the command goes on.
std::string said(ClientSecurity& security, std::string_view line) {
  const auto answer = security.answer(ftp::Command::parse(line));
  if (!answer) return {};
  CHECK(answer->reply.ends_with("\r\n"));
  return answer->reply.substr(0, 3) + (answer->then == Then::StartTls ? " tls"
                                       : answer->then == Then::EndTls ? " clear"
                                                                      : "");
}

SessionOptions client(ClientTls mode) { return {.client_tls = mode}; }
BackendTraits backend(BackendTls mode, bool is_private = true) { return {.tls = mode, .private_data = is_private}; }

}  // namespace

TEST_CASE("security commands in each mode, in clear and behind the handshake") {
  struct Row {
    const char* command;
    const char* off;
    const char* optional;
    const char* required;
    const char* optional_up;
    const char* required_up;
    const char* implicit_up;
  };
  const Row rows[] = {
      {"AUTH TLS", "502", "234 tls", "234 tls", "503", "503", "503"},
      {"AUTH TLS-C", "502", "234 tls", "234 tls", "503", "503", "503"},
      {"AUTH SSL", "502", "234 tls", "234 tls", "503", "503", "503"},
      {"auth  tls ", "502", "234 tls", "234 tls", "503", "503", "503"},
      {"AUTH TLS-P", "502", "504", "504", "503", "503", "503"},
      {"AUTH GSSAPI", "502", "504", "504", "503", "503", "503"},
      {"AUTH", "502", "504", "504", "503", "503", "503"},
      {"PROT P", "503", "503", "503", "503", "503", "503"},  // PBSZ comes first
      {"PROT C", "503", "503", "503", "503", "503", "503"},
      {"PBSZ 0", "503", "503", "503", "200", "200", "200"},
      {"PBSZ 9", "503", "503", "503", "200", "200", "200"},
      {"PROT S", "503", "503", "503", "536", "536", "536"},
      {"PROT E", "503", "503", "503", "536", "536", "536"},
      {"PROT X", "503", "503", "503", "504", "504", "504"},
      {"PROT", "503", "503", "503", "504", "504", "504"},
      {"prot p", "503", "503", "503", "200", "200", "200"},
      {"PROT C", "503", "503", "503", "200", "200", "200"},
      {"REIN", "", "", "530", "502", "502", "502"},
      {"USER anna", "", "", "530", "", "", ""},
      {"PASS secret", "", "", "530", "", "", ""},
      {"ACCT x", "", "", "530", "", "", ""},
      {"PASV", "", "", "530", "", "", ""},
      {"RETR a", "", "", "530", "", "", ""},
      {"ABOR", "", "", "530", "", "", ""},
      {"XWHAT", "", "", "530", "", "", ""},
      {"FEAT", "", "", "", "", "", ""},
      {"NOOP", "", "", "", "", "", ""},
      {"QUIT", "", "", "", "", "", ""},
      {"HOST a", "", "", "", "", "", ""},
      {"CCC", "533", "533", "533", "200 clear", "534", "534"},
      {"CCC", "533", "533", "533", "533", "534", "534"},
      {"AUTH TLS", "502", "234 tls", "234 tls", "503", "503", "503"},
  };
  struct Column {
    ClientTls mode;
    bool is_up;
    const char* Row::* wanted;
  };
  const Column columns[] = {{ClientTls::Off, false, &Row::off},
                            {ClientTls::Optional, false, &Row::optional},
                            {ClientTls::Required, false, &Row::required},
                            {ClientTls::Optional, true, &Row::optional_up},
                            {ClientTls::Required, true, &Row::required_up},
                            {ClientTls::Implicit, true, &Row::implicit_up}};
  for (const auto& column : columns) {
    ClientSecurity security(column.mode, false);
    if (column.is_up) security.secured();
    CAPTURE(column.mode);
    CAPTURE(column.is_up);
    for (const auto& row : rows) {
      CAPTURE(row.command);
      CHECK(said(security, row.command) == row.*column.wanted);
    }
  }
}

TEST_CASE("passthrough: every security command is the backend's") {
  ClientSecurity security(ClientTls::Passthrough, false);
  for (const char* command : {"AUTH TLS", "PBSZ 0", "PROT P", "PROT C", "CCC", "REIN", "USER anna"}) {
    CAPTURE(command);
    CHECK(said(security, command).empty());
  }
}

TEST_CASE("data is private where PROT P was said, and from the start where TLS is implicit") {
  ClientSecurity optional(ClientTls::Optional, false);
  optional.secured();
  CHECK(!optional.has_private_data());
  said(optional, "PBSZ 0");
  said(optional, "PROT P");
  CHECK(optional.has_private_data());
  said(optional, "CCC");
  CHECK(optional.has_private_data());
  said(optional, "PROT C");
  CHECK(!optional.has_private_data());
  CHECK(ClientSecurity(ClientTls::Implicit, false).has_private_data());
}

TEST_CASE("require_private_data refuses each transfer in clear") {
  for (const auto mode : {ClientTls::Off, ClientTls::Optional}) {
    ClientSecurity security(mode, true);
    for (const char* command : {"RETR a", "STOR a", "APPE a", "STOU", "LIST", "NLST", "MLSD"}) {
      CAPTURE(command);
      CHECK(said(security, command) == "521");
    }
    CHECK(said(security, "PASV").empty());
    CHECK(said(security, "STAT").empty());
  }
  ClientSecurity security(ClientTls::Required, true);
  CHECK(said(security, "RETR a") == "530");
  security.secured();
  CHECK(said(security, "RETR a") == "521");
  said(security, "PBSZ 0");
  CHECK(said(security, "PROT C") == "534");
  CHECK(said(security, "PROT P") == "200");
  CHECK(said(security, "RETR a").empty());
}

TEST_CASE("FEAT says what this listener can, never what the backend can") {
  using Names = std::vector<std::string>;
  struct Row {
    ClientTls mode;
    Names added;
  };
  for (const auto& row :
       {Row{ClientTls::Off, {}}, Row{ClientTls::Optional, {"AUTH TLS", "PBSZ", "PROT", "CCC"}},
        Row{ClientTls::Required, {"AUTH TLS", "PBSZ", "PROT"}}, Row{ClientTls::Implicit, {"PBSZ", "PROT"}}}) {
    CAPTURE(row.mode);
    ftp::FeatPolicy feat;
    ClientSecurity(row.mode, false).edit(feat);
    CHECK(feat.added == row.added);
    CHECK(feat.removed == Names{"AUTH", "PBSZ", "PROT", "CCC"});
  }
}

TEST_CASE("AUTH: nothing goes on until the handshake is done") {
  Dialogue d(client(ClientTls::Required));
  d.connect().backend({"220 hello"}).client("AUTH TLS");
  CHECK(d.to_client.ends_with("234 Begin the TLS handshake.\r\n"));
  CHECK(d.order == std::vector<std::string>{"StartTls client"});
  CHECK(d.timer == config::Timeouts{}.tls_handshake);
  d.event(TlsStarted{Leg::Backend});  // not what was asked for
  d.client("USER anna");
  CHECK(d.to_backend.empty());
  d.event(TlsStarted{Leg::Client});
  CHECK(d.to_backend == "USER anna\r\n");
  CHECK(!d.ended());
}

TEST_CASE("AUTH with a command behind it in clear ends the session") {
  Dialogue d(client(ClientTls::Optional));
  d.connect().client("AUTH TLS").client("NOOP");
  d.backend({"220 hello"});
  CHECK(d.to_client == "220 hello\r\n");
  CHECK(d.reason == EndReason::TlsFailed);
  CHECK(d.times("StartTls client") == 0);
  CHECK(d.to_backend.empty());
  CHECK(d.warnings == std::vector<std::string>{"a command came in clear behind AUTH"});
}

TEST_CASE("a handshake of the client's that fails, or never ends, ends the session without a word") {
  const std::vector<Event> ends = {TlsFailed{Leg::Client}, TimerFired{}};
  for (const auto& end : ends) {
    Dialogue d(client(ClientTls::Optional));
    d.connect().backend({"220 hello"}).client("AUTH TLS").forget();
    d.event(end);
    CHECK(d.to_client.empty());
    CHECK(d.reason == EndReason::TlsFailed);
  }
}

TEST_CASE("implicit: the backend is asked when the client's TLS is up") {
  Dialogue d(client(ClientTls::Implicit));
  CHECK(d.order == std::vector<std::string>{"StartTls client"});
  CHECK(d.timer == config::Timeouts{}.tls_handshake);
  d.event(TlsStarted{Leg::Client});
  CHECK(d.order.back() == "ConnectBackend");
  d.connect().backend({"220 hello"});
  CHECK(d.to_client == "220 hello\r\n");
}

TEST_CASE("CCC goes on in clear behind its 200") {
  Dialogue d(client(ClientTls::Optional));
  d.connect().backend({"220 hello"}).client("AUTH TLS").event(TlsStarted{Leg::Client}).forget();
  d.client("CCC").client("NOOP");
  CHECK(d.to_client.starts_with("200 "));
  CHECK(d.order == std::vector<std::string>{"EndTls"});
  CHECK(d.to_backend == "NOOP\r\n");
}

TEST_CASE("a transfer says to the relay which legs are encrypted") {
  for (const bool is_private : {false, true}) {
    Dialogue d(client(ClientTls::Optional), backend(BackendTls::Explicit, is_private));
    d.connect().backend({"220 hello", "234 go on"}).event(TlsStarted{Leg::Backend});
    if (is_private) d.backend({"200 ok", "200 ok"});
    d.client("AUTH TLS").event(TlsStarted{Leg::Client});
    d.client("PBSZ 0").client("PROT P").forget();
    d.open_data().client("RETR a").backend({"150 here"});
    REQUIRE(d.relayed);
    CHECK(d.relayed->client_tls);
    CHECK(d.relayed->backend_tls == is_private);
  }
}

TEST_CASE("explicit TLS with the backend: its greeting is the client's when all of it stands") {
  Dialogue d(backend(BackendTls::Explicit));
  d.connect().client("USER anna").backend({"220-hello", "220 there"});
  CHECK(d.to_client.empty());
  CHECK(d.to_backend == "AUTH TLS\r\n");
  d.backend({"234 go on"});
  CHECK(d.order == std::vector<std::string>{"StartTls backend"});
  CHECK(d.timer == config::Timeouts{}.tls_handshake);
  CHECK(d.to_backend == "AUTH TLS\r\n");
  d.forget().event(TlsStarted{Leg::Backend});
  CHECK(d.to_backend == "PBSZ 0\r\n");
  d.forget().backend({"200 PBSZ=0"});
  CHECK(d.to_backend == "PROT P\r\n");
  CHECK(d.to_client.empty());
  d.forget().backend({"200 ok"});
  CHECK(d.to_client == "220-hello\r\n220 there\r\n");
  CHECK(d.to_backend == "USER anna\r\n");
}

TEST_CASE("tls_private_data off: neither PBSZ nor PROT") {
  Dialogue d(backend(BackendTls::Explicit, false));
  d.connect().backend({"220 hello", "234 go on"}).forget().event(TlsStarted{Leg::Backend});
  CHECK(d.to_backend.empty());
  CHECK(d.to_client == "220 hello\r\n");
}

TEST_CASE("implicit TLS with the backend: no AUTH, and the greeting comes behind PROT") {
  Dialogue d(backend(BackendTls::Implicit));
  d.connect();
  CHECK(d.order == std::vector<std::string>{"StartTls backend"});
  d.event(TlsStarted{Leg::Backend}).backend({"220 hello"});
  CHECK(d.to_backend == "PBSZ 0\r\n");
  CHECK(d.to_client.empty());
  d.backend({"200 PBSZ=0", "200 ok"});
  CHECK(d.to_client == "220 hello\r\n");
}

TEST_CASE("a backend whose TLS fails is one that isn't there") {
  using Events = std::vector<Event>;
  struct Row {
    const char* why;
    Events events;
  };
  const BackendLine greeting{"220 hello"};
  const BackendLine go_on{"234 go on"};
  const BackendLine ok{"200 ok"};
  const TlsStarted up{Leg::Backend};
  const Row rows[] = {
      {"AUTH refused", {greeting, BackendLine{"502 no"}}},
      {"AUTH refused in lines", {greeting, BackendLine{"530-no"}, BackendLine{"530 never"}}},
      {"handshake failed", {greeting, go_on, TlsFailed{Leg::Backend}}},
      {"handshake never ends", {greeting, go_on, TimerFired{}}},
      {"PBSZ refused", {greeting, go_on, up, BackendLine{"503 no"}}},
      {"PROT refused", {greeting, go_on, up, ok, BackendLine{"536 no"}}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    Dialogue d(backend(BackendTls::Explicit));
    d.connect().client("USER anna");
    for (const auto& event : row.events) d.event(event);
    CHECK(d.to_client == "421 Service not available, try again later.\r\n");
    CHECK(d.reason == EndReason::TlsFailed);
    CHECK(d.to_backend.find("USER") == std::string::npos);
  }
}

TEST_CASE("a backend that refuses to greet says so itself, whatever its TLS") {
  Dialogue d(backend(BackendTls::Explicit));
  d.connect().backend({"530 not for you"});
  CHECK(d.to_client == "530 not for you\r\n");
  CHECK(d.reason == EndReason::Refused);
}

TEST_CASE("REIN isn't passed on to a backend with TLS") {
  Dialogue d(backend(BackendTls::Explicit, false));
  d.connect().backend({"220 hello", "234 go on"}).event(TlsStarted{Leg::Backend}).forget();
  d.client("REIN");
  CHECK(d.to_client.starts_with("502 "));
  CHECK(d.to_backend.empty());
}
