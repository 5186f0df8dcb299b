#include <doctest/doctest.h>

#include <string>

#include "unit/gateway/dialogue.h"

using namespace pasvgate;
using namespace pasvgate::gateway;
using Result = TransferNote::Result;

namespace {

/// An address of a client of this family.
ftp::Address address_of(ftp::Family family) {
  return ftp::Address::parse(family == ftp::Family::V4 ? "192.0.2.1" : "2001:db8::1").value();
}

const std::string kRewritten = "227 Entering Passive Mode (203,0,113,10,195,81).\r\n";

}  // namespace

TEST_CASE("greeting, login and plain commands go through untouched") {
  Dialogue d;
  d.client("USER anna");
  CHECK(d.to_backend.empty());  // G10: a command before the 220 waits
  d.connect();
  CHECK(d.to_backend.empty());
  d.backend({"120 wait a minute", "220-Hello", " there", "220 ready"});
  CHECK(d.to_client == "120 wait a minute\r\n220-Hello\r\n there\r\n220 ready\r\n");
  CHECK(d.to_backend == "USER anna\r\n");
  d.forget().backend({"331 go on"}).client("pass  two blanks ");
  CHECK(d.to_backend == "pass  two blanks \r\n");  // G12, G13: nothing but the ends of the line changes
  d.backend({"230 in"});
  REQUIRE(d.logins.size() == 1);
  CHECK(d.logins[0].ok);
  CHECK(d.logins[0].user == "anna");
}

TEST_CASE("230 straight after USER is a login, 530 a failed one") {
  Dialogue d;
  d.connect().backend({"220 x"}).client("USER a").backend({"530 no"}).client("USER b").backend({"230 yes"});
  REQUIRE(d.logins.size() == 2);
  CHECK_FALSE(d.logins[0].ok);
  CHECK(d.logins[1].ok);
}

TEST_CASE("what is a login, and what isn't") {
  // Pure-FTPd says 202 to an ACCT before the login: nobody is in.
  Dialogue d;
  d.connect().backend({"220 x"}).client("USER a").backend({"331 go on"}).client("ACCT b").backend({"202 who are you?"});
  CHECK(d.logins.empty());
  d.client("PASS c").backend({"202 no need"});
  REQUIRE(d.logins.size() == 1);
  CHECK(d.logins[0].ok);
  // A password that isn't taken, in whatever words.
  for (const char* reply : {"530 no", "430 no", "500 no", "501 no", "550 no"}) {
    CAPTURE(reply);
    Dialogue failed;
    failed.connect().backend({"220 x"}).client("USER a").backend({"331 go on"}).client("PASS b").backend({reply});
    REQUIRE(failed.logins.size() == 1);
    CHECK_FALSE(failed.logins[0].ok);
  }
}

TEST_CASE("PASV: 227 rewritten to the advertised address and the leased port, backend read for its port only") {
  auto d = Dialogue::logged_in();
  d.client("PASV");
  CHECK(d.to_backend == "PASV\r\n");
  d.backend({"227 Entering Passive Mode (192,168,1,1,195,75)"});
  CHECK(d.to_client == kRewritten);
  d.event(DataConnected{Leg::Client});
  REQUIRE(d.opened);
  CHECK(d.opened->port == 195 * 256 + 75);
  CHECK_FALSE(d.opened->address);
}

TEST_CASE("227 and 229 answer whichever was asked") {
  struct Row {
    const char* why;
    const char* asked;
    const char* answer;
    std::string told;
  };
  const Row rows[] = {
      {"plain", "PASV", "227 ok (10,0,0,5,4,5)", kRewritten},
      {"A19: 229 to PASV", "PASV", "229 ok (|||1029|)", kRewritten},
      {"plain EPSV", "EPSV", "229 ok (|||1029|)", "229 Entering Extended Passive Mode (|||50001|)\r\n"},
      {"A18: 227 to EPSV", "EPSV", "227 ok (10,0,0,5,4,5)", "229 Entering Extended Passive Mode (|||50001|)\r\n"},
      {"D19: mangled by a router", "P@SW", "227 ok (10,0,0,5,4,5)", kRewritten},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    auto d = Dialogue::logged_in();
    d.client(row.asked).backend({row.answer});
    CHECK(d.to_client == row.told);
    d.event(DataConnected{Leg::Client});
    REQUIRE(d.opened);
    CHECK(d.opened->port == 1029);
  }
}

TEST_CASE("multi-line 227: the first tuple counts, the client gets one line") {
  for (const auto& lines : {std::vector<std::string_view>{"227-Entering", "227 (10,0,0,5,4,5)"},
                            std::vector<std::string_view>{"227-Entering", " (10,0,0,5,4,5)", "227 end"}}) {
    auto d = Dialogue::logged_in();
    d.client("PASV").backend(lines);
    CHECK(d.to_client == kRewritten);
  }
}

TEST_CASE("a 227 of no use is 425, and the session goes on") {
  for (const char* answer : {"227 ok (10,0,0,5,4)", "227 ok (256,0,0,5,4,5)", "227 ok (10,0,0,5,0,0)", "227 ok ()",
                             "227 ok (10,0,0,5,0,22)", "229 ok (|||70000|)"}) {
    CAPTURE(answer);
    auto d = Dialogue::logged_in();
    d.client("PASV").client("PWD").backend({answer});
    CHECK(d.to_client == "425 Can't open data connection.\r\n");
    CHECK(d.times("TakeLease") == 0);
    CHECK(d.warnings.size() == 1);
    CHECK(d.to_backend == "PASV\r\nPWD\r\n");
  }
}

TEST_CASE("low data ports only where allowed") {
  auto d = Dialogue::logged_in({.allow_low_data_ports = true});
  d.client("PASV").backend({"227 ok (10,0,0,5,0,22)"});
  CHECK(d.to_client == kRewritten);
}

TEST_CASE("data_address trust: an address in the list is used, another is not") {
  const BackendTraits traits{.data_address = config::DataAddress::Trust,
                             .trusted_data = {*ftp::Cidr::parse("10.0.0.0/8")}};
  auto inside = Dialogue::logged_in(traits);
  inside.client("PASV").backend({"227 (10,0,0,5,4,5)"}).event(DataConnected{Leg::Client});
  CHECK(inside.opened->address == ftp::Address::v4({10, 0, 0, 5}));
  auto outside = Dialogue::logged_in(traits);
  outside.client("PASV").backend({"227 (192,0,2,5,4,5)"}).event(DataConnected{Leg::Client});
  CHECK_FALSE(outside.opened->address);
}

TEST_CASE("text that looks like a 227 opens no port") {
  auto d = Dialogue::logged_in();
  SUBCASE("inside another reply") {
    d.client("STAT").backend({"211-status", "227 =10,0,0,5,4,5", "211 end"});
    CHECK(d.to_client == "211-status\r\n227 =10,0,0,5,4,5\r\n211 end\r\n");
  }
  SUBCASE("a 227 that nobody asked for is dropped") {
    d.backend({"227 ok (10,0,0,5,4,5)"}).backend({"229-x", "229 (|||1029|)"});
    CHECK(d.to_client.empty());
    CHECK(d.warnings.size() == 2);
  }
  SUBCASE("as the reply to another command it is replaced") {
    d.client("NOOP").client("PWD").backend({"227-ok", " (10,0,0,5,4,5)", "227 end"}).backend({"257 /"});
    CHECK(d.to_client == "451 Unexpected reply from the server.\r\n257 /\r\n");
  }
  SUBCASE("from the client") {
    d.client("227 ok (10,0,0,5,4,5)");
    CHECK(d.to_backend == "227 ok (10,0,0,5,4,5)\r\n");
  }
  CHECK(d.times("TakeLease") == 0);
}

TEST_CASE("A20: a late reply before the 227 is dropped") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({"250 of something else", "227 (10,0,0,5,4,5)"});
  CHECK(d.to_client == kRewritten);
}

TEST_CASE("EPSV falls back to PASV on a backend that lacks it, and that is remembered") {
  auto d = Dialogue::logged_in();
  d.client("EPSV").backend({"500-what", "500 EPSV?"});
  CHECK(d.to_client.empty());
  CHECK(d.to_backend == "EPSV\r\nPASV\r\n");
  d.backend({"227 (10,0,0,5,4,5)"});
  CHECK(d.to_client == "229 Entering Extended Passive Mode (|||50001|)\r\n");
  CHECK(d.times("RememberNoEpsv") == 1);
  d.forget().client("EPSV");
  CHECK(d.to_backend == "PASV\r\n");

  auto later = Dialogue::logged_in({.lacks_epsv = true});
  later.client("EPSV").backend({"227 (10,0,0,5,4,5)"});
  CHECK(later.to_backend == "PASV\r\n");
}

TEST_CASE("PASV and EPSV refused: the backend's own words") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({"502-no", "502 passive"});
  CHECK(d.to_client == "502-no\r\n502 passive\r\n");
  d.forget().client("EPSV").backend({"502 no", "550 nor this"});
  CHECK(d.to_client == "550 nor this\r\n");
  CHECK(d.times("RememberNoEpsv") == 0);
}

TEST_CASE("EPSV arguments") {
  struct Row {
    const char* why;
    const char* command;
    ftp::Family client;
    std::string told;
  };
  const Row rows[] = {
      {"the other family", "EPSV 2", ftp::Family::V4, "522 Network protocol not supported, use (1)\r\n"},
      {"the other family", "EPSV 1", ftp::Family::V6, "522 Network protocol not supported, use (2)\r\n"},
      {"unknown family", "EPSV 7", ftp::Family::V4, "522 Network protocol not supported, use (1)\r\n"},
      {"junk", "EPSV xx", ftp::Family::V4, "501 EPSV takes 1, 2 or ALL.\r\n"},
      {"an IPv6 address fits no 227", "PASV", ftp::Family::V6, "522 A 227 can't hold an IPv6 address, use EPSV.\r\n"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.command);
    auto d = Dialogue::logged_in({.client = address_of(row.client)});
    d.client(row.command);
    CHECK(d.to_client == row.told);
    CHECK(d.to_backend.empty());
  }
  auto all = Dialogue::logged_in();
  all.client("EPSV ALL").client("PASV");
  CHECK(all.to_client == "200 EPSV ALL ok.\r\n503 Only EPSV after EPSV ALL.\r\n");
}

TEST_CASE("an IPv6 backend is asked by EPSV, whatever the client asks") {
  auto d = Dialogue::logged_in(SessionOptions{}, ftp::Family::V6);
  d.client("PASV").backend({"229 ok (|||1029|)"});
  CHECK(d.to_backend == "EPSV\r\n");
  CHECK(d.to_client == kRewritten);
}

TEST_CASE("no port: 425, and the session goes on") {
  auto d = Dialogue::logged_in();
  d.grants_leases = false;
  d.client("PASV").backend({"227 (10,0,0,5,4,5)"}).client("NOOP");
  CHECK(d.to_backend == "PASV\r\n");  // in turn, behind the 227
  d.event(LeaseRefused{LeaseFailure::Exhausted});
  CHECK(d.to_client == "425 Can't open data connection: no port is free, try again later.\r\n");
  CHECK(d.to_backend == "PASV\r\nNOOP\r\n");
}

TEST_CASE("no IPv4 address to advertise: 425 and the lease goes back") {
  auto d = Dialogue::logged_in();
  d.advertised.reset();
  d.client("PASV").backend({"227 (10,0,0,5,4,5)"});
  CHECK(d.to_client == "425 Can't open data connection, use EPSV.\r\n");
  CHECK(d.times("ResetData") == 1);
}

TEST_CASE("226 is said when the client has everything") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR file").backend({"150 here"});
  SUBCASE("delivered first") {
    d.event(DataEnded{ftp::Direction::Download, 100});
    CHECK(d.to_client == "150 here\r\n");
    d.backend({"226 done"});
  }
  SUBCASE("226 first is held, and what comes behind it isn't read") {
    d.backend({"226 done"});
    CHECK(d.to_client == "150 here\r\n");
    CHECK(d.times("PauseBackend") == 1);
    d.event(DataEnded{ftp::Direction::Download, 100});
    CHECK(d.times("ResumeBackend") == 1);
  }
  SUBCASE("multi-line") {
    d.backend({"226-File", "226 done"}).event(DataEnded{ftp::Direction::Download, 100});
    CHECK(d.to_client == "150 here\r\n226-File\r\n226 done\r\n");
    return;
  }
  CHECK(d.to_client == "150 here\r\n226 done\r\n");
  CHECK(d.times("CloseData") == 1);
  REQUIRE(d.transfers.size() == 1);
  CHECK(d.transfers[0].result == Result::Ok);
  CHECK(d.transfers[0].bytes == 100);
  CHECK(d.transfers[0].path == "file");
  CHECK_FALSE(d.transfers[0].contradicted);
  d.forget().client("RETR again").backend({"425 no"});  // D4: the port is used up, the backend says so
  CHECK(d.to_client == "425 no\r\n");
}

TEST_CASE("a transfer is of the TYPE that the backend took last") {
  struct Row {
    std::string_view type;
    std::string reply;
    bool ascii;
  };
  const Row rows[] = {
      {"", "", true},  // RFC 959: at first it is A
      {"TYPE I", "200 binary", false},
      {"type i", "200 binary", false},
      {"TYPE L 8", "200 bytes", false},
      {"TYPE A N", "200 text", true},
      {"TYPE I", "504 no", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.type);
    auto d = Dialogue::logged_in();
    if (!row.type.empty()) d.client(row.type).backend({row.reply});
    d.open_data().client("RETR file").backend({"150 here"}).event(DataEnded{ftp::Direction::Download, 1});
    d.backend({"226 done"});
    REQUIRE(d.transfers.size() == 1);
    CHECK(d.transfers[0].ascii == row.ascii);
  }
}

TEST_CASE("a broken data connection turns 226 into 426") {
  auto d = Dialogue::logged_in();
  d.open_data();
  SUBCASE("download, client gone") {
    d.client("RETR f").backend({"150 x"}).event(DataBroken{Leg::Client, false, 10, 0}).backend({"226 done"});
  }
  SUBCASE("download, 226 first") {
    d.client("RETR f").backend({"150 x", "226 done"}).event(DataBroken{Leg::Client, true, 10, 0});
    CHECK(d.transfers.at(0).result == Result::Stalled);
  }
  SUBCASE("upload") {
    d.client("STOR f").backend({"150 x"}).event(DataBroken{Leg::Client, false, 0, 10}).backend({"226 done"});
  }
  SUBCASE("upload that was taken, but the backend reset it") {
    d.client("STOR f").backend({"150 x"}).event(DataEnded{ftp::Direction::Upload, 10});
    d.event(DataBroken{Leg::Backend, false, 0, 10}).backend({"226 done"});
  }
  CHECK(d.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n");
  CHECK(d.transfers.at(0).code == 426);
  CHECK(d.transfers.at(0).contradicted);
}

TEST_CASE("a download that was delivered stays good when the client then resets") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).event(DataEnded{ftp::Direction::Download, 10});
  d.event(DataBroken{Leg::Client, false, 10, 0}).backend({"226 done"});
  CHECK(d.to_client == "150 x\r\n226 done\r\n");
}

TEST_CASE("replies without 1xx, with 125, with two 1xx") {
  for (const auto& before : {std::vector<std::string_view>{}, {"125 x"}, {"150 x", "150 y"}}) {
    auto d = Dialogue::logged_in();
    d.open_data().client("LIST").backend(before).event(DataEnded{ftp::Direction::Download, 0}).backend({"226 done"});
    CHECK(d.to_client.ends_with("226 done\r\n"));
    CHECK(d.transfers.size() == 1);
  }
}

TEST_CASE("a 1xx makes any command a transfer") {
  auto d = Dialogue::logged_in();
  d.open_data().client("XSPECIAL").backend({"150 x", "226 done"});
  CHECK(d.to_client == "150 x\r\n");
  d.event(DataEnded{ftp::Direction::Download, 0});
  CHECK(d.to_client == "150 x\r\n226 done\r\n");
}

TEST_CASE("a refused transfer") {
  auto d = Dialogue::logged_in();
  SUBCASE("the port waits on for the next try (D3)") {
    d.client("PASV").backend({"227 (10,0,0,5,4,5)"}).forget().client("RETR nope").backend({"550 no"});
    CHECK(d.times("ResetData") == 0);
    d.event(DataConnected{Leg::Client})
        .event(DataConnected{Leg::Backend})
        .client("RETR yes")
        .backend({"150 x", "226 y"})
        .event(DataEnded{ftp::Direction::Download, 1});
    CHECK(d.to_client == "550 no\r\n150 x\r\n226 y\r\n");
  }
  SUBCASE("an open data connection is reset: it must not look like an empty file") {
    d.open_data().client("RETR nope").backend({"550 no"});
    CHECK(d.times("ResetData") == 1);
    CHECK(d.transfers.at(0).result == Result::Refused);
  }
}

TEST_CASE("no data connection comes: a held 226 becomes 425") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({"227 (10,0,0,5,4,5)"}).forget().client("LIST").backend({"226 done"});
  CHECK(d.to_client.empty());
  d.event(LeaseExpired{});
  CHECK(d.to_client == "425 No data connection was opened.\r\n");
}

TEST_CASE("a transfer without PASV is for the backend to answer") {
  auto d = Dialogue::logged_in();
  d.client("LIST").backend({"425 Use PASV first."});
  CHECK(d.to_backend == "LIST\r\n");
  CHECK(d.to_client == "425 Use PASV first.\r\n");
}

TEST_CASE("a second PASV replaces the first, an expired one is forgotten") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({"227 (10,0,0,5,4,5)"}).client("PASV");
  CHECK(d.times("ResetData") == 1);
  d.backend({"227 (10,0,0,5,4,6)"});
  CHECK(d.times("TakeLease") == 2);
  d.event(LeaseExpired{}).forget().client("LIST");
  CHECK(d.to_client == "425 The data port has expired, ask for one again.\r\n");
  CHECK(d.to_backend.empty());
}

TEST_CASE("pipelined commands go one by one, and the queue is bounded") {
  auto d = Dialogue::logged_in({.pipelined_commands = 3});
  d.client("PASV").client("LIST").client("PWD");
  CHECK(d.to_backend == "PASV\r\n");
  CHECK(d.times("PauseClient") == 0);
  d.client("NOOP");
  CHECK(d.times("PauseClient") == 1);
  d.backend({"227 (10,0,0,5,4,5)"});  // G8: LIST waits for the rewritten 227
  CHECK(d.to_backend == "PASV\r\nLIST\r\n");
  CHECK(d.times("ResumeClient") == 1);
}

TEST_CASE("unusable lines are answered in turn") {
  auto d = Dialogue::logged_in();
  d.client("PWD").event(ClientLine{"", ftp::LineFault::TooLong}).event(ClientLine{"", ftp::LineFault::ForbiddenByte});
  CHECK(d.to_client.empty());
  d.backend({"257 /"});
  CHECK(d.to_client == "257 /\r\n500 Line too long.\r\n501 A command holds no NUL and no CR.\r\n");
  CHECK(d.to_backend == "PWD\r\n");
}

TEST_CASE("what the gateway answers itself") {
  for (const char* command : {"AUTH TLS", "PBSZ 0", "PROT P", "PORT 1,2,3,4,5,6", "EPRT |1|1.2.3.4|5|", "LPSV",
                              "LPRT 4", "SPSV", "ESTP", "ESTA", "CPSV", "SSCN", "ALGS STATUS64"}) {
    CAPTURE(command);
    auto d = Dialogue::logged_in();
    d.client(command);
    CHECK(d.to_client.starts_with("50"));
    CHECK(d.to_backend.empty());
  }
}

TEST_CASE("FEAT is edited") {
  auto d = Dialogue::logged_in();
  d.client("FEAT").backend({"211-Features", " AUTH TLS", " LPSV", " MDTM", "211 End"});
  CHECK(d.to_client == "211-Features\r\n MDTM\r\n EPSV\r\n EPRT\r\n211 End\r\n");
}

TEST_CASE("ABOR: the transfer's reply, then its own") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).event(ClientLine{"ABOR", ftp::LineFault::None, true});
  CHECK(d.to_backend == "RETR f\r\nABOR\r\n");
  CHECK(d.synch);
  CHECK(d.times("HoldData") == 1);
  CHECK(d.times("ResetData") == 0);  // the backend sees the ABOR first
  SUBCASE("426 and 226") {
    d.backend({"426 aborted", "226 ok"});
    CHECK(d.to_client == "150 x\r\n426 aborted\r\n226 ok\r\n");
  }
  SUBCASE("226 for a transfer that is not complete, then 225") {
    d.backend({"226 done", "225 nothing to abort"});
    CHECK(d.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n225 nothing to abort\r\n");
  }
  SUBCASE("225 alone") {
    d.backend({"225 aborted"});
    CHECK(d.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n225 aborted\r\n");
  }
  SUBCASE("unknown to the backend") {
    d.backend({"502 what"});
    CHECK(d.times("ResetData") == 1);
    d.backend({"426 broken"});
    CHECK(d.to_client == "150 x\r\n502 what\r\n426 broken\r\n");
  }
  SUBCASE("no reply at first: the data connection is reset, which a server that reads no ABOR notices") {
    d.event(TimerFired{});
    CHECK(d.times("ResetData") == 1);
    CHECK(d.timer == config::Timeouts{}.abort);
    d.backend({"426 broken", "225 nothing"});
    CHECK(d.to_client == "150 x\r\n426 broken\r\n225 nothing\r\n");
  }
  SUBCASE("a second 150 is all that it gets (Pure-FTPd)") {
    d.backend({"150 0.000 seconds"});
    CHECK(d.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n");
    d.event(TimerFired{}).backend({"200 noop"});
    CHECK(d.to_client.ends_with("226 ABOR processed.\r\n"));
  }
  SUBCASE("one reply only: the second is made up, and a NOOP brings the replies in step") {
    d.backend({"426 aborted"}).event(TimerFired{});
    CHECK(d.to_client == "150 x\r\n426 aborted\r\n226 ABOR processed.\r\n");
    d.forget().client("PWD");
    CHECK(d.to_backend.empty());
    d.backend({"200 noop"});
    CHECK(d.to_client.empty());
    CHECK(d.to_backend == "PWD\r\n");
    d.backend({"257 /"});
  }
  SUBCASE("mute: both are made up, late ones are swallowed") {
    d.event(TimerFired{}).event(TimerFired{});
    CHECK(d.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n226 ABOR processed.\r\n");
    d.forget().client("PWD").backend({"426 late", "226 late"});
    CHECK(d.to_backend.empty());
    d.backend({"200 noop", "257 /"});
    CHECK(d.to_client == "257 /\r\n");
  }
  CHECK(d.transfers.at(0).result == Result::Aborted);
  d.forget().open_data().client("RETR g").backend({"150 x", "226 y"}).event(DataEnded{ftp::Direction::Download, 1});
  CHECK(d.to_client == "150 x\r\n226 y\r\n");
}

TEST_CASE("ABOR with no transfer is a command like others") {
  auto d = Dialogue::logged_in();
  d.client("ABOR").backend({"225 none"});
  CHECK(d.to_client == "225 none\r\n");
  CHECK(d.times("ResetData") == 0);
}

TEST_CASE("STAT during a transfer is answered at once, NOOP keeps its turn") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).client("STAT").client("NOOP");
  CHECK(d.to_backend == "RETR f\r\nSTAT\r\n");
  d.backend({"211-status", " 226 bytes", "211 end"})
      .event(DataEnded{ftp::Direction::Download, 1})
      .backend({"226 done"});
  CHECK(d.to_client == "150 x\r\n211-status\r\n 226 bytes\r\n211 end\r\n226 done\r\n");
  CHECK(d.to_backend == "RETR f\r\nSTAT\r\nNOOP\r\n");
}

TEST_CASE("one STAT overtakes a transfer, the next keeps its turn, or the queue of replies would have no bound") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).client("STAT").client("STAT").client("STAT");
  CHECK(d.to_backend == "RETR f\r\nSTAT\r\n");
}

TEST_CASE("E18: QUIT during a transfer is sent behind it, whatever overtook it before") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).client("STAT").client("QUIT");
  CHECK(d.to_backend == "RETR f\r\nSTAT\r\n");
  d.backend({"211 half"}).event(DataEnded{ftp::Direction::Download, 1}).backend({"226 done"});
  CHECK(d.to_backend == "RETR f\r\nSTAT\r\nQUIT\r\n");
  d.backend({"221 bye"});
  CHECK(d.to_client == "150 x\r\n211 half\r\n226 done\r\n221 bye\r\n");
  CHECK(d.reason == EndReason::Quit);
}

TEST_CASE("the backend goes") {
  auto d = Dialogue::logged_in();
  SUBCASE("idle") {
    d.event(BackendClosed{});
    CHECK(d.to_client == "421 Service not available, closing control connection.\r\n");
  }
  SUBCASE("with its own 421") {
    d.backend({"421 timeout"}).event(BackendClosed{});
    CHECK(d.to_client == "421 timeout\r\n");
  }
  SUBCASE("with the data still moving: the client gets what there is") {
    d.open_data().client("RETR f").backend({"150 x"}).event(BackendClosed{});
    CHECK_FALSE(d.ended());
    d.event(DataEnded{ftp::Direction::Download, 5});
    CHECK(d.to_client ==
          "150 x\r\n426 Data connection broken, transfer incomplete.\r\n421 Service not available, closing control "
          "connection.\r\n");
  }
  CHECK(d.reason == EndReason::BackendClosed);
}

TEST_CASE("the backend can't be reached: 421 and no address") {
  Dialogue d;
  d.event(BackendUnreachable{});
  CHECK(d.to_client == "421 Service not available, try again later.\r\n");
  CHECK(d.reason == EndReason::BackendUnreachable);
}

TEST_CASE("the client goes") {
  auto d = Dialogue::logged_in();
  SUBCASE("idle") {
    d.event(ClientClosed{Closing::Orderly});
    CHECK(d.reason == EndReason::ClientClosed);
  }
  SUBCASE("reset") {
    d.open_data().client("RETR f").event(ClientClosed{Closing::Reset});
    CHECK(d.reason == EndReason::ClientReset);
    CHECK(d.transfers.at(0).result == Result::Aborted);
  }
  SUBCASE("with a transfer running: it ends first") {
    d.open_data().client("RETR f").backend({"150 x"}).event(ClientClosed{Closing::Orderly});
    CHECK_FALSE(d.ended());
    d.event(DataEnded{ftp::Direction::Download, 5}).backend({"226 y"});
    CHECK(d.reason == EndReason::ClientClosed);
    CHECK(d.transfers.at(0).result == Result::Ok);
  }
  SUBCASE("with a data connection that then breaks: nobody waits for the backend's word") {
    d.open_data().client("RETR f").backend({"150 x"}).event(ClientClosed{Closing::Orderly});
    d.event(DataBroken{Leg::Client, false, 1, 0});
    CHECK(d.reason == EndReason::ClientClosed);
  }
  SUBCASE("with commands pipelined before its end") {
    d.client("PWD").client("NOOP").event(ClientClosed{Closing::Orderly});
    CHECK_FALSE(d.ended());
    d.backend({"257 /", "200 ok"});
    CHECK(d.to_client == "257 /\r\n200 ok\r\n");
    CHECK(d.reason == EndReason::ClientClosed);
  }
}

TEST_CASE("timeouts") {
  const config::Timeouts defaults;
  Dialogue d;
  d.connect();
  CHECK(d.timer == defaults.greeting);
  SUBCASE("greeting") {
    d.event(TimerFired{});
    CHECK(d.reason == EndReason::GreetingTimeout);
  }
  SUBCASE("login, however busy") {
    d.backend({"220 x"});
    CHECK(d.timer == defaults.login);
    d.timer.reset();
    d.client("NOOP").backend({"200 ok"});
    CHECK_FALSE(d.timer);  // not begun anew
    d.event(TimerFired{});
    CHECK(d.to_client.ends_with("421 Login took too long.\r\n"));
  }
  SUBCASE("idle and reply") {
    auto in = Dialogue::logged_in();
    CHECK(in.timer == defaults.idle);
    in.client("SITE LONG");
    CHECK(in.timer == defaults.reply);
    in.backend({"200 ok"}).event(TimerFired{});
    CHECK(in.reason == EndReason::IdleTimeout);
  }
  SUBCASE("none while the payload moves, one when its reply is missing") {
    auto in = Dialogue::logged_in();
    in.open_data().client("RETR f").backend({"150 x"});
    CHECK_FALSE(in.timer);
    in.event(DataEnded{ftp::Direction::Download, 1});
    CHECK(in.timer == defaults.transfer_reply);
    in.event(TimerFired{});
    CHECK(in.to_client ==
          "150 x\r\n426 Data connection broken, transfer incomplete.\r\n421 The server doesn't answer.\r\n");
  }
}

TEST_CASE("a timer that fires while none is waited for ends nothing") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"});
  REQUIRE_FALSE(d.timer);
  d.forget().event(TimerFired{});
  CHECK_FALSE(d.ended());
  CHECK(d.to_client.empty());
  CHECK(d.order.empty());
  d.event(DataEnded{ftp::Direction::Download, 1}).backend({"226 y"});
  CHECK(d.to_client == "226 y\r\n");
}

TEST_CASE("what a session does, for people") {
  Dialogue d;
  CHECK(d.activity() == "connecting");
  d.connect();
  CHECK(d.activity() == "greeting");
  d.backend({"220 x"});
  CHECK(d.activity() == "login");
  d.client("USER anna").backend({"331 x"}).client("PASS y");
  CHECK(d.activity() == "login");
  d.backend({"230 x"});
  CHECK(d.activity() == "idle");
  d.client("NOOP");
  CHECK(d.activity() == "command");
  d.backend({"200 x"}).open_data().client("RETR f");
  CHECK(d.activity() == "transfer");
  d.backend({"150 x"});
  CHECK(d.activity() == "transfer");
  d.event(DataEnded{ftp::Direction::Download, 1}).backend({"226 x"});
  CHECK(d.activity() == "idle");
  // Where the backend hangs on the user, the login begins before there is one.
  const config::Listener by_user{.name = "public", .routes = {{.user = {"anna"}, .backend = "other"}}};
  Dialogue front({.rules = &by_user});
  CHECK(front.activity() == "login");
  front.client("USER anna");
  REQUIRE(front.connecting);
  CHECK(front.activity() == "connecting");
}

TEST_CASE("drain: idle sessions go at once, a transfer ends first") {
  auto idle = Dialogue::logged_in();
  idle.event(Drain{});
  CHECK(idle.to_client == "421 Service is shutting down, try again later.\r\n");
  CHECK(idle.reason == EndReason::Drained);

  auto busy = Dialogue::logged_in();
  busy.open_data().client("RETR f").backend({"150 x"}).event(Drain{});
  CHECK_FALSE(busy.ended());
  busy.backend({"226 done"}).event(DataEnded{ftp::Direction::Download, 1});
  CHECK(busy.to_client == "150 x\r\n226 done\r\n421 Service is shutting down, try again later.\r\n");
}

TEST_CASE("drain: a port that a client was told is still good for a transfer") {
  const std::string bye = "421 Service is shutting down, try again later.\r\n";
  auto told = Dialogue::logged_in();
  told.client("PASV").backend({"227 (10,0,0,5,4,5)"}).forget().event(Drain{});
  CHECK_FALSE(told.ended());
  told.event(DataConnected{Leg::Client}).event(DataConnected{Leg::Backend});
  CHECK_FALSE(told.ended());
  told.client("RETR f").backend({"150 x", "226 done"}).event(DataEnded{ftp::Direction::Download, 1});
  CHECK(told.to_client == "150 x\r\n226 done\r\n" + bye);

  auto unused = Dialogue::logged_in();
  unused.client("PASV").backend({"227 (10,0,0,5,4,5)"}).forget().event(Drain{}).event(LeaseExpired{});
  CHECK(unused.to_client == bye);
}

TEST_CASE("an overlong reply line is dropped inside a reply and ends the session outside") {
  auto d = Dialogue::logged_in();
  d.client("STAT").backend({"211-x"}).event(BackendLine{"", ftp::LineFault::TooLong}).backend({"211 end"});
  CHECK(d.to_client == "211-x\r\n211 end\r\n");
  d.event(BackendLine{"", ftp::LineFault::TooLong});
  CHECK(d.reason == EndReason::BackendClosed);
}

TEST_CASE("data connection without a command") {
  auto d = Dialogue::logged_in();
  d.open_data().event(DataBroken{Leg::Client, false, 0, 0}).client("RETR f").backend({"425 gone"});
  CHECK(d.to_client == "425 gone\r\n");
  auto unreachable = Dialogue::logged_in();
  unreachable.client("PASV").backend({"227 (10,0,0,5,4,5)"}).event(DataConnected{Leg::Client}).forget();
  unreachable.event(DataUnreachable{Leg::Backend}).client("RETR f").backend({"150 x", "226 y"});
  CHECK(unreachable.to_client == "150 x\r\n426 Data connection broken, transfer incomplete.\r\n");
}

TEST_CASE("an order to end: 421, whatever runs is cut off and noted") {
  struct Row {
    EndReason reason;
    std::string_view told;
  };
  const Row rows[] = {{EndReason::Operator, "421 Closed by the operator.\r\n"},
                      {EndReason::Drained, "421 Service is shutting down, try again later.\r\n"}};
  for (const Row& row : rows) {
    CAPTURE(reason_name(row.reason));
    Dialogue idle = Dialogue::logged_in();
    idle.event(Stop{row.reason});
    CHECK(idle.to_client == row.told);
    CHECK(idle.to_backend.empty());
    CHECK(idle.reason == row.reason);
    CHECK(idle.transfers.empty());

    Dialogue busy = Dialogue::logged_in();
    busy.open_data().client("RETR file").backend({"150 here"}).forget();
    busy.event(Stop{row.reason});
    CHECK(busy.to_client == row.told);
    CHECK(busy.reason == row.reason);
    REQUIRE(busy.transfers.size() == 1);
    CHECK(busy.transfers[0].result == TransferNote::Result::Aborted);
    CHECK(busy.transfers[0].path == "file");
    CHECK(busy.transfers[0].code == 421);
    CHECK_FALSE(busy.transfers[0].contradicted);

    // Also while it connects, and after it has ended by itself.
    Dialogue early;
    early.event(Stop{row.reason});
    CHECK(early.to_client == row.told);
    CHECK(early.reason == row.reason);
    Dialogue over = Dialogue::logged_in();
    over.client("QUIT").backend({"221 bye"}).forget();
    over.event(Stop{row.reason});
    CHECK(over.reason == EndReason::Quit);
    CHECK(over.to_client.empty());
  }
}

TEST_CASE("an order to end: a 226 that is held isn't said, and isn't the backend's false word") {
  Dialogue d = Dialogue::logged_in();
  d.open_data().client("RETR file").backend({"150 here", "226 done"}).forget();
  d.event(Stop{EndReason::Operator});
  CHECK(d.to_client == "421 Closed by the operator.\r\n");
  REQUIRE(d.transfers.size() == 1);
  CHECK(d.transfers[0].result == TransferNote::Result::Aborted);
  CHECK_FALSE(d.transfers[0].contradicted);
}
