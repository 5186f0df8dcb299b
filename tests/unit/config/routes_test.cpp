#include <doctest/doctest.h>

#include <map>
#include <string>

#include "told.h"

using namespace pasvgate::config;

namespace {

/// A file whose one listener has these keys.
std::string listener_with(std::string_view keys) {
  return R"({"listeners": [{"address": "0.0.0.0:21", )" + std::string(keys) +
         R"(}], "backends": {"default": {"servers": ["a"]}, "two": {"servers": ["b"]}}})";
}

std::expected<Config, Issues> read_with(std::string_view keys, const std::map<std::string, std::string>& files) {
  return read_json(listener_with(keys), {}, [&](const std::string& path) -> std::expected<std::string, std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return std::unexpected(path + ": can't be opened");
    return found->second;
  });
}

}  // namespace

TEST_CASE("routes: what may be written") {
  const auto read = read_json(listener_with(R"("routes": [
      {"sni": ["*.a.example"], "host": ["b"], "user": ["alice", "*@*"], "clients": ["10.0.0.0/8"],
       "certificate_subject": ["CN=*"], "backend": "two"}, {"sni": null, "clients": null, "user": ["x"],
       "backend": "default"}], "greeting": "Welcome",
      "user_hosts": ["FTP.internal", "*.x:2121", "10.0.0.0/8:990", "2001:db8::/32", "[2001:db8::1]:21", "*"])"));
  REQUIRE(told(read) == "ok");
  const Listener& listener = read->listeners[0];
  REQUIRE(listener.routes.size() == 2);
  CHECK(listener.routes[0] == Route{.sni = {"*.a.example"},
                                    .host = {"b"},
                                    .user = {"alice", "*@*"},
                                    .clients = {*pasvgate::ftp::Cidr::parse("10.0.0.0/8")},
                                    .certificate_subject = {"CN=*"},
                                    .backend = "two"});
  CHECK(listener.routes[1] == Route{.user = {"x"}, .backend = "default"});
  CHECK(listener.greeting == "Welcome");
  REQUIRE(listener.user_hosts.size() == 6);
  CHECK(listener.user_hosts[0] == UserHost{.host = "ftp.internal"});
  CHECK(listener.user_hosts[1] == UserHost{.host = "*.x", .port = 2121});
  CHECK(listener.user_hosts[2] ==
        UserHost{.host = "", .network = pasvgate::ftp::Cidr::parse("10.0.0.0/8"), .port = 990});
  CHECK(listener.user_hosts[3] == UserHost{.host = "", .network = pasvgate::ftp::Cidr::parse("2001:db8::/32")});
  CHECK(listener.user_hosts[4] == UserHost{.host = "", .network = pasvgate::ftp::Cidr::parse("2001:db8::1/128")});
  CHECK(listener.user_hosts[5] == UserHost{.host = "*"});
}

TEST_CASE("routes: what is refused, with its place") {
  const ToldRow rows[] = {
      {"no condition", R"("routes": [{"backend": "two"}])",
       "f: /listeners/0/routes/0: no condition, so that it takes every session; write one, or the backend as "
       "listeners.*.backend"},
      {"no backend", R"("routes": [{"user": ["x"]}])",
       R"(f: /listeners/0/routes/0/backend: missing; write 1 to 64 letters, digits, ".", "-" and "_")"},
      {"another backend", R"("routes": [{"user": ["x"], "backend": "too"}])",
       R"(f: /listeners/0/routes/0/backend: "too" is no backend; did you mean "two"?)"},
      {"another key", R"("routes": [{"users": ["x"], "backend": "two"}])",
       R"(f: /listeners/0/routes/0/users: no such key; did you mean "user"?)"},
      {"an empty list", R"("routes": [{"user": [], "clients": [], "host": ["x"], "backend": "two"}])",
       "f: /listeners/0/routes/0/user: an empty list matches nobody; write a list of patterns, as in "
       "[\"alice\", \"web-*\"]\n"
       "f: /listeners/0/routes/0/clients: an empty list matches nobody; write a list of networks, as in "
       "[\"10.0.0.0/8\", \"2001:db8::/32\"]"},
      {"no pattern", R"("routes": [{"user": ["x", 1, ""], "backend": "two"}])",
       "f: /listeners/0/routes/0/user/1: 1 is no pattern; write a text, in which * and ? stand for others\n"
       "f: /listeners/0/routes/0/user/2: \"\" is no pattern; write a text, in which * and ? stand for others"},
      {"no list", R"("routes": [{"user": "x", "backend": "two"}])",
       R"(f: /listeners/0/routes/0/user: "x" is no list of patterns; write a list of patterns, as in ["alice", "web-*"])"},
      {"hosts that are none", R"("user_hosts": ["a b", "10.0.0.*", "x:0", "[x]:21", "10.0.0.1/8", 1])",
       R"(f: /listeners/0/user_hosts/0: "a b" is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"
       "\n"
       R"(f: /listeners/0/user_hosts/1: "10.0.0.*" is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"
       "\n"
       R"(f: /listeners/0/user_hosts/2: "x:0" is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"
       "\n"
       R"(f: /listeners/0/user_hosts/3: "[x]:21" is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"
       "\n"
       R"(f: /listeners/0/user_hosts/4: "10.0.0.1/8" is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"
       "\n"
       R"(f: /listeners/0/user_hosts/5: 1 is no host; write NAME, NETWORK or either with :PORT, as in "*.example.com:2121" or "10.0.0.0/8")"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(read_json(listener_with(row.text))) == row.told);
  }
}

TEST_CASE("route files: read, in their order, and none without a reader") {
  const auto read = read_with(R"("routes": [{"user": ["a"], "backend": "two"}], "routes_file": "r", "user_map": "u")",
                              {{"r", R"([{"user": ["b"], "backend": "two"}, {"host": ["c"], "backend": "default"}])"},
                               {"u", "# who goes where\n\nanna two\r\nbert\t default # for now\n  carl@x two"}});
  REQUIRE(told(read) == "ok");
  const Listener& listener = read->listeners[0];
  REQUIRE(listener.routes.size() == 3);
  CHECK(listener.routes[0].user.at(0) == "a");
  CHECK(listener.routes[1].user.at(0) == "b");
  CHECK(listener.routes[2].host.at(0) == "c");
  REQUIRE(listener.users);
  CHECK(*listener.users == UserMap{{"anna", "two"}, {"bert", "default"}, {"carl@x", "two"}});
  CHECK(told(read_json(listener_with(R"("routes_file": "nowhere")"))) == "ok");
}

TEST_CASE("route files: every mistake at once, with its file and place") {
  CHECK(told(read_with(R"("routes_file": "r", "user_map": "u", "greeting": "")",
                       {{"r", R"([{"user": ["b"], "backend": "too"}, {"backend": "two"}, 7,
                                 {"usr": ["x"], "host": ["h"], "backend": "two"}])"},
                        {"u", "anna two\nbert\ncarl tow\nanna default\ndora two three\n"}})) ==
        "f: /listeners/0/greeting: \"\" is no text; write a text that isn't empty\n"
        "r: /2: 7 is no object; write {\"KEY\": VALUE, ...}\n"
        "r: /3/usr: no such key; did you mean \"user\"?\n"
        "r: /0/backend: \"too\" is no backend; did you mean \"two\"?\n"
        "r: /1: no condition, so that it takes every session; write one, or the backend as listeners.*.backend\n"
        "u:2: \"bert\" is no line of a user map; write USER BACKEND\n"
        "u:3: \"tow\" is no backend; did you mean \"two\"?\n"
        "u:4: \"anna\" stands in line 1 too; keep one\n"
        "u:5: \"dora two three\" is no line of a user map; write USER BACKEND");
  CHECK(told(read_with(R"("routes_file": "r", "user_map": "u")", {{"r", "[{]"}})) ==
        "r:1:3: a key in quotes expected, found ']'\nf: /listeners/0/user_map: u: can't be opened");
  CHECK(told(read_with(R"("routes_file": "r")", {{"r", "{}"}})) ==
        "r: an object is no list of routes; write [{\"user\": [...], \"backend\": NAME}, ...]");
}

TEST_CASE("health: whom the check logs in") {
  const auto read = [](std::string_view health, std::string_view password) {
    const std::string text =
        R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"], "health": )" +
        std::string(health) + "}}}";
    return read_json(
        text, {}, [&](const std::string&) -> std::expected<std::string, std::string> { return std::string(password); });
  };
  const std::string whole = R"({"check": "login", "user": "monitor", "password_file": "p"})";
  for (const char* text : {"secret", "secret\n", "secret\r\nmore"}) {
    const auto config = read(whole, text);
    REQUIRE(told(config) == "ok");
    CHECK(config->backends.at("default").health.password == "secret");
  }
  CHECK(told(read(whole, "\n")) == "p:1: no password; write it in the first line");
  CHECK(told(read(whole, "a\tb")) == "p:1: a control character can't be sent");
  CHECK(told(read(R"({"check": "login", "user": "anonymous"})", "")) == "ok");
  CHECK(told(read(R"({"check": "login"})", "")) ==
        R"(f: /backends/default/health/user: missing, but the check "login" logs a user in)");
  CHECK(told(read(R"({"check": "login", "user": "a\r\nDELE b"})", "")) ==
        "f: /backends/default/health/user: a control character can't be sent\n"
        R"(f: /backends/default/health/password_file: missing, but "a\r\nDELE b" needs a password)");
}
