#include "net/proxy_header.h"

#include <doctest/doctest.h>

#include <string>

using namespace pasvgate;
using namespace pasvgate::net;

namespace {

/// Text with \xNN for what can't be seen, as a string with its NULs.
template <std::size_t N>
std::string bytes(const char (&text)[N]) {
  return {text, N - 1};
}

const std::string kV2 = bytes("\r\n\r\n\0\r\nQUIT\n");
/// 192.0.2.1:4242 to 198.51.100.1:21
const std::string kAddresses4 = bytes("\xc0\x00\x02\x01\xc6\x33\x64\x01\x10\x92\x00\x15");

std::string v2(const std::string& kind, const std::string& rest) {
  return kV2 + kind + static_cast<char>(rest.size() >> 8U) + static_cast<char>(rest.size() & 0xFFU) + rest;
}

/// In a form that can be compared: "more", "malformed: …", "59 own", or "59 SOURCE DESTINATION".
std::string told(std::string_view text) {
  const auto read = read_proxy_header(text);
  if (!read) return "malformed: " + std::string(read.error());
  if (!*read) return "more";
  const std::string length = std::to_string((*read)->length);
  const auto& addresses = (*read)->addresses;
  return addresses ? length + " " + addresses->source.text() + " " + addresses->destination.text() : length + " own";
}

struct Row {
  std::string text;
  std::string_view told;
};

}  // namespace

TEST_CASE("PROXY header: version 1") {
  const Row rows[] = {
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 21\r\nUSER x\r\n", "43 192.0.2.1:4242 198.51.100.1:21"},
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "56 255.255.255.255:65535 255.255.255.255:65535"},
      {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "32 0.0.0.0:0 0.0.0.0:0"},
      {"PROXY TCP6 2001:db8::1 2001:db8::2 4242 21\r\n", "44 [2001:db8::1]:4242 [2001:db8::2]:21"},
      {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       "104 [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
      {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 1 2\r\n", "53 192.0.2.1:1 198.51.100.1:2"},
      {"PROXY UNKNOWN\r\n", "15 own"},
      {"PROXY UNKNOWN ffff::1 anything at all\r\n220", "39 own"},
      {"PROXY UNKNOWN " + std::string(91, 'x') + "\r\n", "107 own"},
      {"PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", "malformed: a line of more than 107 bytes"},
      {"PROXY UNKNOWN " + std::string(92, 'x') + "\r", "malformed: a line of more than 107 bytes"},
      {"", "more"},
      {"PRO", "more"},
      {"PROXY TCP4 192.0.2.1", "more"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 21\r", "more"},
      {"PROXZ", "malformed: no PROXY header"},
      {"USER tester\r\n", "malformed: no PROXY header"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 21\n", "malformed: a line that doesn't end in CRLF"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 21\rX", "malformed: a line that doesn't end in CRLF"},
      {"PROXY TCP5 192.0.2.1 198.51.100.1 4242 21\r\n", "malformed: neither TCP4, TCP6 nor UNKNOWN"},
      {"PROXY UNKNOWNX\r\n", "malformed: neither TCP4, TCP6 nor UNKNOWN"},
      {"PROXY  TCP4 192.0.2.1 198.51.100.1 4242 21\r\n", "malformed: neither TCP4, TCP6 nor UNKNOWN"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242\r\n", "malformed: not two addresses and two ports"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 21 \r\n", "malformed: not two addresses and two ports"},
      {"PROXY TCP4 192.0.2.1  198.51.100.1 21\r\n", "malformed: an address that is none"},
      {"PROXY TCP4 192.0.2.01 198.51.100.1 4242 21\r\n", "malformed: an address that is none"},
      {"PROXY TCP4 2001:db8::1 2001:db8::2 4242 21\r\n", "malformed: an address that is none"},
      {"PROXY TCP6 192.0.2.1 198.51.100.1 4242 21\r\n", "malformed: an address that is none"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 65536 21\r\n", "malformed: a port that is none"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 4242 021\r\n", "malformed: a port that is none"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 +42 21\r\n", "malformed: a port that is none"},
      {"PROXY TCP4 192.0.2.1 198.51.100.1  21\r\n", "malformed: a port that is none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(told(row.text) == row.told);
  }
}

TEST_CASE("PROXY header: version 2") {
  const std::string v6 = bytes(
      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
      "\x10\x92\x00\x15");
  const std::string noop = bytes("\x04\x00\x03xyz");
  const Row rows[] = {
      {v2("\x21\x11", kAddresses4) + "USER x\r\n", "28 192.0.2.1:4242 198.51.100.1:21"},
      {v2("\x21\x21", v6), "52 [2001:db8::1]:4242 [2001:db8::2]:21"},
      {v2("\x21\x11", kAddresses4 + noop), "34 192.0.2.1:4242 198.51.100.1:21"},
      {v2("\x21\x11", kAddresses4 + bytes("\x04\x00\x00")), "31 192.0.2.1:4242 198.51.100.1:21"},
      {v2("\x21\x11", kAddresses4 + bytes("\x04\x0f\xe1") + std::string(4065, 'x')),
       "4096 192.0.2.1:4242 198.51.100.1:21"},
      // LOCAL skips whatever comes with it.
      {v2(bytes("\x20\x00"), ""), "16 own"},
      {v2("\x20\x11", kAddresses4), "28 own"},
      {v2("\x20\x7f", "odd"), "19 own"},
      // Not TCP over IP.
      {v2(bytes("\x21\x00"), ""), "16 own"},
      {v2(bytes("\x21\x00"), noop), "22 own"},
      {v2("\x21\x12", kAddresses4), "28 own"},
      {v2("\x21\x31", std::string(216, 'u')), "232 own"},
      {kV2.substr(0, 5), "more"},
      {kV2 + "\x21\x11", "more"},
      {v2("\x21\x11", kAddresses4).substr(0, 27), "more"},
      {kV2.substr(0, 5) + "X", "malformed: no PROXY header"},
      {v2("\x11\x11", kAddresses4), "malformed: another version or command"},
      {v2("\x22\x11", kAddresses4), "malformed: another version or command"},
      {v2("\x21\x41", kAddresses4), "malformed: a family or protocol that there isn't"},
      {v2("\x21\x13", kAddresses4), "malformed: a family or protocol that there isn't"},
      {v2("\x21\x11", kAddresses4.substr(1)), "malformed: addresses that are cut"},
      {v2("\x21\x21", kAddresses4), "malformed: addresses that are cut"},
      {v2("\x21\x31", kAddresses4), "malformed: addresses that are cut"},
      {v2("\x21\x11", kAddresses4 + bytes("\x04\x00")), "malformed: a TLV that is cut"},
      {v2("\x21\x11", kAddresses4 + bytes("\x04\x00\x02x")), "malformed: a TLV that is cut"},
      {v2("\x21\x11", kAddresses4 + bytes("\x03\x00\x03xyz")), "malformed: a checksum of another length"},
      {v2("\x21\x11", kAddresses4 + bytes("\x03\x00\x04wxyz")), "malformed: a wrong checksum"},
      // Told at once, not when all of it is there.
      {kV2 + "\x21\x11\x0f\xf1", "malformed: a header that is too long"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.told);
    CHECK(told(row.text) == row.told);
  }
}

TEST_CASE("PROXY header: a checksum that others made") {
  // Summed up by an implementation that says 0xe3069283 of "123456789", as RFC 3720 wants it.
  const std::string header = v2("\x21\x11", kAddresses4 + bytes("\x03\x00\x04") + bytes("\x66\x4a\x2b\x84"));
  CHECK(told(header) == "35 192.0.2.1:4242 198.51.100.1:21");
  for (std::size_t at = kV2.size() + 4; at < header.size(); ++at) {
    if (at == kV2.size() + 16) continue;  // the TLV's type: then it is another one
    std::string changed = header;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    CAPTURE(at);
    CHECK(told(changed).starts_with("malformed"));
  }
}

TEST_CASE("PROXY header: what is written is read") {
  const auto endpoint = [](std::string_view text) { return *ftp::Endpoint::parse(text); };
  const ProxyHeader::Addresses v4{endpoint("192.0.2.1:4242"), endpoint("198.51.100.1:21")};
  const ProxyHeader::Addresses v6{endpoint("[2001:db8::1]:65535"), endpoint("[2001:db8::2]:21")};
  const ProxyHeader::Addresses mixed{endpoint("192.0.2.1:4242"), endpoint("[2001:db8::2]:21")};
  CHECK(write_proxy_header(ProxyVersion::V1, v4) == "PROXY TCP4 192.0.2.1 198.51.100.1 4242 21\r\n");
  CHECK(write_proxy_header(ProxyVersion::V1, v6) == "PROXY TCP6 2001:db8::1 2001:db8::2 65535 21\r\n");
  CHECK(write_proxy_header(ProxyVersion::V1, mixed) == "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 4242 21\r\n");
  CHECK(write_proxy_header(ProxyVersion::V2, v4) ==
        v2("\x21\x11", kAddresses4 + bytes("\x03\x00\x04") + bytes("\x66\x4a\x2b\x84")));
  for (const auto version : {ProxyVersion::V1, ProxyVersion::V2}) {
    for (const auto& addresses : {v4, v6, mixed}) {
      const std::string header = write_proxy_header(version, addresses);
      CHECK(read_proxy_header(header + "220 ") == ProxyHeader{header.size(), addresses});
    }
    const std::string header = write_local_proxy_header(version);
    CHECK(read_proxy_header(header) == ProxyHeader{header.size(), std::nullopt});
  }
  CHECK(write_local_proxy_header(ProxyVersion::V1) == "PROXY UNKNOWN\r\n");
  CHECK(write_local_proxy_header(ProxyVersion::V2).substr(0, 16) == kV2 + bytes("\x20\x00\x00\x07"));
}

TEST_CASE("PROXY header: every beginning wants more") {
  const ProxyHeader::Addresses addresses{*ftp::Endpoint::parse("192.0.2.1:4242"),
                                         *ftp::Endpoint::parse("198.51.100.1:21")};
  for (const auto version : {ProxyVersion::V1, ProxyVersion::V2}) {
    const std::string header = write_proxy_header(version, addresses);
    for (std::size_t size = 0; size < header.size(); ++size) CHECK(told(header.substr(0, size)) == "more");
  }
}
