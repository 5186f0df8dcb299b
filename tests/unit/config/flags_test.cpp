#include <doctest/doctest.h>

#include <map>
#include <string>

#include "told.h"

using namespace pasvgate;
using namespace pasvgate::config;

namespace {

/// The least that runs without a file.
Flags least() { return {.listen = {"0.0.0.0:21"}, .backend = {"192.168.1.10"}}; }

Flags from(Flags flags, const std::map<std::string, std::string>& environment) {
  return with_environment(std::move(flags), [&](const std::string& name) {
    const auto at = environment.find(name);
    return at == environment.end() ? std::nullopt : std::optional(at->second);
  });
}

}  // namespace

TEST_CASE("flags: each goes where its key would") {
  const Flags flags{.listen = {"0.0.0.0:21", "[::]:21"},
                    .backend = {"192.168.1.10:2121", "ftp.internal"},
                    .advertise = {"203.0.113.10", "2001:db8::1"},
                    .passive_ports = "50000-50009",
                    .passive_ports_advertise = "30000-30009",
                    .passive_ports_slice = "hostname/3",
                    .data_source = "/24,/64",
                    .admin = "off",
                    .workers = "3",
                    .user = "12345",
                    .seccomp = "false",
                    .listen_implicit = {"0.0.0.0:990"},
                    .tls = "optional",
                    .tls_cert = "a.crt",
                    .tls_key = "a.key",
                    .backend_tls = "explicit",
                    .backend_tls_ca = "none",
                    .log_format = "json",
                    .log_level = "debug"};
  const auto by_flags = apply_flags({}, flags);
  REQUIRE(told(by_flags) == "ok");
  const auto by_file = read_json(R"({
    "listeners": [{"address": "0.0.0.0:21", "tls": "optional"}, {"address": "[::]:21", "tls": "optional"},
                  {"address": "0.0.0.0:990", "tls": "implicit"}],
    "backends": {"default": {"servers": ["192.168.1.10:2121", "ftp.internal"], "tls": "explicit", "tls_ca": "none"}},
    "tls": {"certificates": [{"certificate": "a.crt", "key": "a.key"}]},
    "advertise": {"address": ["203.0.113.10", "2001:db8::1"]},
    "passive_ports": {"listen": "50000-50009", "advertise": "30000-30009", "data_source": "/24,/64",
                      "slice": {"index": "hostname", "of": 3}},
    "admin": {"address": "off"}, "workers": 3, "user": "12345", "seccomp": false,
    "log": {"format": "json", "level": "debug"}})");
  REQUIRE(told(by_file) == "ok");
  CHECK(*by_flags == *by_file);
}

TEST_CASE("flags: a name alone is advertised") {
  Flags flags = least();
  flags.advertise = {"ftp.example.com"};
  CHECK(apply_flags({}, flags).value().advertise.address.name == "ftp.example.com");
}

TEST_CASE("flags: issues are at the flag, all at once") {
  struct Row {
    std::string_view reason;
    Flags flags;
    std::string_view told;
  };
  const Row rows[] = {
      {"nothing given",
       {},
       "--listen: missing; at least one is needed, as in --listen 0.0.0.0:21\n"
       "--backend: missing; at least one is needed, as in --backend 192.168.1.10:21"},
      {"no backend",
       {.listen = {"0.0.0.0:21"}},
       "--backend: missing; at least one is needed, as in --backend 192.168.1.10:21"},
      {"every one wrong",
       {.listen = {"21"},
        .backend = {"a b"},
        .advertise = {"1.2.3.4", "x"},
        .passive_ports = "2-1",
        .passive_ports_slice = "1",
        .workers = "many",
        .seccomp = "off",
        .log_format = "xml"},
       "--listen: \"21\" is no address with a port; write ADDRESS:PORT, as in \"0.0.0.0:21\" or \"[::]:21\"\n"
       "--backend: \"a b\" is no server; write ADDRESS:PORT or NAME:PORT, as in \"192.168.1.10:21\" or "
       "\"ftp.internal\"\n"
       "--advertise: \"x\" is no address; a list holds one of each family, a DNS name stands alone\n"
       "--passive-ports: \"2-1\" runs backwards; write LOW-HIGH, as in \"50000-50099\"\n"
       "--passive-ports-slice: \"1\" is no slice; write INDEX/OF, as in \"0/3\", or \"hostname/3\"\n"
       "--workers: \"many\" is no whole number; write a whole number from 0 to 1024\n"
       "--seccomp: \"off\" is no boolean; write true or false\n"
       "--log-format: \"xml\" is not allowed; write \"text\" or \"json\""},
      {"a slice of words",
       {.listen = {"0.0.0.0:21"}, .backend = {"a"}, .passive_ports_slice = "x/0"},
       "--passive-ports-slice: \"x\" is no whole number; write a whole number from 0 to 65534, or \"hostname\"\n"
       "--passive-ports-slice: 0 is out of range; write a whole number from 1 to 65535"},
      {"a slice that isn't there",
       {.listen = {"0.0.0.0:21"}, .backend = {"a"}, .passive_ports_slice = "3/3"},
       "--passive-ports-slice: 3 is none of 3 slices; the last is 2"},
      {"out of range",
       {.listen = {"0.0.0.0:21"}, .backend = {"a"}, .workers = "9999"},
       "--workers: 9999 is out of range; write a whole number from 0 to 1024"},
      {"a range of another size",
       {.listen = {"0.0.0.0:21"}, .backend = {"a"}, .passive_ports_advertise = "30000"},
       "--passive-ports-advertise: \"30000\" has 1 port, but passive_ports.listen \"50000-50099\" has 100 ports; write "
       "as "
       "many"},
      {"a listener inside the ports",
       {.listen = {"0.0.0.0:50000"}, .backend = {"a"}},
       "--listen: port 50000 is inside passive_ports.listen \"50000-50099\"; write a port outside it"},
      {"bytes that are no UTF-8",
       {.listen = {"\xff"}, .backend = {"a"}},
       "--listen: \"\xEF\xBF\xBD\" is no address with a port; write ADDRESS:PORT, as in \"0.0.0.0:21\" or \"[::]:21\""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(apply_flags({}, row.flags)) == row.told);
  }
}

TEST_CASE("flags: over a file") {
  const std::string file = R"({"listeners": [{"name": "public", "address": "0.0.0.0:21"}],
    "backends": {"default": {"servers": ["a"], "allow_low_data_ports": true}, "other": {"servers": ["b"]}},
    "passive_ports": {"advertise": "30000-30099"}, "log": {"level": "warn"}})";
  const Flags flags{.listen = {"0.0.0.0:2121"}, .backend = {"c"}, .log_level = "error"};
  const auto read = read_json(file, flags);
  REQUIRE(told(read) == "ok");
  CHECK(read->listeners == std::vector<Listener>{{"listener0", *ftp::Endpoint::parse("0.0.0.0:2121"), "default"}});
  REQUIRE(read->backends.size() == 1);
  CHECK(read->backends.at("default").servers == std::vector<Server>{{.at = {"c", std::nullopt, 21}}});
  CHECK(read->backends.at("default").allow_low_data_ports);
  CHECK(read->log.level == LogLevel::Error);
  CHECK(apply_flags(read_json(file).value(), flags).value() == *read);
  // The file's value is as wrong as the flag's, and is where the message points.
  CHECK(
      told(read_json(file, {.passive_ports = "50000-50009"})) ==
      R"(f: /passive_ports/advertise: "30000-30099" has 100 ports, but passive_ports.listen "50000-50009" has 10 ports; write as many)");
}

TEST_CASE("flags: a file may leave to the flags what they give") {
  CHECK(told(read_json(R"({"log": {"level": "warn"}})", least())) == "ok");
  CHECK(told(read_json(R"({"log": {"level": "warn"}})", {.listen = {"0.0.0.0:21"}})) ==
        R"(f: /backends: no backend; at least one is needed, as in {"default": {"servers": ["192.168.1.10:21"]}})");
}

TEST_CASE("flags: the environment gives what no flag does") {
  const Flags flags = from({.listen = {"0.0.0.0:21"}}, {{"PASVGATE_LISTEN", "0.0.0.0:99"},
                                                        {"PASVGATE_BACKEND", "a, b:2121"},
                                                        {"PASVGATE_ADVERTISE", "1.2.3.4,::5"},
                                                        {"PASVGATE_PASSIVE_PORTS", "40000-40001"},
                                                        {"PASVGATE_PASSIVE_PORTS_ADVERTISE", "30000-30001"},
                                                        {"PASVGATE_DATA_SOURCE", "/24,/64"},
                                                        {"PASVGATE_ADMIN", "0.0.0.0:9121"},
                                                        {"PASVGATE_WORKERS", "2"},
                                                        {"PASVGATE_LOG_FORMAT", "json"},
                                                        {"PASVGATE_LOG_LEVEL", ""}});
  CHECK(flags.listen == std::vector<std::string>{"0.0.0.0:21"});
  CHECK(flags.backend == std::vector<std::string>{"a", "b:2121"});
  CHECK(flags.advertise == std::vector<std::string>{"1.2.3.4", "::5"});
  CHECK(flags.passive_ports == "40000-40001");
  CHECK(flags.passive_ports_advertise == "30000-30001");
  CHECK(flags.data_source == "/24,/64");
  CHECK(flags.admin == "0.0.0.0:9121");
  CHECK(flags.workers == "2");
  CHECK(flags.log_format == "json");
  CHECK_FALSE(flags.log_level);
  CHECK(told(apply_flags({}, flags)) == "ok");
}

TEST_CASE("flags: issues are at the variable that gave the value") {
  CHECK(
      told(apply_flags({},
                       from(least(), {{"PASVGATE_WORKERS", "many"}, {"PASVGATE_PASSIVE_PORTS_ADVERTISE", "5-6"}}))) ==
      "PASVGATE_WORKERS: \"many\" is no whole number; write a whole number from 0 to 1024\n"
      "PASVGATE_PASSIVE_PORTS_ADVERTISE: \"5-6\" has 2 ports, but passive_ports.listen \"50000-50099\" has 100 ports; "
      "write as many");
  CHECK(told(apply_flags({}, from({}, {{"PASVGATE_LISTEN", "0.0.0.0:21,"}, {"PASVGATE_BACKEND", "a"}}))) ==
        "PASVGATE_LISTEN: \"\" is no address with a port; write ADDRESS:PORT, as in \"0.0.0.0:21\" or \"[::]:21\"");
}

TEST_CASE("flags: none at all") {
  CHECK(Flags{}.empty());
  CHECK_FALSE(least().empty());
  CHECK_FALSE(Flags{.log_level = "info"}.empty());
}
