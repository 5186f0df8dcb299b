#include <doctest/doctest.h>

#include "dialogue.h"

using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

SessionOptions passthrough() { return {.client_tls = config::ClientTls::Passthrough, .same_ports = true}; }

Dialogue greeted() {
  Dialogue d(passthrough());
  d.connect().backend({"220 hello"});
  d.forget();
  return d;
}

Dialogue blind() {
  Dialogue d = greeted();
  d.client("AUTH TLS").backend({"234 go on"}).event(RangeTaken{true}).forget();
  return d;
}

}  // namespace

TEST_CASE("passthrough: the 234 goes on when every port waits for the client") {
  Dialogue d = greeted();
  d.client("AUTH TLS");
  CHECK(d.to_backend == "AUTH TLS\r\n");
  CHECK(d.to_client.empty());
  d.backend({"234 go on"});
  CHECK(d.to_client.empty());
  CHECK(d.order == std::vector<std::string>{"PauseClient", "PauseBackend", "TakeRange"});
  d.event(RangeTaken{true});
  CHECK(d.to_client == "234 go on\r\n");
  CHECK(d.order.back() == "GoBlind");
  CHECK(d.timer == config::Timeouts{}.idle);
  CHECK_FALSE(d.ended());
}

TEST_CASE("passthrough: a session in clear is served as ever, AUTH refused by the backend too") {
  Dialogue d = greeted();
  d.client("AUTH TLS").backend({"502 what?"}).client("PBSZ 0").backend({"503 no"}).client("PROT P").backend({"503 no"});
  CHECK(d.to_backend == "AUTH TLS\r\nPBSZ 0\r\nPROT P\r\n");
  CHECK(d.to_client == "502 what?\r\n503 no\r\n503 no\r\n");
  d.forget().client("FEAT").backend({"211-these", " AUTH TLS", " PBSZ", " PROT", " SIZE", "211 end"});
  for (const char* feature : {" AUTH TLS\r\n", " PBSZ\r\n", " PROT\r\n"}) {
    CHECK(d.to_client.find(feature) != std::string::npos);
  }
  d.forget().client("PASV").backend({"227 Entering Passive Mode (10,0,0,5,195,81)"});
  CHECK(d.lease_port == 50001);
  CHECK(d.to_client.starts_with("227 "));
  CHECK(d.times("TakeRange") == 0);
}

TEST_CASE("same ports: EPSV too, and any port where the mapping is the pool's") {
  Dialogue d = greeted();
  d.client("EPSV").backend({"229 Entering Extended Passive Mode (|||50007|)"});
  CHECK(d.lease_port == 50007);
  Dialogue other(SessionOptions{});
  other.connect().backend({"220 hello"});
  other.client("PASV").backend({"227 Entering Passive Mode (10,0,0,5,195,81)"});
  CHECK(other.times("TakeLease") == 1);
  CHECK_FALSE(other.lease_port);
}

TEST_CASE("passthrough: a command in clear behind AUTH ends the session") {
  Dialogue d = greeted();
  d.client("NOOP").client("AUTH TLS").client("USER anna");
  d.backend({"200 ok"});
  CHECK(d.reason == EndReason::TlsFailed);
  CHECK(d.to_backend == "NOOP\r\n");
  Dialogue late = greeted();
  late.client("AUTH TLS").client("USER anna").backend({"234 go on"}).event(RangeTaken{true});
  CHECK(late.reason == EndReason::TlsFailed);
  CHECK(late.to_client.empty());
  CHECK(late.to_backend == "AUTH TLS\r\n");
}

TEST_CASE("passthrough: ports that can't be opened are a 421, and not the 234") {
  Dialogue d = greeted();
  d.client("AUTH TLS").backend({"234 go on"}).event(RangeTaken{false});
  CHECK(d.to_client == "421 Service not available, try again later.\r\n");
  CHECK(d.reason == EndReason::TlsFailed);
}

TEST_CASE("passthrough: what was set up in clear is gone") {
  Dialogue d = greeted();
  d.client("PASV").backend({"227 Entering Passive Mode (10,0,0,5,195,81)"}).forget();
  d.client("AUTH TLS").backend({"234 go on"}).event(RangeTaken{true});
  CHECK(d.times("ResetData") == 1);
}

TEST_CASE("passthrough: nothing is said into the encrypted channel, whatever ends it") {
  struct Row {
    Event event;
    EndReason reason;
  };
  const Row rows[] = {{ClientClosed{Closing::Reset}, EndReason::ClientReset},
                      {BackendClosed{}, EndReason::BackendClosed},
                      {TlsFailed{Leg::Client}, EndReason::TlsFailed},
                      {TimerFired{}, EndReason::IdleTimeout},
                      {Drain{}, EndReason::Drained},
                      {Stop{EndReason::Operator}, EndReason::Operator}};
  for (const Row& row : rows) {
    CAPTURE(reason_name(row.reason));
    Dialogue d = blind();
    d.event(row.event);
    CHECK(d.reason == row.reason);
    CHECK(d.to_client.empty());
    CHECK(d.to_backend.empty());
  }
}

TEST_CASE("passthrough: what was still on its way from the clear part changes nothing") {
  for (const Event& late : {Event{LeaseExpired{}}, Event{LeaseGranted{50001, {}}}, Event{DataConnected{Leg::Client}},
                            Event{DataUnreachable{Leg::Backend}}}) {
    Dialogue d = blind();
    d.timer.reset();
    d.event(late);
    CHECK_FALSE(d.ended());
    CHECK(d.to_client.empty());
    CHECK(d.to_backend.empty());
    CHECK(d.order.empty());
    CHECK_FALSE(d.timer);  // the session is as idle as before
  }
}

TEST_CASE("passthrough: a client that ends its side still hears the backend") {
  for (const Event& last : {Event{BackendClosed{}}, Event{TimerFired{}}}) {
    Dialogue d = blind();
    d.event(ClientClosed{Closing::Orderly});
    CHECK_FALSE(d.ended());
    CHECK(d.order == std::vector<std::string>{"EndBackend"});
    CHECK(d.timer == config::Timeouts{}.transfer_reply);
    d.event(BlindMoved{1});
    CHECK_FALSE(d.timer);
    d.event(BlindMoved{0});
    CHECK(d.timer == config::Timeouts{}.transfer_reply);
    d.event(last);
    CHECK(d.reason == EndReason::ClientClosed);
  }
  Dialogue reset = blind();
  reset.event(ClientClosed{Closing::Orderly}).event(ClientClosed{Closing::Reset});
  CHECK(reset.reason == EndReason::ClientReset);
}

TEST_CASE("passthrough: a transfer keeps the session, also when the process is to end") {
  Dialogue d = blind();
  d.timer.reset();
  d.event(BlindMoved{0});
  CHECK(d.timer == config::Timeouts{}.idle);
  d.event(BlindMoved{2});
  CHECK_FALSE(d.timer);
  d.event(Drain{});
  CHECK_FALSE(d.ended());
  d.event(BlindMoved{1});
  CHECK_FALSE(d.ended());
  CHECK_FALSE(d.timer);
  // Its final reply may still be on its way, encrypted.
  d.event(BlindMoved{0});
  CHECK_FALSE(d.ended());
  CHECK(d.timer == std::chrono::seconds(1));
  d.timer.reset();
  d.event(BlindMoved{0});
  CHECK_FALSE(d.timer);  // what goes by doesn't prolong it
  d.event(BlindMoved{1});
  d.event(BlindMoved{0});
  CHECK(d.timer == std::chrono::seconds(1));
  d.event(TimerFired{});
  CHECK(d.reason == EndReason::Drained);
}

TEST_CASE("passthrough: an order to end doesn't wait for transfers") {
  Dialogue d = blind();
  d.event(BlindMoved{2}).event(Stop{EndReason::Drained});
  CHECK(d.reason == EndReason::Drained);
}
