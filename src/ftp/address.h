#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pasvgate::ftp {

enum class Family : std::uint8_t { V4, V6 };

/// An IPv4 or IPv6 address as a value. An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is the IPv4 address, so that one
/// client is one value whichever socket it came through. No zone index: a data channel can't carry one (RFC 2428).
class Address {
 public:
  /// 0.0.0.0
  constexpr Address() = default;
  static Address v4(std::array<std::uint8_t, 4> octets);
  static Address v6(const std::array<std::uint8_t, 16>& octets);
  /// Dotted quad (decimal octets of 0–255, no leading zeros) or any RFC 4291 §2.2 text form, without brackets.
  static std::optional<Address> parse(std::string_view text);

  [[nodiscard]] Family family() const { return family_; }
  /// 4 or 16 octets in network order.
  [[nodiscard]] std::span<const std::uint8_t> octets() const {
    return {octets_.data(), family_ == Family::V4 ? std::size_t{4} : std::size_t{16}};
  }
  /// Canonical text: RFC 5952 for IPv6.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;
  /// RFC 1918, RFC 6598, RFC 4193, link-local and loopback: not to be reached from the internet.
  [[nodiscard]] bool is_private() const;

  auto operator<=>(const Address&) const = default;

 private:
  std::array<std::uint8_t, 16> octets_{};
  Family family_ = Family::V4;
};

/// An address and a TCP port.
struct Endpoint {
  Address address;
  std::uint16_t port = 0;

  /// "192.0.2.1:21" or "[2001:db8::1]:21".
  static std::optional<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Endpoint&) const = default;
};

/// A network prefix: "10.0.0.0/8", "2001:db8::/32", or a single address. Host bits must be zero.
struct Cidr {
  Address base;
  std::uint8_t bits = 0;

  static std::optional<Cidr> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool contains(const Address& address) const;
  auto operator<=>(const Cidr&) const = default;
};

/// Whether one of the networks holds the address.
bool holds(std::span<const Cidr> networks, const Address& address);

/// `address` with all bits behind the first `bits` cleared.
Address masked(const Address& address, unsigned bits);

/// A range of ports, both ends included: "50000-50099", or one port "50000". 1 ≤ low ≤ high.
struct PortRange {
  std::uint16_t low = 0;
  std::uint16_t high = 0;

  static std::optional<PortRange> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(high - low) + 1; }
  [[nodiscard]] bool contains(std::uint16_t port) const { return port >= low && port <= high; }
  auto operator<=>(const PortRange&) const = default;
};

/// Whole text as an unsigned decimal number of at most `max`; digits only, leading zeros are decimal, never octal.
std::optional<std::uint32_t> parse_decimal(std::string_view text, std::uint32_t max);

}  // namespace pasvgate::ftp

template <>
struct std::hash<pasvgate::ftp::Address> {
  std::size_t operator()(const pasvgate::ftp::Address& address) const noexcept;
};
