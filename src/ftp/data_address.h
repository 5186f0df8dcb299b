#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "ftp/address.h"

namespace pasvgate::ftp {

/// Why an address inside FTP's text can't be used.
enum class AddressError : std::uint8_t {
  NoAddress,     ///< Nothing of the needed form in the text.
  NumberTooBig,  ///< An octet or port byte over 255, or a port over 65535.
  PortZero,
  BadFamily,      ///< EPRT: a protocol number other than 1 and 2 (answer 522).
  FamilyMismatch  ///< EPRT: the address isn't of the family that was named.
};
std::string_view error_text(AddressError error);

/// The address in a 227's text (RFC 959 §4.1.2). Servers word 227 as they like (RFC 1123 §4.1.2.6), so: the first run
/// of six numbers joined by commas, wherever it stands, blanks around commas allowed, leading zeros decimal; five or
/// seven numbers are no tuple.
std::expected<Endpoint, AddressError> parse_227(std::string_view text);
/// "227 Entering Passive Mode (h1,h2,h3,h4,p1,p2).\r\n": the one form that every client reads. `endpoint` must be IPv4.
std::string write_227(const Endpoint& endpoint);

/// What 229 says (RFC 2428 §3): the port, and the address for the servers that fill it in.
struct ExtendedPassive {
  std::uint16_t port = 0;
  std::string_view host;  ///< Empty as the RFC wants it; else as the server wrote it.
};
/// Any delimiter of 33–126 (not a digit), with or without parentheses and text around.
std::expected<ExtendedPassive, AddressError> parse_229(std::string_view text);
/// "229 Entering Extended Passive Mode (|||port|)\r\n": no dot behind the parenthesis, strict clients want none.
std::string write_229(std::uint16_t port);

/// PORT's argument, "h1,h2,h3,h4,p1,p2": blanks allowed around it and the commas, nothing else.
std::expected<Endpoint, AddressError> parse_port(std::string_view argument);
std::string write_port(const Endpoint& endpoint);  ///< "h1,h2,h3,h4,p1,p2"

/// EPRT's argument, "|1|192.0.2.1|5000|" or "|2|2001:db8::1|5000|", any delimiter, upper-case hex, IPv4-mapped forms; a
/// zone index is no address.
std::expected<Endpoint, AddressError> parse_eprt(std::string_view argument);
std::string write_eprt(const Endpoint& endpoint);  ///< "|1|192.0.2.1|5000|"

/// EPSV's argument (RFC 2428 §3).
enum class EpsvArgument : std::uint8_t { None, V4, V6, All, UnknownFamily, Junk };
EpsvArgument parse_epsv(std::string_view argument);

}  // namespace pasvgate::ftp
