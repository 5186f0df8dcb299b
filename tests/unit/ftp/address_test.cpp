#include "ftp/address.h"

#include <doctest/doctest.h>

#include <functional>
#include <string_view>
#include <vector>

using namespace pasvgate::ftp;

namespace {

std::string text_of(std::string_view text) {
  const auto address = Address::parse(text);
  return address ? address->text() : "none";
}

Address address_of(std::string_view text) { return Address::parse(text).value(); }

struct Row {
  std::string_view reason;
  std::string_view text;
  std::string_view canonical;
};

}  // namespace

TEST_CASE("address: every text form and its canonical one") {
  const Row rows[] = {
      {"dotted quad", "192.0.2.1", "192.0.2.1"},
      {"highest octets", "255.255.255.255", "255.255.255.255"},
      {"zero", "0.0.0.0", "0.0.0.0"},
      {"octet over 255", "192.0.2.256", "none"},
      {"octal or decimal, nobody knows", "192.0.2.01", "none"},
      {"two zeros", "192.0.2.00", "none"},
      {"three octets", "192.0.2", "none"},
      {"five octets", "192.0.2.1.5", "none"},
      {"trailing dot", "192.0.2.1.", "none"},
      {"empty octet", "192..2.1", "none"},
      {"negative octet", "192.0.2.-1", "none"},
      {"blank in front", " 192.0.2.1", "none"},
      {"blank behind", "192.0.2.1 ", "none"},
      {"hex octet", "0xC0.0.2.1", "none"},
      {"one number", "3221225985", "none"},
      {"nothing", "", "none"},
      {"dots only", "...", "none"},
      {"RFC 5952 4.1: leading zeros", "2001:0db8::0001", "2001:db8::1"},
      {"RFC 5952 4.2.1: shorten as much as possible", "2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
      {"RFC 5952 4.2.2: one group is not shortened", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"RFC 5952 4.2.2: even if it was", "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"RFC 5952 4.2.3: the longest run", "2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"RFC 5952 4.2.3: the first of equals", "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"RFC 5952 4.3: lower case", "2001:DB8::ABCD", "2001:db8::abcd"},
      {"unspecified", "::", "::"},
      {"loopback", "0:0:0:0:0:0:0:1", "::1"},
      {"run at the end", "fe80:0:0:0:0:0:0:0", "fe80::"},
      {"inner zeros of a group stay", "1000:100:10:1:a0:b00:c:d0d0", "1000:100:10:1:a0:b00:c:d0d0"},
      {"gap for one group in front", "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"gap for one group behind", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"quad at the end", "64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"quad without gap", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
      {"IPv4-compatible is IPv6", "::1.2.3.4", "::102:304"},
      {"IPv4-mapped is IPv4", "::ffff:192.0.2.1", "192.0.2.1"},
      {"IPv4-mapped in upper-case hex", "::FFFF:C000:0201", "192.0.2.1"},
      {"IPv4-mapped in full", "0:0:0:0:0:ffff:c000:201", "192.0.2.1"},
      {"seven groups", "1:2:3:4:5:6:7", "none"},
      {"nine groups", "1:2:3:4:5:6:7:8:9", "none"},
      {"gap for no group", "1:2:3:4::5:6:7:8", "none"},
      {"two gaps", "1::2::3", "none"},
      {"three colons", ":::", "none"},
      {"colon in front", ":1::2", "none"},
      {"colon behind", "1::2:", "none"},
      {"one colon", ":", "none"},
      {"five hex digits", "12345::", "none"},
      {"no hex digit", "g::", "none"},
      {"quad before the gap", "1.2.3.4::", "none"},
      {"quad in the middle", "::1.2.3.4:5", "none"},
      {"quad takes two groups", "1:2:3:4:5:6:7:1.2.3.4", "none"},
      {"zone index", "fe80::1%eth0", "none"},
      {"brackets", "[::1]", "none"},
      {"blank inside", "2001:db8:: 1", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(text_of(row.text) == row.canonical);
    if (row.canonical != "none") CHECK(address_of(row.canonical) == address_of(row.text));
  }
}

TEST_CASE("address: a mapped address is one value with its IPv4 form") {
  const Address mapped = Address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1});
  CHECK(mapped == Address::v4({192, 0, 2, 1}));
  CHECK(mapped.family() == Family::V4);
  CHECK(mapped.octets().size() == 4);
  CHECK(std::hash<Address>{}(mapped) == std::hash<Address>{}(Address::v4({192, 0, 2, 1})));
  CHECK(std::hash<Address>{}(address_of("0.0.0.0")) != std::hash<Address>{}(address_of("::")));
  CHECK(address_of("0.0.0.0") != address_of("::"));
  CHECK(Address() == address_of("0.0.0.0"));
}

TEST_CASE("address: what kind it is") {
  struct Kind {
    std::string_view text;
    bool is_unspecified, is_loopback, is_private;
  };
  const Kind rows[] = {
      {"0.0.0.0", true, false, false},
      {"::", true, false, false},
      {"127.0.0.1", false, true, true},
      {"127.255.255.254", false, true, true},
      {"::1", false, true, true},
      {"::2", false, false, false},
      {"1::1", false, false, false},
      {"9.255.255.255", false, false, false},
      {"10.0.0.1", false, false, true},
      {"11.0.0.0", false, false, false},
      {"172.15.255.255", false, false, false},
      {"172.16.0.1", false, false, true},
      {"172.31.255.255", false, false, true},
      {"172.32.0.0", false, false, false},
      {"192.168.0.1", false, false, true},
      {"192.169.0.1", false, false, false},
      {"100.63.255.255", false, false, false},
      {"100.64.0.1", false, false, true},
      {"100.127.255.255", false, false, true},
      {"100.128.0.0", false, false, false},
      {"169.254.1.1", false, false, true},
      {"8.8.8.8", false, false, false},
      {"fc00::1", false, false, true},
      {"fdff::1", false, false, true},
      {"fe00::1", false, false, false},
      {"fe80::1", false, false, true},
      {"febf::1", false, false, true},
      {"fec0::1", false, false, false},
      {"2001:db8::1", false, false, false},
      {"::ffff:10.0.0.1", false, false, true},
  };
  for (const Kind& row : rows) {
    CAPTURE(row.text);
    const Address address = address_of(row.text);
    CHECK(address.is_unspecified() == row.is_unspecified);
    CHECK(address.is_loopback() == row.is_loopback);
    CHECK(address.is_private() == row.is_private);
  }
}

TEST_CASE("endpoint: address and port") {
  const Row rows[] = {
      {"IPv4", "192.0.2.1:21", "192.0.2.1:21"},
      {"IPv6", "[2001:DB8::1]:21", "[2001:db8::1]:21"},
      {"any IPv6", "[::]:990", "[::]:990"},
      {"mapped", "[::ffff:192.0.2.1]:21", "192.0.2.1:21"},
      {"the kernel's choice of port", "127.0.0.1:0", "127.0.0.1:0"},
      {"highest port", "127.0.0.1:65535", "127.0.0.1:65535"},
      {"port too high", "127.0.0.1:65536", "none"},
      {"no port", "127.0.0.1", "none"},
      {"empty port", "127.0.0.1:", "none"},
      {"signed port", "127.0.0.1:+21", "none"},
      {"IPv6 without brackets", "2001:db8::1:21", "none"},
      {"IPv6 in brackets without port", "[2001:db8::1]", "none"},
      {"IPv4 in brackets", "[192.0.2.1]:21", "none"},
      {"half a bracket", "[::1:21", "none"},
      {"name", "localhost:21", "none"},
      {"nothing", "", "none"},
      {"colon", ":", "none"},
      {"empty brackets", "[]:21", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto endpoint = Endpoint::parse(row.text);
    CHECK((endpoint ? endpoint->text() : "none") == row.canonical);
    if (endpoint) CHECK(Endpoint::parse(endpoint->text()) == endpoint);
  }
}

TEST_CASE("cidr: prefixes and single addresses") {
  const Row rows[] = {
      {"prefix", "10.0.0.0/8", "10.0.0.0/8"},
      {"everything", "0.0.0.0/0", "0.0.0.0/0"},
      {"not on an octet's border", "100.64.0.0/10", "100.64.0.0/10"},
      {"single address", "192.0.2.1", "192.0.2.1"},
      {"all bits", "192.0.2.1/32", "192.0.2.1"},
      {"IPv6", "2001:DB8::/32", "2001:db8::/32"},
      {"every IPv6", "::/0", "::/0"},
      {"single IPv6", "2001:db8::1", "2001:db8::1"},
      {"all IPv6 bits", "2001:db8::1/128", "2001:db8::1"},
      {"mapped prefix counts from the IPv4 part", "::ffff:10.0.0.0/104", "10.0.0.0/8"},
      {"mapped single", "::ffff:10.0.0.1", "10.0.0.1"},
      {"prefix cuts into the mapping", "::ffff:0:0/95", "none"},
      {"host bits", "10.0.0.1/8", "none"},
      {"host bit right behind the prefix", "10.0.0.128/24", "none"},
      {"IPv6 host bits", "2001:db8::1/32", "none"},
      {"too many bits", "10.0.0.0/33", "none"},
      {"too many IPv6 bits", "2001:db8::/129", "none"},
      {"no bits", "10.0.0.0/", "none"},
      {"a mask", "10.0.0.0/255.0.0.0", "none"},
      {"signed", "10.0.0.0/-8", "none"},
      {"two slashes", "10.0.0.0/8/8", "none"},
      {"short form", "10/8", "none"},
      {"nothing", "", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto cidr = Cidr::parse(row.text);
    CHECK((cidr ? cidr->text() : "none") == row.canonical);
    if (cidr) CHECK(Cidr::parse(cidr->text()) == cidr);
  }
}

TEST_CASE("cidr: what it contains") {
  struct Member {
    std::string_view cidr, address;
    bool is_inside;
  };
  const Member rows[] = {
      {"10.0.0.0/8", "10.255.255.255", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.0/8", "::ffff:10.1.1.1", true},
      {"100.64.0.0/10", "100.127.0.1", true},
      {"100.64.0.0/10", "100.128.0.1", false},
      {"192.0.2.1", "192.0.2.1", true},
      {"192.0.2.1", "192.0.2.2", false},
      {"0.0.0.0/0", "8.8.8.8", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "2001:db8::1", true},
      {"::/0", "10.0.0.1", false},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
  };
  for (const Member& row : rows) {
    CAPTURE(row.cidr);
    CAPTURE(row.address);
    CHECK(Cidr::parse(row.cidr).value().contains(address_of(row.address)) == row.is_inside);
  }
}

TEST_CASE("cidr: a list holds what one of its networks does") {
  const std::vector networks{Cidr::parse("10.0.0.0/8").value(), Cidr::parse("2001:db8::/32").value()};
  CHECK(holds(networks, address_of("10.1.2.3")));
  CHECK(holds(networks, address_of("2001:db8::7")));
  CHECK_FALSE(holds(networks, address_of("11.0.0.1")));
  CHECK_FALSE(holds({}, address_of("10.1.2.3")));
}

TEST_CASE("masked: clears the bits behind the prefix") {
  CHECK(masked(address_of("192.168.255.255"), 20).text() == "192.168.240.0");
  CHECK(masked(address_of("192.168.255.255"), 0).text() == "0.0.0.0");
  CHECK(masked(address_of("192.168.255.255"), 32).text() == "192.168.255.255");
  CHECK(masked(address_of("192.168.255.255"), 128).text() == "192.168.255.255");
  CHECK(masked(address_of("2001:db8:ffff:ffff::1"), 56).text() == "2001:db8:ffff:ff00::");
  CHECK(masked(address_of("2001:db8::1"), 0).text() == "::");
  CHECK(masked(address_of("2001:db8::1"), 128).text() == "2001:db8::1");
}

TEST_CASE("port range: both ends included") {
  const Row rows[] = {
      {"range", "50000-50099", "50000-50099"},
      {"one port", "50000", "50000"},
      {"one port as a range", "50000-50000", "50000"},
      {"all", "1-65535", "1-65535"},
      {"backwards", "50099-50000", "none"},
      {"port 0", "0-10", "none"},
      {"only 0", "0", "none"},
      {"too high", "1-65536", "none"},
      {"no end", "50000-", "none"},
      {"no start", "-50000", "none"},
      {"two dashes", "1-2-3", "none"},
      {"blanks", "1 - 2", "none"},
      {"nothing", "", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto range = PortRange::parse(row.text);
    CHECK((range ? range->text() : "none") == row.canonical);
  }
  const PortRange range{50000, 50099};
  CHECK(range.size() == 100);
  CHECK(range.contains(50000));
  CHECK(range.contains(50099));
  CHECK_FALSE(range.contains(49999));
  CHECK_FALSE(range.contains(50100));
  CHECK(PortRange{1, 65535}.size() == 65535);
}

TEST_CASE("decimal: digits only, never octal, never over the top") {
  CHECK(parse_decimal("0", 10) == 0U);
  CHECK(parse_decimal("010", 10) == 10U);
  CHECK(parse_decimal("0000000000000000000000000000007", 10) == 7U);
  CHECK(parse_decimal("4294967295", 4294967295U) == 4294967295U);
  CHECK(parse_decimal("4294967296", 4294967295U) == std::nullopt);
  CHECK(parse_decimal("18446744073709551617", 4294967295U) == std::nullopt);
  CHECK(parse_decimal("11", 10) == std::nullopt);
  for (const std::string_view bad : {"", "-1", "+1", " 1", "1 ", "1a", "0x1", "1.0"}) {
    CAPTURE(bad);
    CHECK(parse_decimal(bad, 1000) == std::nullopt);
  }
}
