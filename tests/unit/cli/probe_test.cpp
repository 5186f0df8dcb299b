#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "cli/probe.h"

namespace pasvgate::cli {
namespace {

using std::chrono::milliseconds;

ftp::Endpoint at(std::string_view text) { return ftp::Endpoint::parse(text).value(); }

DataTry working(std::string_view verb, std::string_view endpoint) {
  return {.asked = true,
          .answer = {verb == "PASV" ? 227 : 229, "Entering"},
          .told = at(endpoint),
          .reach = Reach::Open,
          .took = milliseconds(2),
          .transfer = Answer{226, "Done"}};
}

/// A server in public at which everything works.
ProbeFacts good() {
  ProbeFacts facts;
  facts.target = "ftp.example.com";
  facts.host = "ftp.example.com";
  facts.timeout = milliseconds(3000);
  facts.peer = at("203.0.113.10:21");
  facts.own = at("198.51.100.7:40000");
  facts.greeting = {220, "ready"};
  facts.login = Answer{230, "welcome"};
  facts.pasv = working("PASV", "203.0.113.10:50000");
  facts.epsv = working("EPSV", "203.0.113.10:50001");
  return facts;
}

TlsFacts good_tls() {
  TlsFacts tls;
  tls.version = "TLSv1.3";
  tls.subject = "ftp.example.com";
  tls.names = {"ftp.example.com"};
  tls.expires_in_days = 80;
  tls.data_protected = true;
  return tls;
}

void close_ports(ProbeFacts& facts, Reach reach) {
  for (DataTry* data : {&facts.pasv, &facts.epsv}) {
    data->reach = reach;
    data->transfer.reset();
  }
}

}  // namespace

TEST_CASE("judge: nothing is found where everything works") {
  const Verdict verdict = judge(good());
  CHECK(verdict.findings.empty());
  CHECK(verdict.untested.empty());
  CHECK(verdict.notes.empty());
  CHECK(verdict.exit_code() == 0);
}

TEST_CASE("judge: each fault by its name, in words to act on") {
  struct Row {
    std::string_view what;
    std::function<void(ProbeFacts&)> change;
    std::string_view id;
    std::string_view words;
  };
  const Row rows[] = {
      {"an inside address",
       [](auto& f) {
         f.pasv.told = at("192.168.1.10:50000");
         f.pasv.reach = Reach::Silent;
         f.pasv.at_control = Reach::Open;
       },
       "pasv_inside_address",
       "advertises its inside address 192.168.1.10 in its 227, but is reached at 203.0.113.10: clients hang there. The "
       "same port answers at 203.0.113.10, so the address alone is wrong. Set the address"},
      {"an inside address that is reached from here", [](auto& f) { f.pasv.told = at("10.0.0.5:50000"); },
       "pasv_inside_address", "from here, but not from outside"},
      {"an inside address that another host has here",
       [](auto& f) {
         f.peer = at("127.0.0.1:21");
         f.pasv.told = at("192.168.1.10:50000");
         f.pasv.transfer = Answer{425, "no"};
         f.epsv.told = at("127.0.0.1:50001");
       },
       "pasv_inside_address", "but is reached at 127.0.0.1: somebody answers there, but no listing comes."},
      {"an inside address and closed ports",
       [](auto& f) {
         f.pasv.told = at("192.168.1.10:50000");
         f.pasv.reach = Reach::Unreachable;
         f.pasv.at_control = Reach::Refused;
       },
       "pasv_inside_address", "doesn't answer at 203.0.113.10 either (refused)"},
      {"no address",
       [](auto& f) {
         f.pasv.told = at("0.0.0.0:50000");
         f.pasv.reach = Reach::Refused;
       },
       "pasv_inside_address", "advertises 0.0.0.0 in its 227, which is no address"},
      {"another public address",
       [](auto& f) {
         f.pasv.told = at("198.51.100.99:50000");
         f.pasv.reach = Reach::Silent;
       },
       "pasv_wrong_address", "The server advertises 198.51.100.99 in its 227, but is reached at 203.0.113.10"},
      {"a firewall that drops", [](auto& f) { close_ports(f, Reach::Silent); }, "pasv_port",
       "nothing comes back from 203.0.113.10:50000 within 3 s: a firewall drops it"},
      {"a firewall that rejects", [](auto& f) { close_ports(f, Reach::Refused); }, "pasv_port",
       "refuses the connection"},
      {"EPSV's port alone",
       [](auto& f) {
         f.epsv.reach = Reach::Silent;
         f.epsv.transfer.reset();
       },
       "epsv_port", "The port that EPSV names doesn't answer: nothing comes back from 203.0.113.10:50001"},
      {"passive mode is off",
       [](auto& f) {
         f.pasv = {.asked = true, .answer = {550, "Permission denied."}};
         f.epsv = f.pasv;
       },
       "passive_refused", "PASV with \"550 Permission denied.\" and EPSV with \"550 Permission denied.\""},
      {"PASV alone is off", [](auto& f) { f.pasv = {.asked = true, .answer = {502, "no"}}; }, "pasv_refused",
       "clients that don't know EPSV"},
      {"a 227 without an address", [](auto& f) { f.pasv.told.reset(); }, "pasv_unreadable", "\"227 Entering\""},
      {"a 229 without a port", [](auto& f) { f.epsv.told.reset(); }, "epsv_unreadable", "\"229 Entering\""},
      {"no EPSV over IPv6",
       [](auto& f) {
         f.pasv = {};
         f.epsv = {.asked = true, .answer = {500, "?"}};
       },
       "epsv_refused", "over IPv6 there is no other passive mode"},
      {"LIST refused", [](auto& f) { f.pasv.transfer = Answer{425, "no"}; }, "pasv_transfer",
       "The data connection of PASV was made, but LIST got \"425 no\". A helper on the way"},
      {"LIST refused for TLS", [](auto& f) { f.epsv.transfer = Answer{522, "reuse"}; }, "epsv_transfer",
       "wants the TLS session resumed"},
      {"LIST unanswered", [](auto& f) { f.pasv.transfer = Answer{}; }, "pasv_transfer", "no reply to LIST came"},
      {"TLS on data fails", [](auto& f) { f.pasv.tls_error = "handshake failure"; }, "pasv_transfer",
       "its TLS handshake failed: handshake failure"},
      {"AUTH refused",
       [](auto& f) {
         f.tls_demanded = true;
         f.auth_tls = Answer{530, "Please login"};
         f.login.reset();
       },
       "tls_refused", "\"530 Please login\""},
      {"the handshake fails",
       [](auto& f) {
         f.tls = TlsFacts{};
         f.tls->error = "no protocols";
         f.login.reset();
       },
       "tls_handshake", "no protocols"},
      {"expired",
       [](auto& f) {
         f.tls = good_tls();
         f.tls->expires_in_days = -3;
         f.tls->chain_error = "expired";
       },
       "certificate_expired", "expired 3 days ago"},
      {"expires soon",
       [](auto& f) {
         f.tls = good_tls();
         f.tls->expires_in_days = 5;
       },
       "certificate_expires_soon", "expires in 5 days"},
      {"self-signed",
       [](auto& f) {
         f.tls = good_tls();
         f.tls->chain_error = "self-signed certificate";
       },
       "certificate_untrusted", "(self-signed certificate)"},
      {"another name",
       [](auto& f) {
         f.tls = good_tls();
         f.tls->names = {"a.example", "b.example"};
         f.tls->name_matches = false;
       },
       "certificate_name", "for a.example, b.example, not for ftp.example.com"},
      {"old TLS",
       [](auto& f) {
         f.tls = good_tls();
         f.tls->version = "TLSv1";
       },
       "tls_old", "TLSv1 at most"},
      {"active mode is refused", [](auto& f) { f.active = {.asked = true, .answer = {500, "Illegal PORT"}}; },
       "active_refused", "\"500 Illegal PORT\""},
      {"nobody comes",
       [](auto& f) {
         f.active = {.asked = true, .answer = {200, "ok"}, .told = at("198.51.100.7:6000"), .reach = Reach::Silent};
       },
       "active_connection", "a firewall here lets no connection in"},
      {"active mode behind a NAT",
       [](auto& f) {
         f.active = {.asked = true,
                     .answer = {200, "ok"},
                     .told = at("10.1.1.1:6000"),
                     .reach = Reach::Silent,
                     .transfer = Answer{425, "no"}};
       },
       "active_connection", "to 10.1.1.1:6000 and didn't come (\"425 no\"): this address is an inside one"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    ProbeFacts facts = good();
    row.change(facts);
    const Verdict verdict = judge(facts);
    REQUIRE(verdict.findings.size() == 1);
    CHECK(verdict.findings[0].id == row.id);
    CHECK_MESSAGE(verdict.findings[0].text.contains(row.words), verdict.findings[0].text);
    CHECK(verdict.exit_code() == 1);
  }
}

TEST_CASE("judge: what couldn't be tested") {
  struct Row {
    std::function<void(ProbeFacts&)> change;
    std::string_view words;
  };
  const Row rows[] = {
      {[](auto& f) { f.connect_error = "No connection to 203.0.113.10:21: refused"; }, "No connection to"},
      {[](auto& f) { f.greeting = {}; }, "No greeting came within 3 s. A server with TLS from the first byte"},
      {[](auto& f) { f.greeting = {421, "full"}; }, "turns clients away: \"421 full\""},
      {[](auto& f) { f.login = Answer{530, "no"}; }, "give --user and --password-file"},
      {[](auto& f) {
         f.user = "tester";
         f.login = Answer{530, "no"};
       },
       "The login as tester was refused"},
      {[](auto& f) {
         f.login.reset();
         f.lost = "the server closed it";
       },
       "The login couldn't be tried: the server"},
      {[](auto& f) {
         f.password_withheld = true;
         f.login.reset();
       },
       "wasn't tried: a server whose certificate is wrong gets no password. Name its CA with --tls-ca FILE"},
      {[](auto& f) { f.lost = "no answer in time"; }, "gave no more answers: no answer in time"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.words);
    ProbeFacts facts = good();
    row.change(facts);
    const Verdict verdict = judge(facts);
    CHECK(verdict.findings.empty());
    REQUIRE(verdict.untested.size() == 1);
    CHECK_MESSAGE(verdict.untested[0].contains(row.words), verdict.untested[0]);
    CHECK(verdict.exit_code() == 2);
  }
}

TEST_CASE("judge: good to know, but no fault") {
  ProbeFacts facts = good();
  facts.pasv.told = at("203.0.113.11:50000");  // another address of the same server, which answers
  facts.epsv = {.asked = true, .answer = {500, "unknown"}};
  facts.tls = good_tls();
  facts.tls->data_protected = false;
  facts.reuse_demanded = true;
  facts.active = working("PASV", "198.51.100.7:6000");
  facts.active.came_from = at("203.0.113.77:20");
  const Verdict verdict = judge(facts);
  CHECK(verdict.exit_code() == 0);
  CHECK(verdict.notes.size() == 5);
}

TEST_CASE("report: what a server says can't paint the terminal") {
  ProbeFacts facts = good();
  facts.greeting.text = "\x1b[31mred";
  const std::string text = probe_text(facts, judge(facts), Color::Off);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.contains("220 \\x1B[31mred"));
  CHECK(text.contains("PASV       ok  203.0.113.10:50000, answered in 2 ms, LIST: 226 Done\n"));
  CHECK(text.contains("nothing found"));
  CHECK(probe_text(facts, judge(facts), Color::On).contains("\x1b[32mok "));
}

TEST_CASE("report: JSON") {
  ProbeFacts facts = good();
  close_ports(facts, Reach::Silent);
  facts.greeting.text = "\xff";
  const auto json = nlohmann::json::parse(probe_json(facts, judge(facts)));
  CHECK(json["findings"][0]["id"] == "pasv_port");
  CHECK(json["pasv"]["connection"] == "silent");
  CHECK(json["pasv"]["address"] == "203.0.113.10");
  CHECK(json["pasv"]["private"] == false);
  CHECK(json["active"].is_null());
  CHECK(json["exit_code"] == 1);
}

}  // namespace pasvgate::cli
