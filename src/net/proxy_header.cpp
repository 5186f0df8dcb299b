#include "net/proxy_header.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pasvgate::net {
namespace {

using Read = std::expected<std::optional<ProxyHeader>, std::string_view>;

std::unexpected<std::string_view> malformed(std::string_view why) { return std::unexpected(why); }

constexpr std::string_view kNoHeader = "no PROXY header";

/// Whether `bytes` are the beginning of `whole`, or `whole` of them.
bool agrees(std::string_view bytes, std::string_view whole) {
  const std::size_t common = std::min(bytes.size(), whole.size());
  return bytes.substr(0, common) == whole.substr(0, common);
}

// Version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 21\r\n".

constexpr std::string_view kText = "PROXY ";
constexpr std::size_t kMaxText = 107;  // with its CRLF

std::optional<std::uint16_t> read_port(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  const auto port = ftp::parse_decimal(text, 65535);
  if (!port) return std::nullopt;
  return static_cast<std::uint16_t>(*port);
}

/// Up to the next blank, which goes too.
std::string_view take_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

Read read_words(std::string_view words, std::size_t length) {
  if (words == "UNKNOWN" || words.starts_with("UNKNOWN ")) return ProxyHeader{length, std::nullopt};
  const bool is_v6 = words.starts_with("TCP6 ");
  if (!is_v6 && !words.starts_with("TCP4 ")) return malformed("neither TCP4, TCP6 nor UNKNOWN");
  if (std::ranges::count(words, ' ') != 4) return malformed("not two addresses and two ports");
  take_word(words);
  const auto address = [&]() -> std::optional<ftp::Address> {
    const std::string_view text = take_word(words);
    // A mapped IPv4 address is written as IPv6 here and is IPv4 to us.
    if ((text.find(':') != std::string_view::npos) != is_v6) return std::nullopt;
    return ftp::Address::parse(text);
  };
  const auto source = address();
  const auto destination = address();
  if (!source || !destination) return malformed("an address that is none");
  const auto source_port = read_port(take_word(words));
  const auto destination_port = read_port(words);
  if (!source_port || !destination_port) return malformed("a port that is none");
  return ProxyHeader{length, ProxyHeader::Addresses{{*source, *source_port}, {*destination, *destination_port}}};
}

Read read_text(std::string_view bytes) {
  const std::size_t end = bytes.substr(0, kMaxText).find_first_of("\r\n");
  if (end == std::string_view::npos || end + 1 == std::min(bytes.size(), kMaxText)) {
    if (end != std::string_view::npos && bytes[end] == '\n') return malformed("a line that doesn't end in CRLF");
    if (bytes.size() >= kMaxText) return malformed("a line of more than 107 bytes");
    return std::nullopt;
  }
  if (bytes.substr(end, 2) != "\r\n") return malformed("a line that doesn't end in CRLF");
  return read_words(bytes.substr(kText.size(), end - kText.size()), end + 2);
}

// Version 2: signature, version and command, family and protocol, the length of what follows; the addresses; TLVs.

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixed = 16;
constexpr std::uint8_t kLocal = 0x20;
constexpr std::uint8_t kProxy = 0x21;
constexpr std::uint8_t kTcp4 = 0x11;
constexpr std::uint8_t kTcp6 = 0x21;
constexpr std::uint8_t kTypeCrc = 0x03;
constexpr std::size_t kTlvFixed = 3;
constexpr std::size_t kCrcSize = 4;

std::uint8_t octet(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

std::uint16_t number(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(octet(bytes, at) << 8U | octet(bytes, at + 1));
}

/// CRC32c (RFC 3720 appendix B.4), of `bytes` as if those from `hole` on, as many as it has, were zero.
std::uint32_t crc32c(std::string_view bytes, std::size_t hole) {
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t index = 0; index < table.size(); ++index) {
      std::uint32_t value = index;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1U) != 0 ? value >> 1U ^ 0x82F63B78U : value >> 1U;
      table[index] = value;
    }
    return table;
  }();
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const std::uint8_t value = at - hole < kCrcSize ? std::uint8_t{0} : octet(bytes, at);
    crc = crc >> 8U ^ kTable[(crc ^ value) & 0xFFU];
  }
  return ~crc;
}

/// Why the TLVs from `at` to the header's end are of no use, or nothing.
std::string_view fault_of_tlvs(std::string_view header, std::size_t at) {
  while (at < header.size()) {
    if (header.size() - at < kTlvFixed) return "a TLV that is cut";
    const std::size_t size = number(header, at + 1);
    const std::size_t value = at + kTlvFixed;
    if (header.size() - value < size) return "a TLV that is cut";
    if (octet(header, at) == kTypeCrc) {
      if (size != kCrcSize) return "a checksum of another length";
      const std::uint32_t told = std::uint32_t{number(header, value)} << 16U | number(header, value + 2);
      if (told != crc32c(header, value)) return "a wrong checksum";
    }
    at = value + size;
  }
  return {};
}

template <std::size_t N>
std::array<std::uint8_t, N> octets(std::string_view bytes, std::size_t at) {
  std::array<std::uint8_t, N> result{};
  for (std::size_t i = 0; i < N; ++i) result[i] = octet(bytes, at + i);
  return result;
}

/// What the addresses of a family take, of any protocol; nothing for a family or protocol that there isn't.
std::optional<std::size_t> size_of_addresses(std::uint8_t kind) {
  static constexpr std::array<std::size_t, 4> kSizes{0, 12, 36, 216};  // UNSPEC, INET, INET6, UNIX
  constexpr unsigned kProtocols = 3;                                   // UNSPEC, STREAM, DGRAM
  const std::size_t family = kind >> 4U;
  if (family >= kSizes.size() || (kind & 0x0FU) >= kProtocols) return std::nullopt;
  return kSizes[family];
}

Read read_binary(std::string_view bytes) {
  if (bytes.size() < kFixed) return std::nullopt;
  const std::uint8_t command = octet(bytes, 12);
  const std::uint8_t kind = octet(bytes, 13);
  const std::size_t length = kFixed + number(bytes, 14);
  if (command != kLocal && command != kProxy) return malformed("another version or command");
  if (length > kMaxProxyHeader) return malformed("a header that is too long");
  std::size_t size = 0;
  // LOCAL: whatever it says of addresses is skipped unread.
  if (command == kProxy) {
    const auto known = size_of_addresses(kind);
    if (!known) return malformed("a family or protocol that there isn't");
    size = *known;
    if (length - kFixed < size) return malformed("addresses that are cut");
  }
  if (bytes.size() < length) return std::nullopt;
  ProxyHeader header{length, std::nullopt};
  if (command == kLocal) return header;
  const std::string_view whole = bytes.substr(0, length);
  if (const auto fault = fault_of_tlvs(whole, kFixed + size); !fault.empty()) return malformed(fault);
  if (kind == kTcp4) {
    header.addresses = {{ftp::Address::v4(octets<4>(whole, kFixed)), number(whole, kFixed + 8)},
                        {ftp::Address::v4(octets<4>(whole, kFixed + 4)), number(whole, kFixed + 10)}};
  } else if (kind == kTcp6) {
    header.addresses = {{ftp::Address::v6(octets<16>(whole, kFixed)), number(whole, kFixed + 32)},
                        {ftp::Address::v6(octets<16>(whole, kFixed + 16)), number(whole, kFixed + 34)}};
  }
  return header;
}

// Writing.

void put(std::string& out, std::uint16_t value) {
  out += static_cast<char>(value >> 8U);
  out += static_cast<char>(value & 0xFFU);
}

void put(std::string& out, const ftp::Address& address, bool as_v6) {
  const auto octets = address.octets();
  if (as_v6 && address.family() == ftp::Family::V4) out += std::string(10, '\0') + "\xff\xff";
  out.append(octets.begin(), octets.end());
}

std::string text_of(const ftp::Address& address, bool as_v6) {
  return (as_v6 && address.family() == ftp::Family::V4 ? "::ffff:" : "") + address.text();
}

/// With its length and its checksum.
std::string finished(std::string header) {
  const std::size_t length = header.size() + kTlvFixed + kCrcSize - kFixed;
  header[14] = static_cast<char>(length >> 8U);
  header[15] = static_cast<char>(length & 0xFFU);
  header += static_cast<char>(kTypeCrc);
  put(header, static_cast<std::uint16_t>(kCrcSize));
  const std::size_t at = header.size();
  header.append(kCrcSize, '\0');
  const std::uint32_t crc = crc32c(header, at);
  header.resize(at);
  put(header, static_cast<std::uint16_t>(crc >> 16U));
  put(header, static_cast<std::uint16_t>(crc & 0xFFFFU));
  return header;
}

std::string begun(std::uint8_t command, std::uint8_t kind) {
  std::string header(kSignature);
  header += static_cast<char>(command);
  header += static_cast<char>(kind);
  return header.append(2, '\0');
}

}  // namespace

Read read_proxy_header(std::string_view bytes) {
  if (agrees(bytes, kSignature)) return bytes.size() < kSignature.size() ? Read(std::nullopt) : read_binary(bytes);
  if (agrees(bytes, kText)) return bytes.size() < kText.size() ? Read(std::nullopt) : read_text(bytes);
  return malformed(kNoHeader);
}

std::string write_proxy_header(ProxyVersion version, const ProxyHeader::Addresses& addresses) {
  const auto& [source, destination] = addresses;
  const bool is_v6 = source.address.family() == ftp::Family::V6 || destination.address.family() == ftp::Family::V6;
  if (version == ProxyVersion::V1) {
    return std::string(kText) + (is_v6 ? "TCP6 " : "TCP4 ") + text_of(source.address, is_v6) + ' ' +
           text_of(destination.address, is_v6) + ' ' + std::to_string(source.port) + ' ' +
           std::to_string(destination.port) + "\r\n";
  }
  std::string header = begun(kProxy, is_v6 ? kTcp6 : kTcp4);
  put(header, source.address, is_v6);
  put(header, destination.address, is_v6);
  put(header, source.port);
  put(header, destination.port);
  return finished(std::move(header));
}

std::string write_local_proxy_header(ProxyVersion version) {
  if (version == ProxyVersion::V1) return std::string(kText) + "UNKNOWN\r\n";
  return finished(begun(kLocal, 0));
}

}  // namespace pasvgate::net
