#include <doctest/doctest.h>

#include <string>

#include "unit/gateway/dialogue.h"

// Data channels with an active leg: PORT and EPRT, on either side or on both.
using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

using Result = TransferNote::Result;
constexpr auto kActive = config::DataMode::Active;
constexpr auto kPassive = config::DataMode::Passive;

const ftp::Endpoint kClient{ftp::Address::v4({192, 0, 2, 1}), 51'210};
constexpr std::string_view kPort = "PORT 192,0,2,1,200,10";
const DataConnected kClientLeg{Leg::Client};
const DataConnected kBackendLeg{Leg::Backend};

}  // namespace

TEST_CASE("same: PORT becomes a PORT to the gateway, and the client is connected to when the backend came") {
  auto d = Dialogue::logged_in();
  d.client(kPort);
  CHECK(d.to_backend == "PORT 10,0,0,1,156,64\r\n");
  CHECK(d.to_client.empty());
  d.backend({"250 fine"});  // F15
  CHECK(d.to_client == "200 PORT command successful.\r\n");
  d.forget().client("RETR f").backend({"150 x"});
  CHECK_FALSE(d.dialled);
  d.event(kBackendLeg);
  CHECK(d.dialled == kClient);
  CHECK(d.times("RelayData") == 0);
  d.event(kClientLeg);
  CHECK(d.times("RelayData") == 1);
  d.backend({"226 y"});
  CHECK(d.to_client == "150 x\r\n");
  d.event(DataEnded{ftp::Direction::Download, 5});
  CHECK(d.to_client == "150 x\r\n226 y\r\n");
  CHECK(d.times("CloseData") == 1);
  REQUIRE(d.transfers.size() == 1);
  CHECK(d.transfers[0].client_setup == ftp::Verb::Port);
  CHECK(d.transfers[0].backend_setup == ftp::Verb::Port);
}

TEST_CASE("the backend's words when it refuses a PORT, and its port is closed") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"500 no such thing"});
  CHECK(d.to_client == "500 no such thing\r\n");
  CHECK(d.times("ResetData") == 1);
}

TEST_CASE("EPRT that is refused is asked as PORT (C15), unless the backend is IPv6") {
  auto d = Dialogue::logged_in();
  d.client("EPRT |1|192.0.2.1|51210|");
  CHECK(d.to_backend == "EPRT |1|10.0.0.1|40000|\r\n");
  d.backend({"500 what?"});
  CHECK(d.to_backend == "EPRT |1|10.0.0.1|40000|\r\nPORT 10,0,0,1,156,64\r\n");
  d.backend({"200 ok"});
  CHECK(d.to_client == "200 EPRT command successful.\r\n");

  auto v6 = Dialogue::logged_in(SessionOptions{}, ftp::Family::V6);
  v6.inside = {ftp::Address::parse("2001:db8::5").value(), 40'000};
  v6.client(kPort);
  CHECK(v6.to_backend == "EPRT |2|2001:db8::5|40000|\r\n");
  v6.backend({"500 what?"});
  CHECK(v6.to_client == "500 what?\r\n");
}

TEST_CASE("passive: PORT becomes PASV; the backend's leg is opened with the command, the client's with its 1xx") {
  auto d = Dialogue::logged_in({.data_mode = kPassive});
  d.client(kPort);
  CHECK(d.to_backend == "PASV\r\n");
  d.backend({"227 (10,0,0,5,4,5)"});
  CHECK(d.to_client == "200 PORT command successful.\r\n");
  CHECK_FALSE(d.opened);
  d.client("STOR f");
  REQUIRE(d.opened);
  CHECK(d.opened->port == 1029);
  SUBCASE("connected before the 1xx") {
    d.event(kBackendLeg);
    CHECK_FALSE(d.dialled);
    d.backend({"150 x"});
  }
  SUBCASE("connected behind it") {
    d.backend({"125 x"});
    CHECK_FALSE(d.dialled);
    d.event(kBackendLeg);
  }
  SUBCASE("no 1xx at all (E6)") { d.event(kBackendLeg).backend({"226 y"}); }
  CHECK(d.dialled == kClient);
  d.event(kClientLeg);
  CHECK(d.times("RelayData") == 1);
}

TEST_CASE("passive: a refusal touches no port of the client") {
  auto d = Dialogue::logged_in({.data_mode = kPassive});
  d.client(kPort).backend({"227 (10,0,0,5,4,5)"}).client("RETR f").event(kBackendLeg).forget().backend({"550 no"});
  CHECK_FALSE(d.dialled);
  CHECK(d.to_client == "550 no\r\n");
  CHECK(d.times("ResetData") == 1);
}

TEST_CASE("active: PASV becomes PORT, then a lease; both legs are waited for, in any order") {
  auto d = Dialogue::logged_in({.data_mode = kActive});
  d.client("PASV");
  CHECK(d.to_backend == "PORT 10,0,0,1,156,64\r\n");
  CHECK(d.times("TakeLease") == 0);
  d.backend({"200 ok"});
  CHECK(d.times("TakeLease") == 1);
  CHECK(d.to_client == "227 Entering Passive Mode (203,0,113,10,195,81).\r\n");
  d.client("RETR f");
  SUBCASE("the client first") { d.event(kClientLeg).event(kBackendLeg); }
  SUBCASE("the backend first") { d.event(kBackendLeg).event(kClientLeg); }
  CHECK_FALSE(d.opened);
  CHECK_FALSE(d.dialled);
  CHECK(d.times("RelayData") == 1);
}

TEST_CASE("active: a backend that connects before the client has its port") {
  auto d = Dialogue::logged_in({.data_mode = kActive});
  d.grants_leases = false;
  d.client("PASV").backend({"200 ok"}).event(kBackendLeg).event(LeaseGranted{50001, d.advertised});
  CHECK(d.to_client.starts_with("227 "));
  d.event(kClientLeg);
  CHECK(d.times("RelayData") == 1);
}

TEST_CASE("no port for the backend: 425 and the session goes on") {
  auto d = Dialogue::logged_in();
  d.opens_ports = false;
  d.client(kPort).client("NOOP");
  CHECK(d.to_backend.empty());
  d.event(BackendPortRefused{});
  CHECK(d.to_client == "425 Can't open data connection: no port is free, try again later.\r\n");
  CHECK(d.to_backend == "NOOP\r\n");
}

TEST_CASE("C10: the client's port can't be reached") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"200 ok"}).client("RETR f").backend({"150 x"}).event(kBackendLeg).forget();
  d.event(DataUnreachable{Leg::Client});
  CHECK(d.times("ResetData") == 1);
  SUBCASE("the backend notices") {
    d.backend({"426 broken"});
    CHECK(d.to_client == "426 broken\r\n");
  }
  SUBCASE("the backend doesn't") {
    d.backend({"226 fine"});
    CHECK(d.to_client == "425 No data connection was opened.\r\n");
  }
  CHECK(d.transfers.at(0).code >= 425);
}

TEST_CASE("an active backend that doesn't connect is waited for with a bound") {
  SessionOptions options;
  config::Timeouts timeouts;
  timeouts.data_connect = config::Milliseconds(7'000);
  options.timeouts = &timeouts;
  auto d = Dialogue::logged_in(BackendTraits{.data_mode = kActive}, ftp::Family::V4, options);
  d.client("PASV").backend({"200 ok"}).client("RETR f").event(kClientLeg).backend({"150 x"}).forget();
  CHECK(d.timer == config::Milliseconds(7'000));
  d.event(TimerFired{});
  CHECK(d.times("ResetData") == 1);
  d.backend({"226 y"});
  CHECK(d.to_client == "426 Data connection broken, transfer incomplete.\r\n");
}

TEST_CASE("a set-up that isn't used expires") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"200 ok"}).forget().event(LeaseExpired{});
  CHECK(d.times("ResetData") == 1);
  d.forget().client("RETR f");
  CHECK(d.to_client == "425 The data port has expired, ask for one again.\r\n");
}

TEST_CASE("C7, C8: the last of PORT and PASV counts") {
  auto d = Dialogue::logged_in();
  d.client("PASV").backend({"227 (10,0,0,5,4,5)"}).forget().client(kPort).backend({"200 ok"});
  CHECK(d.times("ResetData") == 1);
  CHECK(d.to_backend == "PORT 10,0,0,1,156,64\r\n");
  d.forget().client("PASV").backend({"227 (10,0,0,5,4,6)"});
  CHECK(d.times("ResetData") == 1);
  CHECK(d.to_client.starts_with("227 "));
}

TEST_CASE("a port that was refused a transfer stays for the next one (D3), a leg that stood doesn't") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"200 ok"}).client("RETR a").forget().backend({"550 no"});
  CHECK(d.times("ResetData") == 0);
  d.client("RETR b").event(kBackendLeg);
  CHECK(d.dialled == kClient);
  d.event(kClientLeg).forget().backend({"451 no"});
  CHECK(d.times("ResetData") == 1);
}

TEST_CASE("EPSV ALL: PORT and EPRT are refused like PASV") {
  auto d = Dialogue::logged_in();
  d.client("EPSV ALL").forget().client(kPort).client("EPRT |1|192.0.2.1|51210|");
  CHECK(d.to_client == "503 Only EPSV after EPSV ALL.\r\n503 Only EPSV after EPSV ALL.\r\n");
  CHECK(d.to_backend.empty());
}

TEST_CASE("a REST survives a conversion: it is said again behind the command that the client didn't send") {
  auto d = Dialogue::logged_in({.data_mode = kPassive});
  d.client("REST 100").backend({"350 at 100"}).forget();
  SUBCASE("PORT into PASV") {
    d.client(kPort).backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "PASV\r\nREST 100\r\n");
    CHECK(d.to_client.empty());
    d.backend({"350 at 100"});
    CHECK(d.to_client == "200 PORT command successful.\r\n");
    d.client("RETR f");
    CHECK(d.to_backend == "PASV\r\nREST 100\r\nRETR f\r\n");
  }
  SUBCASE("TYPE in between") {
    d.client("TYPE I").backend({"200 ok"}).forget().client(kPort).backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "PASV\r\nREST 100\r\n");
  }
  SUBCASE("EPSV that falls back to PASV") {
    d.client("EPSV").backend({"500 what?"}).backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "EPSV\r\nPASV\r\nREST 100\r\n");
    d.backend({"350 at 100"});
    CHECK(d.to_client == "229 Entering Extended Passive Mode (|||50001|)\r\n");
  }
  SUBCASE("nothing is added to what the client sent") {
    d.client("PASV").backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "PASV\r\n");
  }
  SUBCASE("another command has ended it") {
    d.client("CWD x").backend({"250 ok"}).forget().client(kPort).backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "PASV\r\n");
  }
  SUBCASE("a transfer has used it up") {
    d.client("RETR f").backend({"425 no"}).forget().client(kPort).backend({"227 (10,0,0,5,4,5)"});
    CHECK(d.to_backend == "PASV\r\n");
  }
  SUBCASE("the backend won't: rather no transfer than a wrong one") {
    d.client(kPort).backend({"227 (10,0,0,5,4,5)"}).backend({"502 no"});
    CHECK(d.to_client == "425 Can't open data connection.\r\n");
  }
}

TEST_CASE("ABOR with an active leg") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"200 ok"}).client("RETR f").backend({"150 x"}).forget();
  SUBCASE("while the client is connected to") { d.event(kBackendLeg); }
  SUBCASE("while both stand") { d.event(kBackendLeg).event(kClientLeg); }
  SUBCASE("before anything stands") {}
  d.client("ABOR").backend({"426 aborted", "226 ok"});
  CHECK(d.times("HoldData") == 1);
  CHECK(d.to_client == "426 aborted\r\n226 ok\r\n");
  CHECK(d.transfers.at(0).result == Result::Aborted);
}

TEST_CASE("FEAT names EPRT only where active mode is allowed") {
  const config::Policy passive{.allow_active = false};
  auto d = Dialogue::logged_in({.policy = &passive});
  d.client("FEAT").backend({"211-Features", " EPRT", " MDTM", "211 End"});
  CHECK(d.to_client == "211-Features\r\n MDTM\r\n EPSV\r\n211 End\r\n");
}

TEST_CASE("E6: a passive backend that keeps its 1xx back doesn't keep its active client waiting") {
  auto d = Dialogue::logged_in({.data_mode = kPassive});
  d.client(kPort).backend({"227 (10,0,0,5,4,5)"}).client("STOR f").event(kBackendLeg);
  CHECK_FALSE(d.dialled);
  CHECK(d.timer == config::Milliseconds(1'000));
  d.event(TimerFired{});
  CHECK(d.dialled == kClient);
  d.event(kClientLeg).event(DataEnded{ftp::Direction::Upload, 3}).forget().backend({"226 y"});
  CHECK(d.to_client == "226 y\r\n");
}

TEST_CASE("an active backend may take its time before it says anything") {
  auto d = Dialogue::logged_in({.data_mode = kActive});
  d.client("PASV").backend({"200 ok"}).event(kClientLeg).client("RETR f");
  CHECK(d.timer == config::Timeouts{}.reply);
  d.event(LeaseExpired{});
  CHECK(d.times("ResetData") == 0);
  d.event(kBackendLeg);
  CHECK(d.times("RelayData") == 1);
}

TEST_CASE("an active client that has said all it has to say is served") {
  auto d = Dialogue::logged_in();
  d.client(kPort).backend({"200 ok"}).client("RETR f").event(ClientClosed{Closing::Orderly});
  CHECK_FALSE(d.ended());
  d.backend({"150 x"}).event(kBackendLeg).event(kClientLeg);
  CHECK(d.times("RelayData") == 1);
  d.event(DataEnded{ftp::Direction::Download, 3}).backend({"226 y"});
  CHECK(d.reason == EndReason::ClientClosed);
}
