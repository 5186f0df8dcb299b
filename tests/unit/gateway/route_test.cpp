#include "gateway/route.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/read.h"

using namespace pasvgate;
using namespace pasvgate::gateway;
using Text = std::optional<std::string_view>;

namespace {

config::Listener listener(std::string_view keys, std::string_view users = {}) {
  const std::string backends = R"("default": {"servers": ["a"]}, "one": {"servers": ["b"]}, "two": {"servers": ["c"]})";
  const auto read = config::read_json(
      R"({"listeners": [{"address": "0.0.0.0:21", )" + std::string(keys) + R"(}], "backends": {)" + backends + "}}", {},
      [&](const std::string&) { return std::string(users); });
  REQUIRE(read);
  return read->listeners.at(0);
}

/// "two", "default as anna at ftp.internal:21", "more" or "refused".
std::string told(const config::Listener& rules, const Facts& facts) {
  const Verdict verdict = decide(rules, facts);
  if (verdict.kind == Verdict::Kind::NeedsMore) return "more";
  if (verdict.kind == Verdict::Kind::Refused) return "refused";
  std::string text = verdict.target.backend;
  if (const auto& host = verdict.target.host) {
    text += " as " + std::string(verdict.user) + " at " + host->host + ":" + std::to_string(host->port);
  } else if (facts.user) {
    CHECK(verdict.user == *facts.user);
  }
  return text;
}

const ftp::Address kInside = ftp::Address::v4({10, 1, 2, 3});
const ftp::Address kOutside = ftp::Address::v4({192, 0, 2, 1});

}  // namespace

TEST_CASE("globs: what * and ? stand for") {
  struct Row {
    const char* glob;
    const char* text;
    bool matches;
  };
  const Row rows[] = {
      {"anna", "anna", true},   {"anna", "Anna", false},  {"anna", "annab", false},  {"anna", "ann", false},
      {"*", "", true},          {"*", "x", true},         {"?", "", false},          {"?", "x", true},
      {"web-*", "web-", true},  {"web-*", "web-1", true}, {"web-*", "web", false},   {"*@*", "a@b", true},
      {"*@*", "@", true},       {"*@*", "ab", false},     {"a*b*c", "axbxbc", true}, {"a*b*c", "abxcb", false},
      {"*.b.x", "a.b.x", true}, {"*.b.x", "b.x", false},  {"a?c", "abc", true},      {"a?c", "ac", false},
      {"**a**", "bab", true},   {"a*", "*", false},       {"\\*", "x", false},       {"*aab", "aaaaab", true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.glob);
    CAPTURE(row.text);
    CHECK(matches_glob(row.glob, row.text, Case::Counts) == row.matches);
  }
  CHECK(matches_glob("FTP.*.example", "ftp.A.Example", Case::Ignored));
  // A pattern that makes naive matching take years.
  CHECK_FALSE(matches_glob("*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(8000, 'a'), Case::Counts));
}

TEST_CASE("what isn't known yet is waited for only where it could decide") {
  struct Row {
    const char* why;
    const char* keys;
    Facts facts;
    const char* told;
  };
  const char* const kUser = R"("routes": [{"user": ["anna", "web-*"], "backend": "one"}])";
  const char* const kSni = R"("routes": [{"sni": ["*.B.example"], "backend": "one"}])";
  const char* const kHost = R"("routes": [{"host": ["ftp.a.example"], "backend": "one"}])";
  const char* const kSubject = R"("routes": [{"certificate_subject": ["CN=*,O=Us"], "backend": "one"}])";
  const char* const kNet = R"("routes": [{"clients": ["10.0.0.0/8"], "backend": "one"}])";
  const char* const kBoth = R"("routes": [{"clients": ["10.0.0.0/8"], "user": ["anna"], "backend": "one"}])";
  const char* const kTwo =
      R"("routes": [{"clients": ["10.0.0.0/8"], "backend": "one"}, {"user": ["anna"], "backend": "two"}])";
  const char* const kOrder = R"("routes": [{"user": ["a*"], "backend": "one"}, {"user": ["anna"], "backend": "two"}])";
  const Facts here{.client = kInside};
  const Facts there{.client = kOutside};
  const auto user = [](Text name) { return Facts{.client = kOutside, .user = name}; };
  const auto sni = [](Text name) { return Facts{.client = kOutside, .server_name = name}; };
  const Row rows[] = {
      {"no rule", R"("name": "x")", there, "default"},
      {"a user's rule", kUser, there, "more"},
      {"the user", kUser, user("anna"), "one"},
      {"by a glob", kUser, user("web-7"), "one"},
      {"case counts", kUser, user("Anna"), "default"},
      {"another user", kUser, user("bert"), "default"},
      {"an empty name matches nothing", R"("routes": [{"user": ["*"], "backend": "one"}])", user(""), "default"},
      {"a name of TLS", kSni, there, "more"},
      {"that is it, in other letters", kSni, sni("FTP.b.EXAMPLE"), "one"},
      {"that is another", kSni, sni("ftp.a.example"), "default"},
      {"that isn't there", kSni, sni(""), "default"},
      {"HOST", kHost, there, "more"},
      {"HOST that fits", kHost, {.client = kOutside, .host = "FTP.a.example", .user = "x"}, "one"},
      {"HOST that wasn't said", kHost, {.client = kOutside, .host = "", .user = "x"}, "default"},
      {"a certificate", kSubject, {.client = kOutside, .certificate_subject = "CN=anna,O=Us"}, "one"},
      {"of others", kSubject, {.client = kOutside, .certificate_subject = "CN=anna,O=Them"}, "default"},
      {"a network", kNet, here, "one"},
      {"outside of it", kNet, there, "default"},
      {"all must hold: the other one is to come", kBoth, here, "more"},
      {"all must hold: one doesn't, so the other one is of no use", kBoth, there, "default"},
      {"the first decides without what the second asks", kTwo, here, "one"},
      {"the second is asked", kTwo, there, "more"},
      {"the first wins", kOrder, user("anna"), "one"},
      {"a user map's question", R"("user_map": "m")", there, "more"},
      {"a user in it", R"("user_map": "m")", user("carl"), "two"},
      {"a user not in it", R"("user_map": "m")", user("dora"), "default"},
      {"routes come before it", R"("user_map": "m", "routes": [{"user": ["carl"], "backend": "one"}])", user("carl"),
       "one"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    CHECK(told(listener(row.keys, "carl two\n"), row.facts) == row.told);
  }
  CHECK(told(listener(R"("user_map": "m")", "# nobody\n"), there) == "default");
}

TEST_CASE("a backend that chooses its server by the user waits for one") {
  auto rules = listener(R"("routes": [{"clients": ["10.0.0.0/8"], "backend": "one"}])");
  rules.by_user = {"one"};
  CHECK(told(rules, {.client = kInside}) == "more");
  CHECK(told(rules, {.client = kInside, .user = "anna"}) == "one");
  CHECK(told(rules, {.client = kOutside}) == "default");
  const auto read = config::read_json(
      R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"], "strategy": "user_hash"}}})");
  REQUIRE(read);
  CHECK(told(read->listeners.at(0), {.client = kInside}) == "more");
}

TEST_CASE("user@host: where it leads, and where it may not") {
  const char* const kHosts =
      R"("user_hosts": ["ftp.internal", "*.files.example:2121", "10.0.0.0/8", "[2001:db8::/32]:990"])";
  struct Row {
    const char* why;
    const char* user;
    const char* told;
  };
  const Row rows[] = {
      {"a name of the list", "anna@ftp.internal", "default as anna at ftp.internal:21"},
      {"in other letters", "Anna@FTP.Internal:21", "default as Anna at ftp.internal:21"},
      {"on another port", "anna@ftp.internal:2121", "refused"},
      {"a glob with its port", "anna@a.files.example:2121", "default as anna at a.files.example:2121"},
      {"without it: only where it resolves into a network", "anna@a.files.example",
       "default as anna at a.files.example:21"},
      {"on a port that no entry has", "anna@a.files.example:2122", "refused"},
      {"the last @ splits", "anna@example.com@ftp.internal", "default as anna@example.com at ftp.internal:21"},
      {"an address inside", "anna@10.1.2.3", "default as anna at 10.1.2.3:21"},
      {"an address outside", "anna@192.0.2.1", "refused"},
      {"an address inside on another port", "anna@10.1.2.3:22", "refused"},
      {"IPv6", "anna@[2001:db8::7]:990", "default as anna at 2001:db8::7:990"},
      {"IPv6 on another port", "anna@2001:db8::7", "refused"},
      {"IPv4 in the clothes of IPv6", "anna@::ffff:192.0.2.1", "refused"},
      {"a name that only networks may allow", "anna@evil.example", "default as anna at evil.example:21"},
      {"no host", "anna@", "refused"},
      {"no user", "@ftp.internal", "refused"},
      {"no @", "anna", "default"},
      {"a number as a name", "anna@2130706433", "refused"},
      {"a short address", "anna@127.1", "refused"},
      {"port 0", "anna@ftp.internal:0", "refused"},
      {"a port that is none", "anna@ftp.internal:x", "refused"},
      {"blanks", "anna@ftp.internal ", "refused"},
  };
  const auto rules = listener(kHosts);
  for (const auto& row : rows) {
    CAPTURE(row.why);
    CHECK(told(rules, {.client = kOutside, .user = row.user}) == row.told);
  }
  CHECK(told(rules, {.client = kOutside}) == "more");
  // No networks: names that aren't listed are refused at once.
  const auto names = listener(R"("user_hosts": ["*.internal"])");
  CHECK(told(names, {.client = kOutside, .user = "anna@evil.example"}) == "refused");
  CHECK(told(names, {.client = kOutside, .user = "anna@10.0.0.1"}) == "refused");
  // A rule for the whole name, or no list: nothing is special about it.
  const auto ruled = listener(R"("user_hosts": ["*.internal"], "routes": [{"user": ["*@mail"], "backend": "one"}])");
  CHECK(told(ruled, {.client = kOutside, .user = "anna@mail"}) == "one");
  CHECK(told(listener(R"("routes": [{"user": ["x"], "backend": "one"}])"),
             {.client = kOutside, .user = "anna@ftp.internal"}) == "default");
}

TEST_CASE("user@host: what a name resolved to must be in the list, unless the name is") {
  const auto allowed = listener(R"("user_hosts": ["ftp.internal", "10.0.0.0/8", "192.0.2.0/24:990"])").user_hosts;
  struct Row {
    const char* host;
    const char* at;
    bool may;
  };
  const Row rows[] = {
      {"ftp.internal", "127.0.0.1", true},   // the name is trusted with wherever it leads
      {"evil.example", "127.0.0.1", false},  // another one isn't
      {"evil.example", "10.9.9.9", true},       {"evil.example", "192.0.2.1", false},  // allowed on another port
      {"evil.example:990", "192.0.2.1", true},  {"evil.example:990", "10.9.9.9", false},
      {"ftp.internal:990", "127.0.0.1", false}, {"evil.example", "0.0.0.0", false},  // this machine
      {"ftp.internal", "0.0.0.0", false},       {"evil.example", "::ffff:10.0.0.1", true},
      {"evil.example", "::1", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.host);
    CAPTURE(row.at);
    CHECK(may_reach(allowed, config::parse_server(row.host).value(), ftp::Address::parse(row.at).value()) == row.may);
  }
}

TEST_CASE("one user to the limits: a name at a host, however the host is written") {
  const auto allowed = listener(R"("user_hosts": ["*", "*:2121", "0.0.0.0/0", "[2001:db8::/32]:21"])");
  const auto key = [&](std::string_view user) {
    const auto verdict = decide(allowed, {.client = {}, .user = user});
    REQUIRE(verdict.kind == Verdict::Kind::Decided);
    return user_key(verdict.target, user);
  };
  struct Row {
    const char* one;
    const char* other;
    bool same;
  };
  const Row rows[] = {
      {"anna@ftp.example", "anna@FTP.Example", true},        {"anna@ftp.example", "anna@ftp.example:21", true},
      {"anna@ftp.example", "anna@ftp.example.", true},       {"anna@ftp.example:2121", "anna@Ftp.example.:02121", true},
      {"anna@2001:db8::1", "anna@[2001:DB8:0::1]:21", true}, {"anna@192.0.2.1", "anna@::ffff:192.0.2.1", true},
      {"a@b@ftp.example", "a@b@FTP.example", true},          {"anna@ftp.example", "anna@ftp.example:2121", false},
      {"anna@ftp.example", "anna@ftp2.example", false},      {"anna@ftp.example", "Anna@ftp.example", false},
      {"a@ftp.example", "a@b@ftp.example", false},           {"anna@ftp.example", "anna", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.one);
    CAPTURE(row.other);
    CHECK((key(row.one) == key(row.other)) == row.same);
  }
  const Target own{.backend = "default", .host = {}};
  CHECK(user_key(own, "anna@ftp.example") == "anna@ftp.example");
  // Where the list is empty, it is a name like others.
  CHECK(user_key(own, "anna@ftp.example:21") != key("anna@ftp.example"));
}
