#include "gateway/plan.h"

#include <doctest/doctest.h>

#include <string>

#include "ftp/reply.h"

using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

ftp::Address address(const char* text) { return ftp::Address::parse(text).value(); }

}  // namespace

TEST_CASE("the plan of each cell: client verb × data mode × backend family") {
  using enum ftp::Verb;
  using enum config::DataMode;
  using enum ftp::Family;
  struct Row {
    ftp::Verb asked;
    config::DataMode setting;
    ftp::Family backend;
    gateway::Mode client;
    gateway::Mode mode;
    ftp::Verb verb;
  };
  const Row rows[] = {
      {Pasv, Same, V4, gateway::Mode::Passive, gateway::Mode::Passive, Pasv},
      {Pasv, Same, V6, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Epsv, Same, V4, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Epsv, Same, V6, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Port, Same, V4, gateway::Mode::Active, gateway::Mode::Active, Port},
      {Port, Same, V6, gateway::Mode::Active, gateway::Mode::Active, Eprt},
      {Eprt, Same, V4, gateway::Mode::Active, gateway::Mode::Active, Eprt},
      {Eprt, Same, V6, gateway::Mode::Active, gateway::Mode::Active, Eprt},
      {Pasv, config::DataMode::Passive, V4, gateway::Mode::Passive, gateway::Mode::Passive, Pasv},
      {Pasv, config::DataMode::Passive, V6, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Epsv, config::DataMode::Passive, V4, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Epsv, config::DataMode::Passive, V6, gateway::Mode::Passive, gateway::Mode::Passive, Epsv},
      {Port, config::DataMode::Passive, V4, gateway::Mode::Active, gateway::Mode::Passive, Pasv},
      {Port, config::DataMode::Passive, V6, gateway::Mode::Active, gateway::Mode::Passive, Epsv},
      {Eprt, config::DataMode::Passive, V4, gateway::Mode::Active, gateway::Mode::Passive, Pasv},
      {Eprt, config::DataMode::Passive, V6, gateway::Mode::Active, gateway::Mode::Passive, Epsv},
      {Pasv, config::DataMode::Active, V4, gateway::Mode::Passive, gateway::Mode::Active, Port},
      {Pasv, config::DataMode::Active, V6, gateway::Mode::Passive, gateway::Mode::Active, Eprt},
      {Epsv, config::DataMode::Active, V4, gateway::Mode::Passive, gateway::Mode::Active, Port},
      {Epsv, config::DataMode::Active, V6, gateway::Mode::Passive, gateway::Mode::Active, Eprt},
      {Port, config::DataMode::Active, V4, gateway::Mode::Active, gateway::Mode::Active, Port},
      {Port, config::DataMode::Active, V6, gateway::Mode::Active, gateway::Mode::Active, Eprt},
      {Eprt, config::DataMode::Active, V4, gateway::Mode::Active, gateway::Mode::Active, Eprt},
      {Eprt, config::DataMode::Active, V6, gateway::Mode::Active, gateway::Mode::Active, Eprt},
  };
  for (const auto& row : rows) {
    CAPTURE(ftp::verb_name(row.asked));
    CAPTURE(static_cast<int>(row.setting));
    CAPTURE(static_cast<int>(row.backend));
    const auto plan = plan_data(row.asked, row.setting, row.backend, false);
    CHECK(plan.asked == row.asked);
    CHECK(plan.client == row.client);
    CHECK(plan.backend == row.mode);
    CHECK(plan.verb == row.verb);
  }
}

TEST_CASE("a backend without EPSV is asked by PASV, but never for an IPv6 address") {
  CHECK(plan_data(ftp::Verb::Epsv, config::DataMode::Same, ftp::Family::V4, true).verb == ftp::Verb::Pasv);
  CHECK(plan_data(ftp::Verb::Epsv, config::DataMode::Same, ftp::Family::V6, true).verb == ftp::Verb::Epsv);
}

TEST_CASE("what is asked next") {
  using enum ftp::Verb;
  using enum ftp::Family;
  CHECK(next_backend_verb(Epsv, 500, V4) == Pasv);
  CHECK(next_backend_verb(Epsv, 522, V4) == Pasv);
  CHECK_FALSE(next_backend_verb(Epsv, 530, V4));
  CHECK_FALSE(next_backend_verb(Epsv, 425, V4));
  CHECK_FALSE(next_backend_verb(Epsv, 500, V6));
  CHECK(next_backend_verb(Eprt, 500, V4) == Port);  // C15
  CHECK_FALSE(next_backend_verb(Eprt, 500, V6));
  CHECK_FALSE(next_backend_verb(Pasv, 500, V4));
  CHECK_FALSE(next_backend_verb(Port, 500, V4));
}

TEST_CASE("PORT and EPRT: only to the client itself, and to no low port") {
  struct Row {
    const char* why;
    const char* command;
    const char* client;
    config::Policy policy;
    std::string answer;  // or, when it is taken, the endpoint
  };
  const config::Policy fxp{.allow_fxp = true};
  const Row rows[] = {
      {"right", "PORT 192,0,2,1,4,0", "192.0.2.1", {}, "192.0.2.1:1024"},
      {"right", "EPRT |1|192.0.2.1|65535|", "192.0.2.1", {}, "192.0.2.1:65535"},
      {"right", "EPRT |2|2001:DB8::1|2000|", "2001:db8::1", {}, "[2001:db8::1]:2000"},
      {"C6: another spelling", "EPRT !2!2001:0db8:0:0:0:0:0:1!2000!", "2001:db8::1", {}, "[2001:db8::1]:2000"},
      {"C6: IPv4 in IPv6", "EPRT |2|::ffff:192.0.2.1|2000|", "192.0.2.1", {}, "192.0.2.1:2000"},
      {"C6: a zone", "EPRT |2|fe80::1%eth0|2000|", "fe80::1", {}, "501 EPRT takes |1|address|port|.\r\n"},
      {"C1: bounce", "PORT 192,0,2,2,4,0", "192.0.2.1", {}, "500 Only your own address is allowed.\r\n"},
      {"C1: bounce", "EPRT |2|2001:db8::2|2000|", "2001:db8::1", {}, "500 Only your own address is allowed.\r\n"},
      {"C2: the client's inside address",
       "PORT 10,0,0,7,4,0",
       "192.0.2.1",
       {},
       "500 Only your own address is allowed.\r\n"},
      {"FXP", "PORT 192,0,2,2,4,0", "192.0.2.1", fxp, "192.0.2.2:1024"},
      {"C3", "PORT 192,0,2,1,3,255", "192.0.2.1", {}, "500 A port below 1024 isn't allowed.\r\n"},
      {"C3, also with FXP", "PORT 192,0,2,2,0,25", "192.0.2.1", fxp, "500 A port below 1024 isn't allowed.\r\n"},
      {"no port", "PORT 192,0,2,1,0,0", "192.0.2.1", {}, "501 PORT takes h1,h2,h3,h4,p1,p2.\r\n"},
      {"junk", "PORT", "192.0.2.1", {}, "501 PORT takes h1,h2,h3,h4,p1,p2.\r\n"},
      {"junk", "PORT 192,0,2,1,4,0,7", "192.0.2.1", {}, "501 PORT takes h1,h2,h3,h4,p1,p2.\r\n"},
      {"junk", "EPRT |1|192.0.2.1|", "192.0.2.1", {}, "501 EPRT takes |1|address|port|.\r\n"},
      {"C5", "EPRT |3|192.0.2.1|2000|", "192.0.2.1", {}, "522 Network protocol not supported, use (1)\r\n"},
      {"C5", "EPRT |3|x|2000|", "2001:db8::1", {}, "522 Network protocol not supported, use (2)\r\n"},
      {"the other family", "EPRT |2|2001:db8::1|2000|", "192.0.2.1", fxp,
       "522 Network protocol not supported, use (1)\r\n"},
      {"the other family",
       "EPRT |1|192.0.2.1|2000|",
       "2001:db8::1",
       {},
       "522 Network protocol not supported, use (2)\r\n"},
      {"PORT over IPv6",
       "PORT 192,0,2,1,4,0",
       "2001:db8::1",
       {},
       "500 PORT can't hold your address, use EPRT or EPSV.\r\n"},
      {"not allowed",
       "PORT 192,0,2,1,4,0",
       "192.0.2.1",
       {.allow_active = false},
       "502 Active mode isn't available here; use PASV or EPSV.\r\n"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    CAPTURE(row.command);
    const auto at = active_client(ftp::Command::parse(row.command), address(row.client), row.policy);
    CHECK((at ? at->text() : at.error()) == row.answer);
  }
}

TEST_CASE("G36: block and compressed mode are refused, others are the backend's to answer") {
  CHECK(own_answer(ftp::Command::parse("MODE B")) == "504 Only stream mode is available here.\r\n");
  CHECK(own_answer(ftp::Command::parse("mode c")) == "504 Only stream mode is available here.\r\n");
  CHECK(own_answer(ftp::Command::parse("MODE  B ")) == "504 Only stream mode is available here.\r\n");
  CHECK_FALSE(own_answer(ftp::Command::parse("MODE S")));
  CHECK_FALSE(own_answer(ftp::Command::parse("MODE")));
  CHECK_FALSE(own_answer(ftp::Command::parse("MODE Z")));
}
