#include <doctest/doctest.h>

#include <string>

#include "ftp/command.h"
#include "told.h"

using namespace pasvgate;
using namespace pasvgate::config;

namespace {

std::string file(std::string_view listener, std::string_view more = "") {
  return R"({"listeners": [{"address": "0.0.0.0:21")" + std::string(listener) +
         R"(}], "backends": {"default": {"servers": ["10.0.0.1"]}})" + std::string(more) + "}";
}

}  // namespace

TEST_CASE("verbs: one name each") {
  struct Row {
    const char* written;
    const char* verb;
  };
  const Row rows[] = {{"retr", "RETR"}, {"XMKD", "MKD"},  {"xrmd", "RMD"},  {"XPWD", "PWD"},    {"XCWD", "CWD"},
                      {"XCUP", "CDUP"}, {"p@sw", "PASV"}, {"XCRC", "XCRC"}, {"XMKDX", "XMKDX"}, {"", ""}};
  for (const auto& row : rows) CHECK(ftp::canonical_verb(row.written) == row.verb);
}

TEST_CASE("policy: what isn't said is taken over, key by key") {
  const auto read = read_json(file(R"(, "policy": {"allow_fxp": true, "denied_commands": []},
      "routes": [{"user": ["a"], "backend": "default", "policy": {"read_only": false, "denied_commands": ["site chmod"]}},
                 {"user": ["b"], "backend": "default"}],
      "routes_file": "r")",
                                   R"(, "policy": {"read_only": true, "denied_commands": ["DELE"],
                                                   "clients": ["192.0.2.0/24"], "denied_clients": ["192.0.2.1"]})"),
                              {}, [](const std::string&) { return R"([{"user": ["c"], "backend": "default"}])"; });
  REQUIRE(told(read) == "ok");
  const Policy top{.read_only = true,
                   .denied_commands = {{"DELE", ""}},
                   .clients = {*ftp::Cidr::parse("192.0.2.0/24")},
                   .denied_clients = {*ftp::Cidr::parse("192.0.2.1")}};
  CHECK(read->policy == top);
  const Listener& listener = read->listeners.at(0);
  Policy own = top;
  own.allow_fxp = true;
  own.denied_commands.clear();
  CHECK(listener.policy == own);
  REQUIRE(listener.routes.size() == 3);
  CHECK(listener.routes[1].policy == own);
  CHECK(listener.routes[2].policy == own);
  own.read_only = false;
  own.denied_commands = {{"SITE", "CHMOD"}};
  CHECK(listener.routes[0].policy == own);
}

TEST_CASE("policy: listeners of flags have the file's") {
  const auto read = read_json(file("", R"(, "policy": {"read_only": true})"), Flags{.listen = {"127.0.0.1:2121"}});
  REQUIRE(told(read) == "ok");
  CHECK(read->listeners.at(0).policy.read_only);
}

TEST_CASE("policy: what is refused, with its place") {
  struct Row {
    std::string reason;
    std::string text;
    std::string told;
  };
  const Row rows[] = {
      {"no login", file("", R"(, "policy": {"commands": ["QUIT", "SITE HELP", "USER anna"]})"),
       "f: /policy/commands: without \"USER\" the gateway is of no use; add it\n"
       "f: /policy/commands: without \"PASS\" the gateway is of no use; add it"},
      {"no way out, once for two listeners",
       R"({"listeners": [{"address": "0.0.0.0:21"}, {"address": "[::]:21"}], "backends": {"default": {"servers": ["a"]}},
           "policy": {"denied_commands": ["quit"]}})",
       "f: /policy/denied_commands: without \"QUIT\" the gateway is of no use; take it out"},
      {"AUTH where it is demanded",
       file(R"(, "tls": "required", "policy": {"denied_commands": ["AUTH"]})",
            R"(, "tls": {"certificates": [{"certificate": "a", "key": "b"}]})"),
       "f: /listeners/0/policy/denied_commands: without \"AUTH\" the gateway is of no use; take it out"},
      {"AUTH where it is offered",
       file(R"(, "tls": "optional", "policy": {"denied_commands": ["AUTH"]})",
            R"(, "tls": {"certificates": [{"certificate": "a", "key": "b"}]})"),
       "ok"},
      {"passed through, unseen",
       file(R"(, "tls": "passthrough", "policy": {"read_only": true})", R"(, "passive_ports": {"mapping": "same"})"),
       "f: /listeners/0/policy: refuses commands, which can't be seen where tls is \"passthrough\"; allow all there"},
      {"clients of a route",
       file(R"(, "routes": [{"user": ["a"], "backend": "default", "policy": {"clients": ["10.0.0.0/8"]}}])"),
       "f: /listeners/0/routes/0/policy: clients and denied_clients are asked before there is a route; write them in "
       "the listener's policy, or clients in the route itself"},
      {"a route that lets nobody out",
       file(R"(, "routes": [{"user": ["a"], "backend": "default", "policy": {"denied_commands": ["QUIT"]}}])"),
       "f: /listeners/0/routes/0/policy/denied_commands: without \"QUIT\" the gateway is of no use; take it out"},
      {"no command", file("", R"(, "policy": {"commands": ["", "A B C", "A  B", 7, "STOR\n", "É"]})"),
       R"(f: /policy/commands/0: "" is no command; write its name, or that and a word, as in "SITE CHMOD")"
       "\n"
       R"(f: /policy/commands/1: "A B C" is no command; write its name, or that and a word, as in "SITE CHMOD")"
       "\n"
       R"(f: /policy/commands/2: "A  B" is no command; write its name, or that and a word, as in "SITE CHMOD")"
       "\n"
       R"(f: /policy/commands/3: 7 is no command; write its name, or that and a word, as in "SITE CHMOD")"
       "\n"
       R"(f: /policy/commands/4: "STOR\n" is no command; write its name, or that and a word, as in "SITE CHMOD")"
       "\n"
       R"(f: /policy/commands/5: "É" is no command; write its name, or that and a word, as in "SITE CHMOD")"},
      {"another key", file(R"(, "policy": {"readonly": true})"),
       R"(f: /listeners/0/policy/readonly: no such key; did you mean "read_only"?)"},
      {"no object", file(R"(, "policy": true)"),
       R"(f: /listeners/0/policy: true is no object; write {"KEY": VALUE, ...})"},
      {"not said", file(R"(, "policy": null)"), "ok"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(read_json(row.text)) == row.told);
  }
}

TEST_CASE("policy: a routes file has its places") {
  const auto read = read_json(file(R"(, "routes_file": "r")"), {}, [](const std::string&) {
    return R"([{"user": ["c"], "backend": "default", "policy": {"denied_commands": ["QUIT"]}}])";
  });
  CHECK(told(read) == "r: /0/policy/denied_commands: without \"QUIT\" the gateway is of no use; take it out");
}

TEST_CASE("limits: nobody is exempt when that is written") {
  const auto read = read_json(file("", R"(, "limits": {"exempt_clients": []})"));
  REQUIRE(told(read) == "ok");
  CHECK(read->limits.exempt_clients.empty());
}
