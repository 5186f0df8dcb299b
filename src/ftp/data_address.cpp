#include "ftp/data_address.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

namespace pasvgate::ftp {
namespace {

using Bytes = std::array<std::uint8_t, 6>;  // h1 to h4, p1, p2

constexpr std::string_view kBlanks = " \t";

// A host between delimiters: longer is none, and the bound keeps the search of a long line cheap.
constexpr std::size_t kMaxHost = 255;

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
bool is_letter(char byte) { return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'); }
bool is_delimiter(char byte) { return byte >= 33 && byte <= 126 && !is_digit(byte); }

std::string_view trimmed(std::string_view text) {
  const std::size_t start = text.find_first_not_of(kBlanks);
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(kBlanks) - start + 1);
}

std::size_t find_digit(std::string_view text, std::size_t from) {
  while (from < text.size() && !is_digit(text[from])) ++from;
  return from;
}

std::size_t end_of_number(std::string_view text, std::size_t from) {
  while (from < text.size() && is_digit(text[from])) ++from;
  return from;
}

/// Numbers joined by commas: how many, where they end, and the first six.
struct Run {
  std::size_t count = 0;
  std::size_t end = 0;
  bool too_big = false;
  Bytes bytes{};
};

/// The longest run at `start`, where a digit stands.
Run read_run(std::string_view text, std::size_t start) {
  Run run;
  while (true) {
    const std::size_t end = end_of_number(text, start);
    const auto value = parse_decimal(text.substr(start, end - start), 255);
    if (run.count < run.bytes.size()) {
      run.bytes[run.count] = static_cast<std::uint8_t>(value.value_or(0));
      run.too_big |= !value;
    }
    ++run.count;
    run.end = end;
    const std::size_t comma = text.find_first_not_of(kBlanks, end);
    if (comma == std::string_view::npos || text[comma] != ',') return run;
    start = text.find_first_not_of(kBlanks, comma + 1);
    if (start == std::string_view::npos || !is_digit(text[start])) return run;
  }
}

std::expected<Endpoint, AddressError> endpoint_of(const Run& run) {
  if (run.count != run.bytes.size()) return std::unexpected(AddressError::NoAddress);
  if (run.too_big) return std::unexpected(AddressError::NumberTooBig);
  const auto& [h1, h2, h3, h4, p1, p2] = run.bytes;
  const auto port = static_cast<std::uint16_t>(p1 * 256 + p2);
  if (port == 0) return std::unexpected(AddressError::PortZero);
  return Endpoint{Address::v4({h1, h2, h3, h4}), port};
}

/// A minus before the number at `start` makes it negative, unless it joins words or codes ("227-192,…").
bool is_negative(std::string_view text, std::size_t start) {
  if (start == 0 || text[start - 1] != '-') return false;
  return start == 1 || !(is_digit(text[start - 2]) || is_letter(text[start - 2]));
}

std::expected<std::uint16_t, AddressError> parse_port_number(std::string_view digits) {
  const auto port = parse_decimal(digits, 65535);
  if (!port) return std::unexpected(AddressError::NumberTooBig);
  if (*port == 0) return std::unexpected(AddressError::PortZero);
  return static_cast<std::uint16_t>(*port);
}

bool is_number(std::string_view text) { return !text.empty() && end_of_number(text, 0) == text.size(); }

/// The three fields of RFC 2428 between four equal delimiters.
struct Fields {
  std::string_view family;
  std::string_view host;
  std::string_view port;
  std::string_view rest;  ///< Behind the last delimiter.
};

std::optional<Fields> split_fields(std::string_view text) {
  if (text.empty() || !is_delimiter(text.front())) return std::nullopt;
  const char delimiter = text.front();
  Fields fields;
  for (auto* field : {&fields.family, &fields.host, &fields.port}) {
    text.remove_prefix(1);
    const std::size_t end = text.substr(0, kMaxHost + 1).find(delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    *field = text.substr(0, end);
    text.remove_prefix(end);
  }
  fields.rest = text.substr(1);
  return fields;
}

/// What 229 says when its delimiters begin at the front of `text`; nothing when it is some other text.
std::optional<Fields> fields_229(std::string_view text) {
  const auto fields = split_fields(text);
  if (!fields || !is_number(fields->port)) return std::nullopt;
  const bool is_family = fields->family.empty() || fields->family == "1" || fields->family == "2";
  // An address has dots or colons: the ",168,1,1," inside a 227's tuple is no port.
  const bool is_host = fields->host.empty() || fields->host.find_first_of(".:") != std::string_view::npos;
  if (!is_family || !is_host) return std::nullopt;
  if (fields->host.find_first_of(kBlanks) != std::string_view::npos) return std::nullopt;
  return fields;
}

std::optional<Fields> find_fields_229(std::string_view text) {
  for (std::size_t i = text.find('('); i != std::string_view::npos; i = text.find('(', i + 1)) {
    if (const auto fields = fields_229(text.substr(i + 1))) return fields;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_letter(text[i])) continue;
    if (const auto fields = fields_229(text.substr(i))) return fields;
  }
  // Letters are legal delimiters too, but words are full of them: only the barest form counts.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_letter(text[i])) continue;
    const auto fields = fields_229(text.substr(i));
    if (fields && fields->family.empty() && fields->host.empty()) return fields;
  }
  return std::nullopt;
}

}  // namespace

std::string_view error_text(AddressError error) {
  switch (error) {
    case AddressError::NoAddress:
      return "no address of the needed form";
    case AddressError::NumberTooBig:
      return "a number is too big";
    case AddressError::PortZero:
      return "port 0";
    case AddressError::BadFamily:
      return "unknown address family";
    case AddressError::FamilyMismatch:
      return "the address is not of the family named";
  }
  std::unreachable();
}

std::expected<Endpoint, AddressError> parse_227(std::string_view text) {
  for (std::size_t start = find_digit(text, 0); start < text.size();) {
    const Run run = read_run(text, start);
    if (run.count == run.bytes.size() && !is_negative(text, start)) return endpoint_of(run);
    start = find_digit(text, run.end);
  }
  return std::unexpected(AddressError::NoAddress);
}

std::string write_227(const Endpoint& endpoint) {
  // Old connection trackers know this wording only, and strict clients want the parentheses.
  return "227 Entering Passive Mode (" + write_port(endpoint) + ").\r\n";
}

std::expected<ExtendedPassive, AddressError> parse_229(std::string_view text) {
  const auto fields = find_fields_229(text);
  if (!fields) return std::unexpected(AddressError::NoAddress);
  const auto port = parse_port_number(fields->port);
  if (!port) return std::unexpected(port.error());
  return ExtendedPassive{*port, fields->host};
}

std::string write_229(std::uint16_t port) {
  return "229 Entering Extended Passive Mode (|||" + std::to_string(port) + "|)\r\n";
}

std::expected<Endpoint, AddressError> parse_port(std::string_view argument) {
  const std::string_view text = trimmed(argument);
  if (text.empty() || !is_digit(text.front())) return std::unexpected(AddressError::NoAddress);
  const Run run = read_run(text, 0);
  if (run.end != text.size()) return std::unexpected(AddressError::NoAddress);
  return endpoint_of(run);
}

std::string write_port(const Endpoint& endpoint) {
  std::string text;
  for (const unsigned octet : endpoint.address.octets()) text += std::to_string(octet) + ",";
  return text + std::to_string(endpoint.port / 256) + "," + std::to_string(endpoint.port % 256);
}

std::expected<Endpoint, AddressError> parse_eprt(std::string_view argument) {
  const auto fields = split_fields(trimmed(argument));
  if (!fields || !fields->rest.empty() || !is_number(fields->family)) {
    return std::unexpected(AddressError::NoAddress);
  }
  // Before the address: of a family that nobody knows the address can't be read (522, not 501).
  const auto family = parse_decimal(fields->family, 2);
  if (!family || *family == 0) return std::unexpected(AddressError::BadFamily);
  const auto address = Address::parse(fields->host);
  if (!address || !is_number(fields->port)) return std::unexpected(AddressError::NoAddress);
  // By the text, as an IPv4-mapped address is written in IPv6 but is an IPv4 value.
  if ((*family == 2) != fields->host.contains(':')) return std::unexpected(AddressError::FamilyMismatch);
  const auto port = parse_port_number(fields->port);
  if (!port) return std::unexpected(port.error());
  return Endpoint{*address, *port};
}

std::string write_eprt(const Endpoint& endpoint) {
  const std::string_view family = endpoint.address.family() == Family::V4 ? "|1|" : "|2|";
  return std::string(family) + endpoint.address.text() + "|" + std::to_string(endpoint.port) + "|";
}

EpsvArgument parse_epsv(std::string_view argument) {
  const std::string_view text = trimmed(argument);
  if (text.empty()) return EpsvArgument::None;
  const bool is_all = text.size() == 3 && (text[0] | 0x20) == 'a' && (text[1] | 0x20) == 'l' && (text[2] | 0x20) == 'l';
  if (is_all) return EpsvArgument::All;
  if (!is_number(text)) return EpsvArgument::Junk;
  const auto family = parse_decimal(text, 2);
  if (family == 1U) return EpsvArgument::V4;
  if (family == 2U) return EpsvArgument::V6;
  return EpsvArgument::UnknownFamily;
}

}  // namespace pasvgate::ftp
