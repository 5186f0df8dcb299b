#include <doctest/doctest.h>

#include <string>

#include "told.h"

using namespace pasvgate;
using namespace pasvgate::config;

namespace {

ftp::Address address(std::string_view text) { return ftp::Address::parse(text).value(); }
ftp::Cidr network(std::string_view text) { return ftp::Cidr::parse(text).value(); }

constexpr std::string_view kEveryKey = R"({
  "workers": 4, "user": "ftp", "seccomp": false,
  "listeners": [{"name": "public", "address": "[::]:2121", "backend": "main", "active_source_port": 0, "tls": "required",
                 "require_private_data": true, "require_session_reuse": false}, {"address": "127.0.0.1:0", "backend": "main"}],
  "backends": {"main": {"servers": ["192.168.1.10", {"address": "ftp.internal:2100", "weight": 7, "max_sessions": 50, "backup": true},
                                    "[2001:db8::1]:22", "2001:db8::2", {"address": "a"}],
                        "strategy": "least_sessions", "resolve_interval": "5s",
                        "health": {"check": "greeting", "interval": "1s", "timeout": "2s", "rise": 4, "fall": 5},
                        "data_mode": "passive", "active_ports": "41000-41009", "data_address": "trust", "trusted_data": ["10.0.0.0/8", "192.0.2.1"], "allow_low_data_ports": true,
                        "tls": "implicit", "tls_ca": "ca.pem", "tls_name": "ftp.internal", "tls_minimum_version": "1.0",
                        "tls_ciphers": "ALL", "tls_private_data": false}},
  "advertise": {"address": ["203.0.113.10", "2001:db8::1"], "resolve_interval": "1m",
                "rules": [{"clients": ["10.0.0.0/8"], "address": "ftp.example.com"}]},
  "passive_ports": {"listen": "40000-40009", "advertise": "30000-30009", "data_source": "/24,/64", "lease_timeout": 10, "lease_wait": "0"},
  "tls": {"certificates": [{"certificate": "a.crt", "key": "a.key"}], "client_ca": "clients.pem", "minimum_version": "1.3",
          "ciphers": "HIGH", "ciphersuites": "TLS_AES_128_GCM_SHA256", "tolerate_truncation": true, "reload_interval": "1m"},
  "policy": {"allow_active": false, "allow_fxp": true, "read_only": true, "commands": ["user", "pass", "quit", "auth", "SITE help"],
             "denied_commands": ["XMKD"], "clients": ["10.0.0.0/8"], "denied_clients": ["10.0.0.1"]},
  "limits": {"line_bytes": 512, "pipelined_commands": 1, "sessions": 2, "leases_per_client": 3,
             "exempt_clients": ["192.0.2.0/24"], "client_prefix_v4": 24, "client_prefix_v6": 48, "sessions_per_client": 5,
             "connections_per_second": 6, "connection_burst": 7, "commands_per_second": 8, "failed_logins": 9,
             "failed_login_window": 10, "ban_time": "11s", "sessions_per_user": 12,
             "bandwidth": {"transfer": 1024, "session": 2000, "user": 3000, "listener": 1000000000000}},
  "timeouts": {"greeting": "1s", "login": "2s", "idle": "3s", "reply": "4s", "backend_connect": "5ms", "data_connect": "6s",
               "data_stall": "7s", "transfer_reply": "8s", "abort": "9s", "tls_handshake": "10s"},
  "drain_timeout": "10s",
  "admin": {"address": "off"},
  "log": {"format": "json", "level": "error"}
})";

Config every_key() {
  Config config;
  config.workers = 4;
  config.user = "ftp";
  config.seccomp = false;
  config.listeners = {{.name = "public",
                       .address = ftp::Endpoint{address("::"), 2121},
                       .backend = "main",
                       .active_source_port = 0,
                       .tls = ClientTls::Required,
                       .require_private_data = true,
                       .require_session_reuse = false},
                      {.name = "listener1", .address = ftp::Endpoint{address("127.0.0.1"), 0}, .backend = "main"}};
  config.backends["main"] = {
      .servers = {{.at = {"192.168.1.10", address("192.168.1.10"), 21}},
                  {.at = {"ftp.internal", std::nullopt, 2100}, .weight = 7, .max_sessions = 50, .backup = true},
                  {.at = {"2001:db8::1", address("2001:db8::1"), 22}},
                  {.at = {"2001:db8::2", address("2001:db8::2"), 21}},
                  {.at = {"a", std::nullopt, 21}}},
      .strategy = Strategy::LeastSessions,
      .resolve_interval = Milliseconds(5000),
      .health = {.check = HealthCheck::Greeting,
                 .interval = Milliseconds(1000),
                 .timeout = Milliseconds(2000),
                 .rise = 4,
                 .fall = 5},
      .data_mode = DataMode::Passive,
      .active_ports = ftp::PortRange{41000, 41009},
      .data_address = DataAddress::Trust,
      .trusted_data = {network("10.0.0.0/8"), network("192.0.2.1")},
      .allow_low_data_ports = true,
      .tls = BackendTls::Implicit,
      .tls_ca = "ca.pem",
      .tls_name = "ftp.internal",
      .tls_minimum_version = TlsVersion::V1_0,
      .tls_ciphers = "ALL",
      .tls_private_data = false};
  config.tls = {.certificates = {{"a.crt", "a.key"}},
                .client_ca = "clients.pem",
                .minimum_version = TlsVersion::V1_3,
                .ciphers = "HIGH",
                .ciphersuites = "TLS_AES_128_GCM_SHA256",
                .tolerate_truncation = true,
                .reload_interval = Milliseconds(60'000)};
  config.advertise = {.address = {address("203.0.113.10"), address("2001:db8::1"), ""},
                      .rules = {{{network("10.0.0.0/8")}, {std::nullopt, std::nullopt, "ftp.example.com"}}},
                      .resolve_interval = Milliseconds(60'000)};
  config.passive_ports = {.listen = {40000, 40009},
                          .advertise = ftp::PortRange{30000, 30009},
                          .data_source = {DataSource::Match::Prefix, 24, 64},
                          .lease_timeout = Milliseconds(10'000),
                          .lease_wait = Milliseconds(0)};
  config.policy = {.allow_active = false,
                   .allow_fxp = true,
                   .read_only = true,
                   .commands = {{"USER", ""}, {"PASS", ""}, {"QUIT", ""}, {"AUTH", ""}, {"SITE", "HELP"}},
                   .denied_commands = {{"MKD", ""}},
                   .clients = {network("10.0.0.0/8")},
                   .denied_clients = {network("10.0.0.1")}};
  for (auto& listener : config.listeners) listener.policy = config.policy;
  config.limits = {.line_bytes = 512,
                   .pipelined_commands = 1,
                   .sessions = 2,
                   .leases_per_client = 3,
                   .exempt_clients = {network("192.0.2.0/24")},
                   .client_prefix_v4 = 24,
                   .client_prefix_v6 = 48,
                   .sessions_per_client = 5,
                   .connections_per_second = 6,
                   .connection_burst = 7,
                   .commands_per_second = 8,
                   .failed_logins = 9,
                   .failed_login_window = Milliseconds(10'000),
                   .ban_time = Milliseconds(11'000),
                   .sessions_per_user = 12};
  config.bandwidth = {.transfer = 1024, .session = 2000, .user = 3000, .listener = 1'000'000'000'000};
  config.timeouts = {.greeting = Milliseconds(1000),
                     .login = Milliseconds(2000),
                     .idle = Milliseconds(3000),
                     .reply = Milliseconds(4000),
                     .backend_connect = Milliseconds(5),
                     .data_connect = Milliseconds(6000),
                     .data_stall = Milliseconds(7000),
                     .transfer_reply = Milliseconds(8000),
                     .abort = Milliseconds(9000),
                     .tls_handshake = Milliseconds(10000)};
  config.drain_timeout = Milliseconds(10'000);
  config.admin.address.reset();
  config.log = {.format = LogFormat::Json, .level = LogLevel::Error};
  return config;
}

}  // namespace

TEST_CASE("json: every key comes where it belongs") {
  const auto read = read_json(kEveryKey);
  REQUIRE(told(read) == "ok");
  CHECK(*read == every_key());
}

TEST_CASE("json: a short file has the defaults of the structs") {
  const auto read =
      read_json(R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"]}}})");
  REQUIRE(told(read) == "ok");
  Config expected;
  expected.listeners = {{.name = "listener0", .address = ftp::Endpoint{address("0.0.0.0"), 21}, .backend = "default"}};
  expected.backends["default"] = {.servers = {{.at = {"a", std::nullopt, 21}}}};
  CHECK(*read == expected);
}

TEST_CASE("json: choices stand for their enumerators") {
  const auto level = [](std::string_view name) {
    return read_json(file_with(R"("log": {"level": ")" + std::string(name) + "\"}")).value().log.level;
  };
  CHECK(level("debug") == LogLevel::Debug);
  CHECK(level("info") == LogLevel::Info);
  CHECK(level("warn") == LogLevel::Warn);
  CHECK(level("error") == LogLevel::Error);
}

TEST_CASE("json: data sources") {
  const auto source = [](std::string_view text) {
    return read_json(file_with(R"("passive_ports": {"data_source": ")" + std::string(text) + "\"}"))
        .value()
        .passive_ports.data_source;
  };
  CHECK(source("exact") == DataSource{});
  CHECK(source("any") == DataSource{DataSource::Match::Any, 32, 128});
  CHECK(source("/24") == DataSource{DataSource::Match::Prefix, 24, 128});
  CHECK(source("/32,/1") == DataSource{DataSource::Match::Prefix, 32, 1});
}

TEST_CASE("json: values that are wrong") {
  constexpr std::string_view kTime = R"(8760h, as in "500ms", "30s", "5m" or "1h")";
  const std::string no_time =
      R"(f: /timeouts/idle: "soon" is no duration; write a time from 1ms to )" + std::string(kTime);
  const std::string zero = "f: /timeouts/idle: 0 is out of range; write a time from 1ms to " + std::string(kTime);
  const std::string negative = "f: /drain_timeout: -5 is no duration; write a time from 0s to " + std::string(kTime);
  constexpr std::string_view kPorts = R"(write LOW-HIGH with ports from 1 to 65535, as in "50000-50099")";
  const std::string no_range = R"(f: /passive_ports/listen: "1-70000" is no port range; )" + std::string(kPorts);
  const std::string zero_port = R"(f: /passive_ports/listen: "0-9" is no port range; )" + std::string(kPorts);
  const std::string a_number = "f: /passive_ports/advertise: 5 is no port range; " + std::string(kPorts);
  const ToldRow rows[] = {
      {"no number", R"("workers": "4")", R"(f: /workers: "4" is no whole number; write a whole number from 0 to 1024)"},
      {"negative", R"("workers": -1)", "f: /workers: -1 is out of range; write a whole number from 0 to 1024"},
      {"fraction", R"("workers": 1.5)", "f: /workers: 1.5 is no whole number; write a whole number from 0 to 1024"},
      {"too much", R"("limits": {"line_bytes": 65537})",
       "f: /limits/line_bytes: 65537 is out of range; write a whole number from 512 to 65536"},
      {"no duration", R"("timeouts": {"idle": "soon"})", no_time},
      {"a timeout of nothing", R"("timeouts": {"idle": 0})", zero},
      {"negative duration", R"("drain_timeout": -5)", negative},
      {"no choice", R"("log": {"level": "loud"})",
       R"(f: /log/level: "loud" is not allowed; write "debug", "info", "warn" or "error")"},
      {"null", R"("log": {"format": null})", R"(f: /log/format: null is not allowed; write "text" or "json")"},
      {"no object", R"("log": "json")", R"(f: /log: "json" is no object; write {"KEY": VALUE, ...})"},
      {"no admin address", R"("admin": {"address": "localhost:9121"})",
       R"(f: /admin/address: "localhost:9121" is no address with a port; write ADDRESS:PORT, as in "127.0.0.1:9121", or "off")"},
      {"range backwards", R"("passive_ports": {"listen": "50000-49000"})",
       R"(f: /passive_ports/listen: "50000-49000" runs backwards; write LOW-HIGH, as in "50000-50099")"},
      {"ports that don't exist", R"("passive_ports": {"listen": "1-70000"})", no_range},
      {"port 0", R"("passive_ports": {"listen": "0-9"})", zero_port},
      {"a number", R"("passive_ports": {"advertise": 5})", a_number},
      {"no data source", R"("passive_ports": {"data_source": "24"})",
       R"(f: /passive_ports/data_source: "24" is no data source; write "exact", "any", a prefix length as "/24", or one a family as "/24,/64")"},
      {"IPv4 has 32 bits", R"("passive_ports": {"data_source": "/64"})",
       R"(f: /passive_ports/data_source: "/64" is no data source; write "exact", "any", a prefix length as "/24", or one a family as "/24,/64")"},
      {"unspecified address", R"("advertise": {"address": "0.0.0.0"})",
       R"(f: /advertise/address: "0.0.0.0" is the unspecified address, which no client can reach; write the public one, as in "203.0.113.10")"},
      {"two of a family", R"("advertise": {"address": ["1.2.3.4", "5.6.7.8"]})",
       R"(f: /advertise/address/1: "5.6.7.8" is a second IPv4 address; write at most one of each family)"},
      {"a name in a list", R"("advertise": {"address": ["ftp.example.com"]})",
       R"(f: /advertise/address/0: "ftp.example.com" is no address; a list holds one of each family, a DNS name stands alone)"},
      {"an address with a port", R"("advertise": {"address": "1.2.3.4:21"})",
       R"(f: /advertise/address: "1.2.3.4:21" is no address or DNS name; write an address, one of each family in a list, or a DNS name, as in "203.0.113.10")"},
      {"no rule for nobody", R"("advertise": {"rules": [{"clients": [], "address": "1.2.3.4"}]})",
       R"(f: /advertise/rules/0/clients: an empty list matches nobody; write a list of networks, as in ["10.0.0.0/8", "2001:db8::/32"])"},
      {"host bits", R"("advertise": {"rules": [{"clients": ["10.0.0.1/8"], "address": "1.2.3.4"}]})",
       R"(f: /advertise/rules/0/clients/0: "10.0.0.1/8" has bits behind its prefix; write "10.0.0.0/8")"},
      {"no network", R"("advertise": {"rules": [{"clients": ["inside"], "address": "1.2.3.4"}]})",
       R"(f: /advertise/rules/0/clients/0: "inside" is no network; write ADDRESS/BITS, as in "10.0.0.0/8" or "2001:db8::/32")"},
      {"keys of a rule", R"("advertise": {"rules": [{}]})",
       "f: /advertise/rules/0/clients: missing; write a list of networks, as in [\"10.0.0.0/8\", \"2001:db8::/32\"]\n"
       "f: /advertise/rules/0/address: missing; write an address, one of each family in a list, or a DNS name, as in "
       "\"203.0.113.10\""},
      {"unknown key with a neighbour", R"("timeout": {})", R"(f: /timeout: no such key; did you mean "timeouts"?)"},
      {"unknown key without", R"("admin": {"colour": "x"})",
       R"(f: /admin/colour: no such key; there is "address" and "token_file")"},
      {"one mistake in a range hides its comparison", R"("passive_ports": {"listen": "9-8", "advertise": "1-2"})",
       R"(f: /passive_ports/listen: "9-8" runs backwards; write LOW-HIGH, as in "50000-50099")"},
  };
  for (const ToldRow& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(read_json(file_with(row.text))) == row.told);
  }
}

TEST_CASE("json: servers that are none") {
  constexpr std::string_view kServers[] = {"192.168.1.256", "a:0", "a:65536", "a:",   "[1.2.3.4]", "[ftp.internal]:21",
                                           "a_b",           "",    "-a.b",    "a-.b", "a..b",      "10.0",
                                           "a:b:c",         "[::1"};
  for (const std::string_view server : kServers) {
    CAPTURE(server);
    const std::string text = R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": [")" +
                             std::string(server) + "\"]}}}";
    CHECK(told(read_json(text)) == "f: /backends/default/servers/0: \"" + std::string(server) +
                                       "\" is no server; write ADDRESS:PORT or NAME:PORT, as in \"192.168.1.10:21\" or "
                                       "\"ftp.internal\"");
  }
}

TEST_CASE("json: servers as objects that are wrong") {
  CHECK(
      told(read_json(R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers":
    [{"addres": "a"}, {"address": "0.0.0.0", "weight": 0, "max_sessions": -1, "backup": 1}, {"address": "a b"}, 5],
    "strategy": "last", "health": {"check": "ping", "rise": 0}}}})")) ==
      "f: /backends/default/servers/0/addres: no such key; did you mean \"address\"?\n"
      "f: /backends/default/servers/0/address: missing; write ADDRESS:PORT or NAME:PORT, as in \"192.168.1.10:21\" or "
      "\"ftp.internal\"\n"
      "f: /backends/default/servers/1/address: \"0.0.0.0\" is the unspecified address, where no server is; write "
      "ADDRESS:PORT or NAME:PORT, as in \"192.168.1.10:21\" or \"ftp.internal\"\n"
      "f: /backends/default/servers/1/weight: 0 is out of range; write a whole number from 1 to 1000\n"
      "f: /backends/default/servers/1/max_sessions: -1 is out of range; write a whole number from 0 to 1000000\n"
      "f: /backends/default/servers/1/backup: 1 is no boolean; write true or false\n"
      "f: /backends/default/servers/2/address: \"a b\" is no server; write ADDRESS:PORT or NAME:PORT, as in "
      "\"192.168.1.10:21\" or \"ftp.internal\"\n"
      "f: /backends/default/servers/3: 5 is no server; write ADDRESS:PORT or NAME:PORT, as in \"192.168.1.10:21\" or "
      "\"ftp.internal\"\n"
      "f: /backends/default/strategy: \"last\" is not allowed; write \"first\", \"round_robin\", \"least_sessions\", "
      "\"client_hash\" or \"user_hash\"\n"
      "f: /backends/default/health/check: \"ping\" is not allowed; write \"off\", \"tcp\", \"greeting\" or \"login\"\n"
      "f: /backends/default/health/rise: 0 is out of range; write a whole number from 1 to 100");
}

TEST_CASE("json: listeners and backends that are wrong, all at once") {
  CHECK(told(read_json(R"({
    "listeners": [{"adress": "0.0.0.0:21"}, 5, {"address": "localhost:21", "name": "a b", "backend": "defualt"}],
    "backends": {"default": {"servers": ["0.0.0.0"]}, "a/b": {"servers": []}, "c": 1, "d": {"server": "x"}}})")) ==
        "f: /listeners/0/adress: no such key; did you mean \"address\"?\n"
        "f: /listeners/0/address: missing; write ADDRESS:PORT, as in \"0.0.0.0:21\" or \"[::]:21\"\n"
        "f: /listeners/1: 5 is no object; write {\"KEY\": VALUE, ...}\n"
        "f: /listeners/2/name: \"a b\" is no name; write 1 to 64 letters, digits, \".\", \"-\" and \"_\"\n"
        "f: /listeners/2/address: \"localhost:21\" is no address with a port; write ADDRESS:PORT, as in \"0.0.0.0:21\" "
        "or "
        "\"[::]:21\"\n"
        "f: /backends/a~1b: \"a/b\" is no name; write 1 to 64 letters, digits, \".\", \"-\" and \"_\"\n"
        "f: /backends/c: 1 is no object; write {\"KEY\": VALUE, ...}\n"
        "f: /backends/d/server: no such key; did you mean \"servers\"?\n"
        "f: /backends/d/servers: missing; write a list of addresses or DNS names, as in [\"192.168.1.10:21\", "
        "\"ftp.internal\"]\n"
        "f: /backends/default/servers/0: \"0.0.0.0\" is the unspecified address, where no server is; write "
        "ADDRESS:PORT or "
        "NAME:PORT, as in \"192.168.1.10:21\" or \"ftp.internal\"\n"
        "f: /listeners/2/backend: \"defualt\" is no backend; did you mean \"default\"?");
}

TEST_CASE("json: lists of ports") {
  const auto read = [](const std::string& ports) {
    return told(read_json(R"({"listeners": [{"address": "0.0.0.0:21", "destination_ports": )" + ports +
                          R"(}], "backends": {"default": {"servers": ["a"]}}})"));
  };
  CHECK(read("[1, 65535]") == "ok");
  for (const char* wrong : {"0", "65536", "-1", "\"21\"", "21.5"}) {
    CAPTURE(wrong);
    CHECK(read("[21, " + std::string(wrong) + "]") ==
          "f: /listeners/0/destination_ports/1: " + std::string(wrong) +
              " is no port; write a list of ports from 1 to 65535, as in [21, 2121]");
  }
  CHECK(read("[]").starts_with("f: /listeners/0/destination_ports: no port; write"));
  CHECK(read("21").starts_with("f: /listeners/0/destination_ports: 21 is no list of ports; write"));
}

TEST_CASE("json: containers of the wrong type") {
  CHECK(told(read_json("[]")) == "f: a list is no object; write {\"KEY\": VALUE, ...}");
  CHECK(told(read_json(R"({"listeners": {}, "backends": []})")) ==
        "f: /listeners: an object is no list; write a list of objects\n"
        "f: /backends: a list is no object; write an object of objects by name");
}
