#include "gateway/command_policy.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "config/read.h"
#include "dialogue.h"

using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

/// The first listener of a file with these keys.
config::Listener listener(std::string_view keys, std::string_view of_listener = "{}") {
  const auto read =
      config::read_json(R"({"listeners": [{"address": "0.0.0.0:21", "policy": )" + std::string(of_listener) +
                        R"(}], "backends": {"default": {"servers": ["a"]}}, "policy": )" + std::string(keys) + "}");
  REQUIRE(read);
  return read->listeners.at(0);
}

/// "ok", or the key and the reply's code.
std::string told(const config::Policy& policy, std::string_view line) {
  const auto refused = refused_command(ftp::Command::parse(line), policy);
  return refused ? std::string(refused->key) + " " + refused->reply.substr(0, 3) : "ok";
}

struct Row {
  const char* line;
  const char* told;
};

constexpr const char* kReadOnly = "policy.read_only 550";
constexpr const char* kDenied = "policy.denied_commands 502";
constexpr const char* kNotListed = "policy.commands 502";

}  // namespace

TEST_CASE("policy: without one everything goes on") {
  for (const char* line : {"STOR x", "SITE CHMOD 777 x", "WHAT", "STOR\vx", ""}) CHECK(told({}, line) == "ok");
}

TEST_CASE("policy: read only") {
  const config::Policy policy{.read_only = true};
  const Row rows[] = {
      {"RETR x", "ok"},
      {"retr x", "ok"},
      {"LIST", "ok"},
      {"SITE HELP", "ok"},
      {"site help", "ok"},
      {"MDTM x", "ok"},
      {"MDTM 20261121190000", "ok"},  // a file's name
      {"MDTM 20261121190000 ", "ok"},
      {"MDTM 2026 x", "ok"},
      {"MDTM 20261121 report.pdf", "ok"},  // so is this
      {"XPWD", "ok"},
      {"P@SW", "ok"},
      {"QUIT", "ok"},
      {"OPTS UTF8 ON", "ok"},
      {"STOR x", kReadOnly},
      {"stor x", kReadOnly},
      {"STOU", kReadOnly},
      {"APPE x", kReadOnly},
      {"ALLO 5", kReadOnly},
      {"DELE x", kReadOnly},
      {"MKD x", kReadOnly},
      {"XMKD x", kReadOnly},
      {"RMD x", kReadOnly},
      {"XRMD x", kReadOnly},
      {"RNFR x", kReadOnly},
      {"RNTO x", kReadOnly},
      {"MFMT 20261121190000 x", kReadOnly},
      {"MFCT 20261121190000 x", kReadOnly},
      {"MFF UNIX.mode=0; x", kReadOnly},
      {"MDTM 20261121190000 x", kReadOnly},  // it sets the time
      {"MDTM  20261121190000+60  x", kReadOnly},
      {"SITE CHMOD 777 x", kReadOnly},
      {"SITE", kReadOnly},
      {"SITE HELPER", kReadOnly},
      {"SITE HELP\vCHMOD", kReadOnly},
      {"COMB x y", kReadOnly},
      {"SMNT x", kReadOnly},
      {"RMDA x", kReadOnly},
      {"STOR\vx", kReadOnly},
      {"RETR\vx", kReadOnly},
  };
  for (const auto& row : rows) {
    CAPTURE(row.line);
    CHECK(told(policy, row.line) == row.told);
  }
}

TEST_CASE("policy: denied commands, with their other names") {
  const auto policy = listener(R"({"denied_commands": ["mkd", "XCUP", "SITE chmod", "PASV"]})").policy;
  const Row rows[] = {{"MKD x", kDenied},  {"XMKD x", kDenied}, {"CDUP", kDenied},          {"XCUP", kDenied},
                      {"P@SW", kDenied},   {"EPSV", "ok"},      {"SITE CHMOD x", kDenied},  {"site  cHMOD", kDenied},
                      {"SITE HELP", "ok"}, {"SITE", "ok"},      {"SITE CHMOD\vx", kDenied}, {"SITE H\x7f", kDenied},
                      {"XXMKD", "ok"},     {"MKD\vx", kDenied}, {"\x80MKD x", kDenied},     {"ENC TUtEIHg=", kDenied},
                      {"mic x", kDenied},  {"STOR x", "ok"}};
  for (const auto& row : rows) {
    CAPTURE(row.line);
    CHECK(told(policy, row.line) == row.told);
  }
}

TEST_CASE("policy: the only commands") {
  const auto policy =
      listener(R"({"commands": ["USER", "PASS", "QUIT", "XCWD", "SITE HELP", "RETR"], "denied_commands": ["RETR"]})")
          .policy;
  const Row rows[] = {{"USER anna", "ok"},  {"CWD x", "ok"},        {"XCWD x", "ok"},
                      {"SITE HELP", "ok"},  {"SITE help me", "ok"}, {"SITE CHMOD x", kNotListed},
                      {"LIST", kNotListed}, {"LIST\v", kNotListed}, {"NOOP", kNotListed},
                      {"RETR x", kDenied},  {"", kNotListed}};
  for (const auto& row : rows) {
    CAPTURE(row.line);
    CHECK(told(policy, row.line) == row.told);
  }
}

TEST_CASE("policy: what FEAT may name") {
  const config::Policy read_only{.read_only = true};
  const config::Policy no_lists{.denied_commands = {{"MLSD", ""}, {"SITE", "UTIME"}}};
  struct Offer {
    const char* feature;
    bool read_only;
    bool no_lists;
  };
  const Offer rows[] = {{"UTF8", true, true},
                        {"TVFS", true, true},
                        {"MDTM", true, true},
                        {"REST STREAM", true, true},
                        {"MLST type*;size*;", true, false},
                        {"MLST", true, false},
                        {"MFMT", false, true},
                        {"MFF modify;UNIX.mode;", false, true},
                        {"SITE UTIME", false, false},
                        {"SITE MKDIR", false, true},
                        {"AUTH TLS", true, true},
                        {"XCRC filename;start;end", true, true},
                        {"COMB target;source_list", false, true}};
  for (const auto& row : rows) {
    CAPTURE(row.feature);
    CHECK(may_be_offered(row.feature, read_only) == row.read_only);
    CHECK(may_be_offered(row.feature, no_lists) == row.no_lists);
    CHECK(may_be_offered(row.feature, {}));
  }
}

TEST_CASE("policy: what is refused isn't sent on, and is noted without secrets") {
  const config::Policy policy{.read_only = true, .denied_commands = {{"ACCT", ""}}};
  auto d = Dialogue::logged_in({.policy = &policy});
  d.client("STOR x").client("ACCT secret").client("RETR x");
  CHECK(d.to_client == "550 Only reading is allowed here.\r\n502 This command isn't allowed here.\r\n");
  CHECK(d.to_backend == "RETR x\r\n");
  REQUIRE(d.refusals.size() == 2);
  CHECK(d.refusals[0] == "policy.read_only STOR x");
  CHECK(d.refusals[1] == "policy.denied_commands ACCT ****");
}

TEST_CASE("policy: ABOR and STAT don't slip by during a transfer, and keep their turn") {
  const config::Policy policy{.denied_commands = {{"ABOR", ""}, {"STAT", ""}}};
  auto d = Dialogue::logged_in({.policy = &policy});
  d.open_data().client("RETR x").backend({"150 here"}).forget();
  d.client("ABOR").client("STAT");
  CHECK(d.to_backend.empty());
  CHECK(d.to_client.empty());
  d.event(DataEnded{ftp::Direction::Download, 5}).backend({"226 done"});
  CHECK(d.to_client == "226 done\r\n502 This command isn't allowed here.\r\n502 This command isn't allowed here.\r\n");
  CHECK(d.to_backend.empty());
}

TEST_CASE("policy: AUTH and CCC, which are the gateway's own") {
  const config::Policy policy{.denied_commands = {{"AUTH", ""}}};
  Dialogue d({.policy = &policy, .client_tls = config::ClientTls::Optional});
  d.connect().backend({"220 hello"}).client("AUTH TLS");
  CHECK(d.to_client == "220 hello\r\n502 This command isn't allowed here.\r\n");
  d.forget().client("FEAT").backend({"211-Features", " MDTM", "211 End"});
  CHECK(d.to_client == "211-Features\r\n MDTM\r\n EPSV\r\n EPRT\r\n PBSZ\r\n PROT\r\n CCC\r\n211 End\r\n");
}

TEST_CASE("policy: FEAT tells the truth") {
  const config::Policy policy{.read_only = true, .denied_commands = {{"EPSV", ""}, {"SIZE", ""}}};
  auto d = Dialogue::logged_in({.policy = &policy});
  d.client("FEAT").backend({"211-Features", " MFMT", " SIZE", " UTF8", " EPSV", " REST STREAM", "211 End"});
  CHECK(d.to_client == "211-Features\r\n UTF8\r\n REST STREAM\r\n EPRT\r\n211 End\r\n");
}

TEST_CASE("policy: a user's route has its own, from USER on") {
  config::Listener rules;
  rules.policy.read_only = true;
  rules.routes = {{.user = {"anna"}, .backend = "default", .policy = {}},
                  {.user = {"bert"}, .backend = "default", .policy = {.allow_active = false}}};
  Dialogue d({.rules = &rules});
  d.forget().client("FEAT").client("STOR x");
  CHECK(d.to_client == "211-Features:\r\n EPSV\r\n HOST\r\n211 End\r\n550 Only reading is allowed here.\r\n");
  const auto log_in = [&](const std::string& user) {
    d.client("USER " + user).connect().backend({"220 hi", "331 go on"}).client("PASS x").backend({"230 in"}).forget();
  };
  log_in("carl");
  d.client("STOR x");
  CHECK(d.to_client == "550 Only reading is allowed here.\r\n");
  // The same backend, but it may do more: not while it may still be carl to the backend.
  d.forget().client("USER anna").client("STOR x");
  CHECK(d.to_client == "530 This user needs a session of its own.\r\n550 Only reading is allowed here.\r\n");
  d.forget().client("REIN").backend({"220 anew"});
  log_in("anna");
  CHECK(d.times("ConnectBackend") == 0);  // forgotten with the login
  d.client("STOR x");
  CHECK(d.to_backend == "STOR x\r\n");
}

TEST_CASE("policy: a login that fails leaves no right behind") {
  config::Listener rules;
  rules.policy.read_only = true;
  rules.routes = {{.user = {"anna"}, .backend = "default", .policy = {}}};
  Dialogue d({.rules = &rules});
  d.client("USER anna").connect().backend({"220 hi", "331 go on"}).client("PASS x").backend({"530 no"});
  d.forget().client("USER carl");
  CHECK(d.times("DropBackend") == 1);
  d.connect().backend({"220 hi", "331 go on"}).client("PASS x").backend({"230 in"});
  d.forget().client("STOR x");
  CHECK(d.to_client == "550 Only reading is allowed here.\r\n");
}

TEST_CASE("users: a login is told when it is counted") {
  Dialogue d({.counts_users = true});
  d.connect().backend({"220 hi"}).client("USER anna").backend({"331 go on"}).client("PASS x");
  d.forget().backend({"230-welcome", " here", "230 in"});
  CHECK(d.users == std::vector<std::string>{"anna"});
  CHECK(d.to_client == "230-welcome\r\n here\r\n230 in\r\n");
  CHECK(d.logins.size() == 1);
  // Another one in the same session takes the place, and REIN gives it back.
  d.client("USER bert").backend({"230 in at once"});
  CHECK(d.users == std::vector<std::string>{"anna", "bert"});
  d.client("REIN").backend({"220 anew"});
  CHECK(d.users == std::vector<std::string>{"anna", "bert", "nobody"});
  d.forget().client("USER carl").backend({"530 no"}).client("PASS x").backend({"503 no"});
  CHECK(d.users.size() == 3);
  CHECK(d.to_client == "530 no\r\n503 no\r\n");
}

TEST_CASE("users: one too many ends in words") {
  Dialogue d({.counts_users = true});
  d.allows_users = false;
  d.connect().backend({"220 hi"}).client("USER anna").backend({"331 go on"}).client("PASS x").client("NOOP");
  d.forget().backend({"230-welcome", "230 in"});
  CHECK(d.to_client == "421 This user has too many sessions, try again later.\r\n");
  CHECK(d.to_backend.empty());
  CHECK(d.reason == EndReason::Refused);
  CHECK(d.logins.empty());
}

TEST_CASE("users: without a limit nobody is asked") {
  auto d = Dialogue::logged_in();
  CHECK(d.users.empty());
}

TEST_CASE("a client that is banned for its logins hears why") {
  auto d = Dialogue::logged_in();
  d.event(Banned{});
  CHECK(d.to_client == "421 Too many failed logins, try again later.\r\n");
  CHECK(d.reason == EndReason::Refused);
}
