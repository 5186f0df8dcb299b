#include "cli/firewall.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "config/read.h"

namespace pasvgate::cli {
namespace {

config::Config from(std::string_view text) {
  auto config = config::read_json(text);
  REQUIRE_MESSAGE(config.has_value(), config.error().front().message);
  return *std::move(config);
}

config::Config both_families() {
  return from(R"({"listeners": [{"name": "public", "address": "203.0.113.10:21"},
                                {"name": "secure", "address": "203.0.113.10:990"},
                                {"name": "six", "address": "[::]:21"}],
                  "backends": {"default": {"servers": ["192.168.1.10", "192.168.1.11"], "active_ports": "40000-40009"}},
                  "passive_ports": {"listen": "50000-50004", "advertise": "30000-30004"},
                  "policy": {"allow_active": true}})");
}

bool noted(const Firewall& firewall, std::string_view words) {
  return std::ranges::any_of(firewall.notes, [&](const auto& note) { return note.contains(words); });
}

}  // namespace

TEST_CASE("openings: each listener, the pool on each address, the active ports of backends") {
  const Firewall firewall = openings(both_families());
  const auto gateway = ftp::Address::v4({203, 0, 113, 10});
  const ftp::PortRange told{30000, 30004};
  const std::vector<Opening> expected{
      {"listener public", ftp::Family::V4, gateway, {21, 21}, {}, {}},
      {"listener secure", ftp::Family::V4, gateway, {990, 990}, {}, {}},
      {"listener six", ftp::Family::V6, {}, {21, 21}, {}, {}},
      {"passive ports", ftp::Family::V6, {}, {50000, 50004}, told, {}},
      {"passive ports", ftp::Family::V4, gateway, {50000, 50004}, told, {}},
      {"data connections of backend default",
       ftp::Family::V4,
       {},
       {40000, 40009},
       {},
       {*ftp::Cidr::parse("192.168.1.10"), *ftp::Cidr::parse("192.168.1.11")},
       true},
  };
  CHECK(firewall.openings == expected);
  CHECK(firewall.errors.empty());
  CHECK(noted(firewall, "told the ports 30000-30004; a NAT in front must map them to 50000-50004"));
}

TEST_CASE("openings: what needs none") {
  SUBCASE("loopback") {
    const auto firewall = openings(from(R"({"listeners": [{"name": "own", "address": "127.0.0.1:21"}],
                                            "backends": {"default": {"servers": ["127.0.0.1:2121"]}}})"));
    CHECK(firewall.openings.empty());
    CHECK(noted(firewall, "\"own\" is on loopback"));
  }
  SUBCASE("an address that a wildcard takes in") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}, {"address": "203.0.113.10:990"}],
                                            "backends": {"default": {"servers": ["127.0.0.1:2121"]}}})"));
    REQUIRE(firewall.openings.size() == 3);
    CHECK(firewall.openings[2].what == "passive ports");
    CHECK_FALSE(firewall.openings[2].to.has_value());
  }
  SUBCASE("a passive backend") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}],
        "backends": {"default": {"servers": ["192.168.1.10"], "data_mode": "passive", "active_ports": "4000-4001"}}})"));
    CHECK(firewall.openings.size() == 2);
  }
  SUBCASE("no client is active") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}], "policy": {"allow_active": false},
        "backends": {"default": {"servers": ["192.168.1.10"], "active_ports": "4000-4001"}}})"));
    CHECK(firewall.openings.size() == 2);
    CHECK_FALSE(noted(firewall, "Active clients"));
  }
  SUBCASE("only one user's clients are active") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21", "routes": [
          {"user": ["anna"], "backend": "default", "policy": {"allow_active": true}}]}],
        "policy": {"allow_active": false},
        "backends": {"default": {"servers": ["192.168.1.10"], "active_ports": "4000-4001"}}})"));
    CHECK(firewall.openings.size() == 3);
    CHECK(noted(firewall, "Active clients"));
  }
}

TEST_CASE("openings: what a rule can't say is told") {
  SUBCASE("a port that the kernel chooses") {
    const auto firewall = openings(from(R"({"listeners": [{"name": "any", "address": "0.0.0.0:0"}],
                                            "backends": {"default": {"servers": ["192.168.1.10"]}}})"));
    CHECK(firewall.errors == std::vector<std::string>{
                                 "listener \"any\": port 0 lets the kernel choose, and no rule can know it; give it a "
                                 "port"});
  }
  SUBCASE("active ports that the kernel chooses") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}],
                                            "backends": {"default": {"servers": ["192.168.1.10"]}}})"));
    CHECK(noted(firewall, "set backends.default.active_ports to have a rule"));
  }
  SUBCASE("a backend known by a name") {
    const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}],
        "backends": {"default": {"servers": ["ftp.internal"], "active_ports": "4000-4001"}}})"));
    REQUIRE(firewall.openings.size() == 4);
    CHECK(firewall.openings[2].from.empty());
    CHECK(firewall.openings[3].family == ftp::Family::V6);
    CHECK(noted(firewall, "has no fixed addresses"));
  }
  SUBCASE("an admin address that others reach") {
    const auto firewall =
        openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}], "admin": {"address": "0.0.0.0:9121"},
                                            "backends": {"default": {"servers": ["192.168.1.10"]}}})"));
    CHECK(noted(firewall, "The admin address 0.0.0.0:9121 gets no rule"));
  }
}

TEST_CASE("openings: a trusted network of a backend is let in") {
  const auto firewall = openings(from(R"({"listeners": [{"address": "0.0.0.0:21"}],
      "backends": {"default": {"servers": ["192.168.1.10"], "active_ports": "4000-4001", "data_address": "trust",
                               "trusted_data": ["10.1.0.0/16", "fd00::/8"]}}})"));
  REQUIRE(firewall.openings.size() == 4);
  CHECK(firewall.openings[2].from == std::vector{*ftp::Cidr::parse("192.168.1.10"), *ftp::Cidr::parse("10.1.0.0/16")});
  CHECK(firewall.openings[3].from == std::vector{*ftp::Cidr::parse("fd00::/8")});
}

TEST_CASE("rules: each format has each opening") {
  const auto config = both_families();
  const Firewall firewall = openings(config);
  const auto text = [&](std::string_view format) {
    return write_firewall(firewall, config, parse_firewall_format(format).value());
  };
  struct Row {
    std::string_view format;
    std::string_view line;
  };
  const Row rows[] = {
      {"nft", "meta nfproto ipv4 ip daddr 203.0.113.10 tcp dport 990 accept comment \"listener secure\"\n"},
      {"nft", "meta nfproto ipv6 tcp dport 50000-50004 accept comment \"passive ports\"\n"},
      {"nft", "ip saddr { 192.168.1.10, 192.168.1.11 } tcp dport 40000-40009 accept"},
      {"nft", "# Clients are told the ports 30000-30004"},
      {"iptables",
       "-4 -A PASVGATE -d 203.0.113.10 -p tcp --dport 21 -m comment --comment \"listener public\" -j ACCEPT\n"},
      {"iptables", "-6 -A PASVGATE -p tcp --dport 50000:50004 "},
      {"iptables", "-4 -A PASVGATE -s 192.168.1.11 -p tcp --dport 40000:40009 "},
      {"kubernetes", "port: 30004\n      targetPort: 50004\n      nodePort: 30004\n"},
      {"kubernetes", "port: 990\n      targetPort: 990\n"},
      {"kubernetes", "type: NodePort\n"},
      {"kubernetes", "ipFamilies: [IPv4, IPv6]\n"},
      {"aws",
       R"({"IpProtocol": "tcp", "FromPort": 50000, "ToPort": 50004, "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "passive ports"}]})"},
      {"aws", R"({"CidrIp": "192.168.1.11/32", "Description": "data connections of backend default"})"},
  };
  for (const auto& [format, line] : rows) {
    CAPTURE(line);
    CHECK(text(format).contains(line));
  }
  CHECK_FALSE(text("kubernetes").contains("40000"));
  CHECK_FALSE(parse_firewall_format("pf").has_value());
}

TEST_CASE("kubernetes: outside the node ports it is a load balancer") {
  const auto config =
      from(R"({"listeners": [{"address": "[::]:21"}], "backends": {"default": {"servers": ["[::1]:2121"]}},
                               "passive_ports": {"listen": "50000-50001", "data_source": "any"}})");
  const std::string text = write_firewall(openings(config), config, FirewallFormat::Kubernetes);
  CHECK(text.contains("type: LoadBalancer\n"));
  CHECK(text.contains("ipFamilies: [IPv6]\n"));
  CHECK(text.contains("externalTrafficPolicy: Cluster\n"));
  CHECK_FALSE(text.contains("nodePort:"));
}

TEST_CASE("kubernetes: gateways that share their ports have a Service each") {
  const auto config = from(R"({"listeners": [{"address": "0.0.0.0:2121"}],
      "backends": {"default": {"servers": ["ftp"]}},
      "passive_ports": {"listen": "50000-50003", "advertise": "30000-30003", "slice": {"index": "hostname", "of": 2}}})");
  const std::string text = write_firewall(openings(config), config, FirewallFormat::Kubernetes);
  const std::size_t first = text.find("---\n");
  const std::size_t second = text.find("---\n", first + 1);
  REQUIRE(second != std::string::npos);
  CHECK(text.find("---\n", second + 1) == std::string::npos);
  CHECK(text.substr(0, first).contains("name: control-2121\n"));
  CHECK_FALSE(text.substr(0, first).contains("sessionAffinity"));
  CHECK_FALSE(text.substr(0, first).contains("passive-"));
  CHECK(text.substr(second) == R"(---
apiVersion: v1
kind: Service
metadata:
  name: pasvgate-1
spec:
  type: NodePort
  selector:
    app: pasvgate
    statefulset.kubernetes.io/pod-name: pasvgate-1
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv4]
  externalTrafficPolicy: Local
  publishNotReadyAddresses: true
  ports:
    - name: passive-30002
      protocol: TCP
      port: 30002
      targetPort: 50002
      nodePort: 30002
    - name: passive-30003
      protocol: TCP
      port: 30003
      targetPort: 50003
      nodePort: 30003
)");
}

}  // namespace pasvgate::cli
