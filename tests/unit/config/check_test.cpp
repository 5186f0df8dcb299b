#include <doctest/doctest.h>

#include "told.h"

using namespace pasvgate::config;

TEST_CASE("check: what only a whole configuration can get wrong") {
  const ToldRow rows[] = {
      {"nothing to do", "{}",
       "f: /listeners: no listener; at least one is needed, as in [{\"address\": \"0.0.0.0:21\"}]\n"
       "f: /backends: no backend; at least one is needed, as in {\"default\": {\"servers\": [\"192.168.1.10:21\"]}}"},
      {"empty", R"({"listeners": [], "backends": {}})",
       "f: /listeners: no listener; at least one is needed, as in [{\"address\": \"0.0.0.0:21\"}]\n"
       "f: /backends: no backend; at least one is needed, as in {\"default\": {\"servers\": [\"192.168.1.10:21\"]}}"},
      {"backend that doesn't exist",
       R"({"listeners": [{"address": "0.0.0.0:21", "backend": "mian"}], "backends": {"main": {"servers": ["a"]}}})",
       R"(f: /listeners/0/backend: "mian" is no backend; did you mean "main"?)"},
      {"the default backend that doesn't exist",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"a": {"servers": ["a"]}, "b": {"servers": ["b"]}}})",
       R"(f: /listeners/0/backend: "default" is no backend; there is "a" and "b")"},
      {"the same address and name twice",
       R"({"listeners": [{"address": "0.0.0.0:21"}, {"address": "0.0.0.0:21", "name": "listener0"}], "backends": {"default": {"servers": ["a"]}}})",
       "f: /listeners/1/name: \"listener0\" is the name of /listeners/0 too; write another\n"
       "f: /listeners/1/address: \"0.0.0.0:21\" is the address of /listeners/0 too; write another"},
      {"port 0 is another port each time",
       R"({"listeners": [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}], "backends": {"default": {"servers": ["a"]}}})",
       "ok"},
      {"TLS without a certificate",
       R"({"listeners": [{"address": "0.0.0.0:21", "tls": "required"}], "backends": {"default": {"servers": ["a"]}}})",
       R"(f: /tls/certificates: empty, but /listeners/0/tls asks for TLS; write the files, as in [{"certificate": "server.pem", "key": "server.key"}])"},
      {"active ports inside the passive ports",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"], "active_ports": "50099-50200"}}})",
       R"(f: /backends/default/active_ports: "50099-50200" overlaps passive_ports.listen "50000-50099"; write ports outside it)"},
      {"listener inside the passive ports",
       R"({"listeners": [{"address": "0.0.0.0:50001"}], "backends": {"default": {"servers": ["a"]}}})",
       R"(f: /listeners/0/address: port 50001 is inside passive_ports.listen "50000-50099"; write a port outside it)"},
      {"trust without networks",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"], "data_address": "trust"}}})",
       R"(f: /backends/default/trusted_data: empty, but data_address is "trust"; write the networks to trust, as in ["10.0.0.0/8"])"},
      {"no server", R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": []}}})",
       R"(f: /backends/default/servers: no server; write a list of addresses or DNS names, as in ["192.168.1.10:21", "ftp.internal"])"},
      {"no server in a backend that nobody uses",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"]}, "other": {"servers": []}}})",
       R"(f: /backends/other/servers: no server; write a list of addresses or DNS names, as in ["192.168.1.10:21", "ftp.internal"])"},
      {"no server where each connection brings one",
       R"({"listeners": [{"address": "0.0.0.0:21", "mode": "transparent", "destinations": ["203.0.113.0/24"]}], "backends": {"default": {"servers": []}}})",
       "ok"},
      {"no server where one of two listeners needs it",
       R"({"listeners": [{"address": "0.0.0.0:21", "mode": "transparent", "destinations": ["203.0.113.0/24"]}, {"address": "0.0.0.0:2121"}], "backends": {"default": {"servers": []}}})",
       R"(f: /backends/default/servers: no server; write a list of addresses or DNS names, as in ["192.168.1.10:21", "ftp.internal"])"},
      {"transparent to nowhere, and behind a proxy",
       R"({"listeners": [{"address": "0.0.0.0:21", "mode": "transparent", "proxy_from": ["10.0.0.1/32"]}], "backends": {"default": {"servers": ["a"]}}})",
       "f: /listeners/0/destinations: empty, but mode is \"transparent\"; write the networks of the servers, as in "
       "[\"203.0.113.0/24\"]\n"
       "f: /listeners/0/proxy_from: not for mode \"transparent\", which is told the addresses by the kernel; leave it "
       "out"},
      {"passthrough",
       R"({"listeners": [{"address": "0.0.0.0:21", "tls": "passthrough"}], "passive_ports": {"mapping": "same"}, "backends": {"default": {"servers": ["10.0.0.1"]}}})",
       "ok"},
      {"passthrough to ports of the pool's choice",
       R"({"listeners": [{"address": "0.0.0.0:21", "tls": "passthrough"}], "passive_ports": {}, "backends": {"default": {"servers": ["a"]}}})",
       R"(f: /passive_ports/mapping: "pool", but /listeners/0/tls is "passthrough", which needs "same")"},
      {"passthrough to a backend whose TLS is the gateway's",
       R"({"listeners": [{"address": "0.0.0.0:21", "tls": "passthrough"}], "passive_ports": {"mapping": "same"}, "backends": {"default": {"servers": ["10.0.0.1"], "tls": "explicit"}}})",
       R"(f: /listeners/0/tls: "passthrough", but the backend's tls isn't "off"; the TLS of client and backend is one)"},
      {"the same ports, and others",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "passive_ports": {"mapping": "same", "advertise": "30000-30099"}, "backends": {"default": {"servers": ["10.0.0.1"]}}})",
       R"(f: /passive_ports/mapping: "same", but passive_ports.advertise is another range; leave it out)"},
      {"the same ports for two servers",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "passive_ports": {"mapping": "same"}, "backends": {"default": {"servers": ["a", "b"]}}})",
       R"(f: /passive_ports/mapping: "same", but the backend hasn't one server with a fixed address)"},
      {"the same ports for two backends",
       R"({"listeners": [{"address": "0.0.0.0:21"}, {"address": "0.0.0.0:22", "backend": "b"}], "passive_ports": {"mapping": "same"}, "backends": {"default": {"servers": ["10.0.0.1"]}, "b": {"servers": ["b"]}}})",
       R"(f: /passive_ports/mapping: "same", but the listeners have several backends)"},
      {"the same ports where the backend is active",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "passive_ports": {"mapping": "same"}, "backends": {"default": {"servers": ["10.0.0.1"], "data_mode": "active"}}})",
       R"(f: /passive_ports/mapping: "same", but the backend's data_mode is "active")"},
      {"PROXY headers for data alone",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"], "proxy_protocol_data": true}}})",
       R"(f: /backends/default/proxy_protocol: "off", but proxy_protocol_data asks for headers; write "v1" or "v2")"},
      {"bandwidths in another unit",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"]}},
           "limits": {"bandwidth": {"transfer": 1023, "session": 100, "user": 1, "listener": 1024}}})",
       "f: /limits/bandwidth/transfer: 1023 is less than 1024 bytes per second; write more, or 0 for no limit\n"
       "f: /limits/bandwidth/session: 100 is less than 1024 bytes per second; write more, or 0 for no limit\n"
       "f: /limits/bandwidth/user: 1 is less than 1024 bytes per second; write more, or 0 for no limit"},
      {"admin on a listener",
       R"({"listeners": [{"address": "0.0.0.0:9121"}], "backends": {"default": {"servers": ["a"]}}})",
       R"(f: /admin/address: "127.0.0.1:9121" is taken by /listeners/0; write another port)"},
      {"admin on another address",
       R"({"listeners": [{"address": "192.0.2.1:9121"}], "backends": {"default": {"servers": ["a"]}}})", "ok"},
      {"admin inside the passive ports",
       R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"]}}, "admin": {"address": "0.0.0.0:50099"}})",
       R"(f: /admin/address: port 50099 is inside passive_ports.listen "50000-50099"; write a port outside it)"},
  };
  for (const ToldRow& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(read_json(row.text)) == row.told);
  }
  CHECK(
      told(read_json(file_with(R"("passive_ports": {"advertise": "30000-30009"})"))) ==
      R"(f: /passive_ports/advertise: "30000-30009" has 10 ports, but passive_ports.listen "50000-50099" has 100 ports; write as many)");
}
