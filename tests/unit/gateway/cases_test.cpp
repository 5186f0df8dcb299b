#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "unit/gateway/dialogue.h"

// What servers and clients have been seen to do, by the ids of tests/README.md, where no other file has it already.
using namespace pasvgate;
using namespace pasvgate::gateway;
using Lines = std::vector<std::string_view>;
using Result = TransferNote::Result;

namespace {

constexpr auto kActive = config::DataMode::Active;
constexpr std::string_view k227 = "227 (10,0,0,5,4,5)";
const std::string kTold = "227 Entering Passive Mode (203,0,113,10,195,81).\r\n";
const DataConnected kClientLeg{Leg::Client};
const DataConnected kBackendLeg{Leg::Backend};
const DataEnded kDownloaded{ftp::Direction::Download, 3};
const DataEnded kUploaded{ftp::Direction::Upload, 3};

std::string wire(const Lines& lines) {
  std::string text;
  for (const auto line : lines) text.append(line).append("\r\n");
  return text;
}

}  // namespace

TEST_CASE("commands and replies that are relayed byte for byte, whatever they mean") {
  struct Row {
    const char* why;
    const char* command;
    Lines reply;
  };
  const Row rows[] = {
      {"F15: 202 for OPTS", "OPTS UTF8 ON", {"202 already on"}},
      {"F15: 226 for TYPE", "TYPE I", {"226 type set"}},
      {"F16: tuple in a 257", "PWD", {"257 \"/227 (10,0,0,5,4,5)\" is current"}},
      {"F16: tuple in a 213", "STAT /x", {"213-status of /x", " 10,0,0,5,4,5", "213 end"}},
      {"G15: unknown", "XWHAT  ever ", {"500 what?"}},
      {"G17: REST that is refused", "REST 5", {"502 no"}},
      {"G18: REST in ASCII", "REST 100", {"554 only in TYPE I"}},
      {"G20: ALLO that isn't needed", "ALLO 5", {"202 no storage allocation necessary"}},
      {"G20: ALLO with a record size", "ALLO 5 R 1", {"200 ok"}},
      {"G20: SMNT", "SMNT /vol", {"250 mounted"}},
      {"G21: SITE with blanks", "SITE  CHMOD 600  a b ", {"200 ok"}},
      {"G21: SITE that is long", "SITE HELP", {"214-these", "CHMOD", " UMASK", "214 end"}},
      {"G26: facts", "OPTS MLST type;size;", {"200 MLST OPTS type;size;"}},
      {"G27: CLNT", "CLNT a client 1.0", {"530 log in first"}},
      {"G28: MLST uses no data connection", "MLST a", {"250-listing", " type=file; a", "250 end"}},
      {"G29: STAT of a path uses none", "STAT *.c", {"211-*.c", "227 =1,2,3,4,5,6", "211 end"}},
      {"G30: HOST", "HOST [2001:db8::1]", {"504 unknown host"}},
      {"G31: USER again", "USER bob", {"331 password"}},
      {"G32: PASS without a word", "PASS", {"202 superfluous"}},
      {"G32: PASS with blanks", "PASS  a b ", {"230 in"}},
      {"G32: PASS with a minus", "PASS -anna@", {"230 in"}},
      {"G37: MODE S", "MODE S", {"200 ok"}},
      {"G37: STRU F", "STRU F", {"200 ok"}},
      {"G38: TYPE E", "TYPE E", {"504 no"}},
      {"G38: TYPE L 8", "TYPE L 8", {"200 ok"}},
      {"G38: TYPE A N", "TYPE A N", {"200 ok"}},
      {"G39: XPWD", "XPWD", {"257 \"/\""}},
      {"G39: XCWD", "XCWD /a", {"250 ok"}},
      {"G42: z/OS", "PWD", {"257 \"'ANNA.'\" is working directory"}},
      {"G42: VMS", "CWD [ANNA.SUB]", {"250-CWD command successful.", "250 DISK$USER:[ANNA.SUB] is current."}},
      {"MODE Z is the backend's", "MODE Z", {"200 MODE Z ok"}},
      {"F5: hyphens only", "HELP", {"214-", "214-", "214 end"}},
      {"F6: lines that are no reply", "NOOP", {"hello there", "200 ok"}},
      {"F12: protected", "XENC x", {"631 abc"}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    auto d = Dialogue::logged_in();
    d.client(row.command).backend(row.reply);
    CHECK(d.to_backend == std::string(row.command) + "\r\n");
    CHECK(d.to_client == wire(row.reply));
    CHECK(d.transfers.empty());
    // In step: the next command goes out at once and gets its own reply.
    d.forget().client("NOOP");
    CHECK(d.to_backend == "NOOP\r\n");
    d.backend({"200 next"});
    CHECK(d.to_client == "200 next\r\n");
  }
}

TEST_CASE("what the gateway answers itself, and the backend never sees") {
  struct Row {
    const char* why;
    const char* command;
    std::string_view code;
  };
  const Row rows[] = {
      {"B9", "EPSV 9", "522"},
      {"B10", "EPSV 1 2", "501"},
      {"B15", "ALGS STATUS64", "502"},
      {"B15", "ALGS ENABLE64", "502"},
      {"B15", "algs Disable64", "502"},
      {"B16", "LPSV", "502"},
      {"B16", "LPRT 6,16", "502"},
      {"D20", "SPSV", "502"},
      {"D20", "ESTA", "502"},
      {"D20", "ESTP", "502"},
      {"D20", "CPSV", "502"},
      {"D20", "SSCN ON", "502"},
      {"G36", "MODE B", "504"},
      {"G36", "mode c", "504"},
      {"G40", "PBSZ 0", "503"},
      {"G40", "PROT P", "503"},
      {"G40", "CCC", "533"},
      {"G40", "AUTH TLS", "502"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    CAPTURE(row.command);
    auto d = Dialogue::logged_in();
    d.client(row.command);
    CHECK(d.to_client.starts_with(row.code));
    CHECK(d.to_backend.empty());
    CHECK(d.times("TakeLease") == 0);
  }
}

TEST_CASE("G14: empty lines are no commands, and don't keep a login waiting") {
  Dialogue d;
  d.connect().backend({"220 x"});
  d.timer.reset();
  for (int turn = 0; turn < 100; ++turn) d.client("").client("  \t");
  CHECK(d.to_backend.empty());
  CHECK_FALSE(d.timer);  // not begun anew
}

TEST_CASE("before the login: what clients send to be polite (G22, G25, G27)") {
  Dialogue d;
  d.connect().backend({"220 x"}).forget();
  for (const auto* command : {"FEAT", "OPTS UTF8 ON", "CLNT x", "SYST"}) d.client(command).backend({"530 log in"});
  CHECK(d.to_client == "530 log in\r\n530 log in\r\n530 log in\r\n530 log in\r\n");
  CHECK(d.logins.empty());
  d.forget().client("USER a").backend({"331 go on"}).client("PASS b").backend({"230 in"}).forget();
  d.client("FEAT").backend({"211-F", " MDTM", "211 End"});  // G22: another answer now
  CHECK(d.to_client == "211-F\r\n MDTM\r\n EPSV\r\n EPRT\r\n211 End\r\n");
}

TEST_CASE("G16: a client that speaks another protocol is sent away before its second line") {
  for (const char* line :
       {"GET / HTTP/1.1", "POST /x y HTTP/1.0", "OPTIONS * HTTP/1.1", "host: ftp.example", "Content-Length: 3",
        "X-Any:", "EHLO mail.example", "helo x", "LHLO x", "SSH-2.0-OpenSSH_9.2", "REGISTER sip:a.example SIP/2.0",
        "DESCRIBE rtsp://a.example RTSP/1.0", "PRI * HTTP/2.0"}) {
    CAPTURE(line);
    Dialogue d;
    d.connect().client(line).client("USER anna");
    CHECK(d.to_backend.empty());  // the greeting comes first
    d.backend({"220 x"});
    CHECK(d.to_backend.empty());
    CHECK(d.to_client == "220 x\r\n421 This is an FTP server.\r\n");
    CHECK(d.reason == EndReason::ForeignProtocol);
    CHECK(d.warnings == std::vector<std::string>{"the client speaks another protocol than FTP"});
  }
}

TEST_CASE("G16: what looks like another protocol and is FTP") {
  for (const char* line : {"USER a HTTP/1.1", "CWD Host:", "XCWD a/b", "SITE x/1y z", "XCWD /1.1", "XCWD a/",
                           "XTWO 1/2.0", ":", "HOST a.example", "HELP SIP/2.0", "EHLOX a", "GET", "SSH"}) {
    CAPTURE(line);
    Dialogue d;
    d.connect().backend({"220 x"}).client(line);
    CHECK(d.to_backend == std::string(line) + "\r\n");
    CHECK_FALSE(d.ended());
  }
  auto later = Dialogue::logged_in();
  later.client("GET / HTTP/1.1");
  CHECK(later.to_backend == "GET / HTTP/1.1\r\n");
}

TEST_CASE("G16: before the login only so many unknown commands, one behind the other") {
  const ClientLine unusable{"", ftp::LineFault::ForbiddenByte};
  Dialogue d;
  d.connect().backend({"220 x"});
  for (int turn = 0; turn < 3; ++turn) {
    for (int number = 0; number < 5; ++number) d.event(unusable).client("XNOBODY").backend({"500 what?"});
    CHECK_FALSE(d.ended());
    d.client("FEAT").backend({"211 none"});
  }
  for (int number = 0; number < 5; ++number) d.event(unusable).client("XNOBODY").backend({"500 what?"});
  d.client("XNOBODY");
  CHECK(d.reason == EndReason::ForeignProtocol);
  auto later = Dialogue::logged_in();
  for (int number = 0; number < 50; ++number) later.client("XNOBODY").backend({"500 what?"});
  CHECK_FALSE(later.ended());
}

TEST_CASE("a login's time is not made longer by transfers that are refused, nor by their ABOR") {
  config::Timeouts timeouts;
  timeouts.login = config::Milliseconds{7};
  Dialogue d({.timeouts = &timeouts});
  d.connect().backend({"220 x"});
  CHECK(d.timer == std::chrono::milliseconds{7});
  d.timer.reset();
  d.client("RETR x").client("ABOR").backend({"530 login first", "530 login first"}).client("PASV").backend({"530 no"});
  d.client("LIST").backend({"530 no"}).client("STOR x");
  CHECK_FALSE(d.timer);  // neither stopped nor begun anew
  d.event(TimerFired{});
  CHECK(d.reason == EndReason::LoginTimeout);
}

TEST_CASE("the ways into a login (G20, G31, G33)") {
  struct Row {
    const char* why;
    std::vector<std::pair<const char*, const char*>> dialogue;
    std::vector<bool> logins;
  };
  const Row rows[] = {
      {"230 after USER", {{"USER a", "230 in"}}, {true}},
      {"232 after USER", {{"USER a", "232 in, by certificate"}}, {true}},
      {"202 for PASS", {{"USER a", "331 go on"}, {"PASS b", "202 not needed"}}, {true}},
      {"332: an account too", {{"USER a", "331 x"}, {"PASS b", "332 x"}, {"ACCT c", "230 in"}}, {true}},
      {"332 after USER", {{"USER a", "332 x"}, {"ACCT c", "532 no"}}, {false}},
      {"USER twice", {{"USER a", "331 x"}, {"USER b", "331 x"}, {"PASS c", "230 in"}}, {true}},
      {"PASS first", {{"PASS c", "503 USER first"}}, {}},
      {"PASS twice", {{"USER a", "331 x"}, {"PASS b", "230 in"}, {"PASS b", "503 again?"}}, {true}},
      {"second user refused", {{"USER a", "230 in"}, {"USER b", "530 can't change"}}, {true, false}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    Dialogue d;
    d.connect().backend({"220 x"});
    for (const auto& [command, reply] : row.dialogue) d.client(command).backend({reply});
    std::vector<bool> logins;
    for (const auto& login : d.logins) logins.push_back(login.ok);
    CHECK(logins == row.logins);
  }
}

TEST_CASE("G35: REIN ends the data channel and the login, with or without a 120 before its 220") {
  for (const Lines& replies : {Lines{"220 again"}, Lines{"120 in a minute", "220 again"}}) {
    CAPTURE(replies.size());
    auto d = Dialogue::logged_in();
    d.client("PASV").backend({k227}).client("REIN");
    CHECK(d.times("ResetData") == 1);
    d.backend(replies);
    CHECK(d.to_client == kTold + wire(replies));
    CHECK(d.transfers.empty());
    CHECK(d.timer == config::Timeouts{}.login);
    d.logins.clear();
    d.client("USER bob").backend({"331 x"}).client("PASS y").backend({"230 in"});
    CHECK(d.logins.size() == 1);
  }
}

TEST_CASE("A17: an IPv6 backend that answers 227 is connected to at its control address") {
  auto d = Dialogue::logged_in(SessionOptions{}, ftp::Family::V6);
  d.client("EPSV").backend({k227}).event(kClientLeg);
  CHECK(d.to_client == "229 Entering Extended Passive Mode (|||50001|)\r\n");
  REQUIRE(d.opened);
  CHECK_FALSE(d.opened->address);
}

TEST_CASE("B4, A15: an address inside a 229 counts only where it is trusted") {
  for (const bool trusts : {false, true}) {
    BackendTraits traits;
    if (trusts) {
      traits.data_address = config::DataAddress::Trust;
      traits.trusted_data = {*ftp::Cidr::parse("10.0.0.0/8")};
    }
    auto d = Dialogue::logged_in(traits);
    d.client("EPSV").backend({"229 ok (|1|10.0.0.5|1029|)"}).event(kClientLeg);
    REQUIRE(d.opened);
    CHECK(d.opened->address.has_value() == trusts);
  }
}

TEST_CASE("A24, E14: 421 ends the session wherever it comes, and takes the data channel with it") {
  struct Row {
    const char* why;
    const char* command;  ///< Empty: none waits.
    Lines replies;
  };
  const Row rows[] = {
      {"to PASV", "PASV", {"421 too busy"}},
      {"to PASV, in lines", "PASV", {"421-too", "421 busy"}},
      {"to EPSV, whose refusal else means PASV", "EPSV", {"421 too busy"}},
      {"to PORT", "PORT 192,0,2,1,200,10", {"421 too busy"}},
      {"right behind another reply", "NOOP", {"200 ok", "421 idle"}},
      {"after 150", "RETR f", {"150 here", "421 shutting down"}},
      {"unasked", "", {"421 idle"}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    auto d = Dialogue::logged_in();
    d.open_data();
    if (*row.command != '\0') d.client(row.command);
    d.backend(row.replies);
    CHECK(d.to_client == wire(row.replies));
    CHECK(d.reason == EndReason::BackendClosed);
  }
}

TEST_CASE("B12, B13: after EPSV comes PASV, and the new port replaces the old one") {
  auto d = Dialogue::logged_in();
  d.client("EPSV").backend({"229 ok (|||1028|)"}).client("PASV").backend({k227});
  CHECK(d.times("ResetData") == 1);
  CHECK(d.to_client == "229 Entering Extended Passive Mode (|||50001|)\r\n" + kTold);
  d.event(kClientLeg);
  CHECK(d.opened->port == 1029);
}

TEST_CASE("D5, D14: in each order the backend is connected to when the client has come, before any 150") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({k227}).forget();
  const auto connect = [&] {
    CHECK_FALSE(d.opened);  // D11: not before it is needed
    d.event(kClientLeg);
    CHECK(d.opened);
    d.event(kBackendLeg);
  };
  SUBCASE("the client connects before its command") {
    connect();
    d.client("RETR f").backend({"150 x"}).event(kDownloaded).backend({"226 y"});
  }
  SUBCASE("after its command") {
    d.client("RETR f");
    connect();
    d.backend({"150 x"}).event(kDownloaded).backend({"226 y"});
  }
  SUBCASE("only after the 150") {
    d.client("RETR f").backend({"150 x"});
    connect();
    d.event(kDownloaded).backend({"226 y"});
  }
  SUBCASE("E2: only after the 226") {
    d.client("RETR f").backend({"150 x", "226 y"});
    CHECK(d.to_client == "150 x\r\n");
    connect();
    d.event(kDownloaded);
  }
  CHECK(d.to_client == "150 x\r\n226 y\r\n");
  CHECK(d.transfers.at(0).result == Result::Ok);
}

TEST_CASE("uploads of every verb, and names that the backend makes up (G19, G20)") {
  struct Row {
    const char* command;
    Lines replies;
  };
  const Row rows[] = {
      {"STOR a", {"150 go on", "226 stored"}},
      {"APPE a", {"125 appending", "250 stored"}},
      {"STOU", {"150 FILE: anna.0001", "226 transfer complete (unique file name: anna.0001)."}},
      {"STOU a", {"250 stored as a.1"}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.command);
    auto d = Dialogue::logged_in();
    d.open_data().client(row.command).backend(row.replies);
    CHECK_FALSE(d.to_client.ends_with(wire({row.replies.back()})));
    d.event(kUploaded);
    CHECK(d.to_client == wire(row.replies));
    CHECK(d.transfers.at(0).direction == ftp::Direction::Upload);
    CHECK(d.transfers.at(0).bytes == 3);
  }
}

TEST_CASE("E8: a leg breaks and the backend says nothing: 426 all the same") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).event(DataBroken{Leg::Backend, false, 1, 0});
  CHECK(d.timer == config::Timeouts{}.transfer_reply);
  d.event(TimerFired{});
  CHECK(d.to_client.starts_with("150 x\r\n426 "));
}

TEST_CASE("E17: STAT during a transfer, answered in every way") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).client("STAT").forget();
  SUBCASE("refused at once (Pure-FTPd reads only ABOR then)") {
    d.backend({"500 Unknown command"});
    CHECK(d.to_client == "500 Unknown command\r\n");
    CHECK(d.times("ResetData") == 0);
    d.event(kDownloaded).backend({"226 y"});
    CHECK(d.to_client == "500 Unknown command\r\n226 y\r\n");
  }
  SUBCASE("after the transfer") {
    d.event(kDownloaded).backend({"226 y", "211 idle"});
    CHECK(d.to_client == "226 y\r\n211 idle\r\n");
  }
  SUBCASE("never: the wait has a bound") {
    d.event(kDownloaded).backend({"226 y"});
    CHECK(d.timer == config::Timeouts{}.reply);
    d.event(TimerFired{});
    CHECK(d.reason == EndReason::ReplyTimeout);
  }
  REQUIRE(d.transfers.size() == 1);
  CHECK(d.transfers[0].result == Result::Ok);
}

TEST_CASE("F3: a reply that ends with another code than it began with ends with the next of its own, or by its bound") {
  auto d = Dialogue::logged_in();
  d.client("PWD").backend({"257-x", "226 end"});
  CHECK(d.timer == config::Timeouts{}.reply);
  d.event(TimerFired{});
  CHECK(d.to_client == "257-x\r\n226 end\r\n421 The server doesn't answer.\r\n");
}

TEST_CASE("F6: a greeting without end is relayed, as long as a greeting may take") {
  Dialogue d;
  d.connect();
  d.timer.reset();
  for (int line = 0; line < 1000; ++line) d.backend({"Welcome to our server"});
  CHECK(d.to_client.size() == 1000 * 23);
  CHECK_FALSE(d.timer);  // not begun anew
  d.event(TimerFired{});
  CHECK(d.reason == EndReason::GreetingTimeout);
}

TEST_CASE("F11: blank lines between replies are skipped") {
  auto d = Dialogue::logged_in();
  d.client("PWD").client("NOOP").backend({"", "257 /", "", "", "200 ok", ""});
  CHECK(d.to_client == "257 /\r\n200 ok\r\n");
}

TEST_CASE("active backend, passive client: a backend that connected doesn't end the wait for the client") {
  auto d = Dialogue::logged_in({.data_mode = kActive});
  d.client("PASV").backend({"200 ok"}).client("RETR f").event(kBackendLeg).forget().backend({"150 x", "226 y"});
  CHECK(d.to_client == "150 x\r\n");
  d.event(LeaseExpired{});
  CHECK(d.times("ResetData") >= 1);
  CHECK(d.to_client == "150 x\r\n425 No data connection was opened.\r\n");
}

TEST_CASE("one reply too many is passed on as it came, and the next command gets its own") {
  auto d = Dialogue::logged_in();
  d.open_data().client("RETR f").backend({"150 x"}).event(kDownloaded).backend({"226 y", "226 y again"});
  CHECK(d.to_client == "150 x\r\n226 y\r\n226 y again\r\n");
  d.forget().client("NOOP").backend({"200 ok"});
  CHECK(d.to_client == "200 ok\r\n");
}

TEST_CASE("G41: keep-alives without end are commands like others") {
  auto d = Dialogue::logged_in();
  for (int turn = 0; turn < 1000; ++turn) d.client("NOOP").backend({"200 ok"});
  CHECK(d.to_client.size() == 1000 * 8);
  CHECK_FALSE(d.ended());
}
