#include <doctest/doctest.h>

#include "gateway/advertise.h"

using namespace pasvgate;
using ftp::Address;

TEST_CASE("what a client is told") {
  const auto at = [](const char* text) { return *Address::parse(text); };
  const gateway::ResolvedName names = [&](const std::string& name) -> std::optional<Address> {
    if (name == "ftp.example.com") return at("203.0.113.99");
    return std::nullopt;
  };
  config::Advertise rules;
  rules.address.v4 = at("203.0.113.10");
  rules.rules = {{{*ftp::Cidr::parse("10.0.0.0/8")}, {.v4 = at("10.0.0.1")}},
                 {{*ftp::Cidr::parse("10.1.0.0/16")}, {.v4 = at("10.1.0.1")}}};
  config::Advertise name;
  name.address.name = "ftp.example.com";
  config::Advertise unknown;
  unknown.address.name = "gone.example.com";
  config::Advertise v6_only;
  v6_only.address.v6 = at("2001:db8::1");

  struct Row {
    const char* why;
    const config::Advertise& settings;
    const char* client;
    const char* dialled;
    std::optional<Address> told;
  };
  const config::Advertise none;
  const Row rows[] = {
      {"nothing configured: what was dialled", none, "198.51.100.1", "192.0.2.1", at("192.0.2.1")},
      {"the configured address", rules, "198.51.100.1", "192.0.2.1", at("203.0.113.10")},
      {"split horizon: the first rule that holds the client", rules, "10.1.2.3", "192.0.2.1", at("10.0.0.1")},
      {"a name", name, "198.51.100.1", "192.0.2.1", at("203.0.113.99")},
      {"a name that never resolved", unknown, "198.51.100.1", "192.0.2.1", std::nullopt},
      {"only IPv6 configured, IPv4 dialled", v6_only, "198.51.100.1", "192.0.2.1", at("192.0.2.1")},
      {"IPv6 all the way", none, "2001:db8::5", "2001:db8::1", std::nullopt},
  };
  for (const auto& row : rows) {
    CAPTURE(row.why);
    CHECK(gateway::advertised_address(row.settings, at(row.client), at(row.dialled), names) == row.told);
  }
}
