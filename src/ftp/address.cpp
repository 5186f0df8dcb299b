#include "ftp/address.h"

#include <algorithm>
#include <cstddef>

namespace pasvgate::ftp {
namespace {

constexpr std::size_t kGroups = 8;
constexpr unsigned kMappedBits = 96;  // The prefix ::ffff:0:0/96 in front of an IPv4 address.

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

int hex_value(char byte) {
  if (is_digit(byte)) return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

std::optional<std::array<std::uint8_t, 4>> parse_quad(std::string_view text) {
  std::array<std::uint8_t, 4> octets{};
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const std::size_t dot = i + 1 < octets.size() ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view octet = text.substr(0, dot);
    // "010" is 8 to some readers and 10 to others, so it is nobody's address.
    if (octet.size() > 1 && octet.front() == '0') return std::nullopt;
    const auto value = parse_decimal(octet, 255);
    if (!value) return std::nullopt;
    octets[i] = static_cast<std::uint8_t>(*value);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return octets;
}

/// The 16-bit groups of one side of "::", or of a whole address.
struct Groups {
  std::array<std::uint16_t, kGroups> values{};
  std::size_t count = 0;

  bool add(unsigned value) {
    if (count == kGroups) return false;
    values[count++] = static_cast<std::uint16_t>(value);
    return true;
  }
};

std::optional<unsigned> parse_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  unsigned value = 0;
  for (const char byte : text) {
    const int digit = hex_value(byte);
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return value;
}

bool add_quad(Groups& groups, std::string_view text) {
  const auto quad = parse_quad(text);
  if (!quad) return false;
  const auto& octets = *quad;
  return groups.add(octets[0] * 256U + octets[1]) && groups.add(octets[2] * 256U + octets[3]);
}

enum class Tail : std::uint8_t { MayBeQuad, HexOnly };

std::optional<Groups> parse_groups(std::string_view text, Tail tail) {
  Groups groups;
  if (text.empty()) return groups;
  while (true) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    const bool is_last = colon == std::string_view::npos;
    if (is_last && tail == Tail::MayBeQuad && part.contains('.')) {
      if (!add_quad(groups, part)) return std::nullopt;
      return groups;
    }
    const auto value = parse_group(part);
    if (!value || !groups.add(*value)) return std::nullopt;
    if (is_last) return groups;
    text.remove_prefix(colon + 1);
  }
}

std::optional<Address> parse_v6(std::string_view text) {
  const std::size_t gap = text.find("::");
  const bool has_gap = gap != std::string_view::npos;
  const auto head = parse_groups(text.substr(0, gap), has_gap ? Tail::HexOnly : Tail::MayBeQuad);
  const auto tail = parse_groups(has_gap ? text.substr(gap + 2) : std::string_view{}, Tail::MayBeQuad);
  if (!head || !tail) return std::nullopt;
  const std::size_t given = head->count + tail->count;
  // "::" stands for at least one group.
  if (has_gap ? given >= kGroups : given != kGroups) return std::nullopt;

  std::array<std::uint16_t, kGroups> groups{};
  std::copy_n(head->values.begin(), head->count, groups.begin());
  std::copy_n(tail->values.begin(), tail->count, groups.end() - static_cast<std::ptrdiff_t>(tail->count));
  std::array<std::uint8_t, 16> octets{};
  for (std::size_t i = 0; i < kGroups; ++i) {
    octets[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
    octets[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xFF);
  }
  return Address::v6(octets);
}

std::string quad_text(std::span<const std::uint8_t> octets) {
  std::string text;
  for (const unsigned octet : octets) {
    if (!text.empty()) text += '.';
    text += std::to_string(octet);
  }
  return text;
}

std::string hex_text(unsigned value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned shift = 16; shift > 0;) {
    shift -= 4;
    const unsigned digit = (value >> shift) & 0xF;
    if (digit != 0 || !text.empty() || shift == 0) text += kDigits[digit];
  }
  return text;
}

/// Where RFC 5952 §4.2 wants "::": the longest run of two or more zero groups, the first of equals.
struct ZeroRun {
  std::size_t start = kGroups;
  std::size_t length = 0;
};

ZeroRun longest_zero_run(const std::array<unsigned, kGroups>& groups) {
  ZeroRun best;
  for (std::size_t i = 0; i < kGroups; ++i) {
    std::size_t end = i;
    while (end < kGroups && groups[end] == 0) ++end;
    if (end - i >= 2 && end - i > best.length) best = {i, end - i};
    i = end;
  }
  return best;
}

std::string v6_text(std::span<const std::uint8_t> octets) {
  std::array<unsigned, kGroups> groups{};
  for (std::size_t i = 0; i < kGroups; ++i) groups[i] = octets[2 * i] * 256U + octets[2 * i + 1];
  const ZeroRun run = longest_zero_run(groups);
  std::string text;
  for (std::size_t i = 0; i < kGroups;) {
    if (i == run.start) {
      text += "::";
      i += run.length;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    text += hex_text(groups[i++]);
  }
  return text;
}

unsigned width(Family family) { return family == Family::V4 ? 32 : 128; }

}  // namespace

std::optional<std::uint32_t> parse_decimal(std::string_view text, std::uint32_t max) {
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char byte : text) {
    if (!is_digit(byte)) return std::nullopt;
    value = value * 10 + static_cast<unsigned>(byte - '0');
    if (value > max) return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

Address Address::v4(std::array<std::uint8_t, 4> octets) {
  Address address;
  std::ranges::copy(octets, address.octets_.begin());
  return address;
}

Address Address::v6(const std::array<std::uint8_t, 16>& octets) {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (std::equal(kMapped.begin(), kMapped.end(), octets.begin())) {
    return v4({octets[12], octets[13], octets[14], octets[15]});
  }
  Address address;
  address.octets_ = octets;
  address.family_ = Family::V6;
  return address;
}

std::optional<Address> Address::parse(std::string_view text) {
  if (text.contains(':')) return parse_v6(text);
  const auto quad = parse_quad(text);
  if (!quad) return std::nullopt;
  return v4(*quad);
}

std::string Address::text() const { return family_ == Family::V4 ? quad_text(octets()) : v6_text(octets()); }

bool Address::is_unspecified() const {
  return std::ranges::all_of(octets_, [](std::uint8_t octet) { return octet == 0; });
}

bool Address::is_loopback() const {
  if (family_ == Family::V4) return octets_[0] == 127;
  return octets_[15] == 1 && std::all_of(octets_.begin(), octets_.end() - 1, [](std::uint8_t o) { return o == 0; });
}

bool Address::is_private() const {
  if (is_loopback()) return true;
  const unsigned first = octets_[0];
  const unsigned second = octets_[1];
  if (family_ == Family::V6) {
    return (first & 0xFE) == 0xFC                          // RFC 4193
           || (first == 0xFE && (second & 0xC0) == 0x80);  // link-local
  }
  return first == 10 || (first == 172 && (second & 0xF0) == 16) || (first == 192 && second == 168)  // RFC 1918
         || (first == 100 && (second & 0xC0) == 64)                                                 // RFC 6598
         || (first == 169 && second == 254);                                                        // link-local
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_decimal(text.substr(colon + 1), 65535);
  const bool has_brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (has_brackets) host = host.substr(1, host.size() - 2);
  // Without brackets nobody can tell the last group from the port.
  if (!port || has_brackets != host.contains(':')) return std::nullopt;
  const auto address = Address::parse(host);
  if (!address) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(*port)};
}

std::string Endpoint::text() const {
  const std::string host = address.family() == Family::V4 ? address.text() : "[" + address.text() + "]";
  return host + ":" + std::to_string(port);
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const auto address = Address::parse(host);
  if (!address) return std::nullopt;
  // "::ffff:10.0.0.0/104" became 10.0.0.0, so its prefix is counted from there too.
  const unsigned skipped = address->family() == Family::V4 && host.contains(':') ? kMappedBits : 0;
  const unsigned most = width(address->family());
  auto given = std::optional<std::uint32_t>(most + skipped);
  if (slash != std::string_view::npos) given = parse_decimal(text.substr(slash + 1), most + skipped);
  if (!given || *given < skipped) return std::nullopt;
  const unsigned bits = *given - skipped;
  if (masked(*address, bits) != *address) return std::nullopt;
  return Cidr{*address, static_cast<std::uint8_t>(bits)};
}

std::string Cidr::text() const {
  if (bits == width(base.family())) return base.text();
  return base.text() + "/" + std::to_string(bits);
}

bool Cidr::contains(const Address& address) const {
  return address.family() == base.family() && masked(address, bits) == base;
}

bool holds(std::span<const Cidr> networks, const Address& address) {
  return std::ranges::any_of(networks, [&](const Cidr& network) { return network.contains(address); });
}

Address masked(const Address& address, unsigned bits) {
  std::array<std::uint8_t, 16> octets{};
  const auto from = address.octets();
  for (std::size_t i = 0; i < from.size(); ++i) {
    const unsigned kept = std::min(bits - std::min(bits, static_cast<unsigned>(8 * i)), 8U);
    octets[i] = static_cast<std::uint8_t>(from[i] & (0xFF00U >> kept));
  }
  if (address.family() == Family::V6) return Address::v6(octets);
  return Address::v4({octets[0], octets[1], octets[2], octets[3]});
}

std::optional<PortRange> PortRange::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto low = parse_decimal(text.substr(0, dash), 65535);
  const auto high = dash == std::string_view::npos ? low : parse_decimal(text.substr(dash + 1), 65535);
  if (!low || !high || *low == 0 || *low > *high) return std::nullopt;
  return PortRange{static_cast<std::uint16_t>(*low), static_cast<std::uint16_t>(*high)};
}

std::string PortRange::text() const {
  return low == high ? std::to_string(low) : std::to_string(low) + "-" + std::to_string(high);
}

}  // namespace pasvgate::ftp

std::size_t std::hash<pasvgate::ftp::Address>::operator()(const pasvgate::ftp::Address& address) const noexcept {
  // FNV-1a, the length of the span standing in for the family.
  std::uint64_t mixed = 14695981039346656037ULL ^ address.octets().size();
  for (const std::uint8_t octet : address.octets()) mixed = (mixed ^ octet) * 1099511628211ULL;
  return static_cast<std::size_t>(mixed);
}
