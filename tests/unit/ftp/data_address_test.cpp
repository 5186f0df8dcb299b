#include "ftp/data_address.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace pasvgate::ftp;

namespace {

struct Row {
  std::string_view reason;
  std::string_view text;
  std::string_view wanted;  ///< The endpoint's text, or the error's.
};

std::string shown(const std::expected<Endpoint, AddressError>& result) {
  return result ? result->text() : std::string(error_text(result.error()));
}

std::string shown(const std::expected<ExtendedPassive, AddressError>& result) {
  if (!result) return std::string(error_text(result.error()));
  return std::to_string(result->port) + (result->host.empty() ? "" : " " + std::string(result->host));
}

constexpr std::string_view kNone = "no address of the needed form";
constexpr std::string_view kTooBig = "a number is too big";
constexpr std::string_view kPortZero = "port 0";
constexpr std::string_view kBadFamily = "unknown address family";
constexpr std::string_view kMismatch = "the address is not of the family named";
constexpr std::string_view kInside = "192.168.1.1:50123";

}  // namespace

TEST_CASE("227: every form a server has been seen to send") {
  const Row rows[] = {
      {"RFC 959 wording, dot (A1)", "Entering Passive Mode (192,168,1,1,195,203).", kInside},
      {"no dot (A1)", "Entering Passive Mode (192,168,1,1,195,203)", kInside},
      {"no parentheses (A2)", "Entering Passive Mode. 192,168,1,1,195,203", kInside},
      {"other wording (A3)", "will passively listen to 192,168,1,1,195,203 now", kInside},
      {"only the numbers (A4)", "192,168,1,1,195,203", kInside},
      {"old BSD (A5)", "=192,168,1,1,195,203", kInside},
      {"with its code", "227 Entering Passive Mode (192,168,1,1,195,203)", kInside},
      {"with its code and a hyphen (A7)", "227-192,168,1,1,195,203", kInside},
      {"a count before the tuple (A8)", "conn 7 ok (192,168,1,1,195,203)", kInside},
      {"a date before the tuple (A8)", "2024-01-31, 12:30 (192,168,1,1,195,203)", kInside},
      {"numbers with commas before the tuple (A8)", "1,024 of 2,048 (192,168,1,1,195,203)", kInside},
      {"a version before the tuple (A8)", "v1.2.3 (192,168,1,1,195,203)", kInside},
      {"blanks after commas (A9)", "(192, 168, 1, 1, 195, 203)", kInside},
      {"blanks and tabs round commas (A9)", "( 192 ,168\t,\t1 , 1,195 , 203 )", kInside},
      {"leading zeros are decimal (A9)", "(192,168,001,01,0195,203)", kInside},
      {"a comma behind", "(192,168,1,1,195,203,)", kInside},
      {"text right behind", "192,168,1,1,195,203ok", kInside},
      {"other brackets", "[192,168,1,1,195,203]", kInside},
      {"the first of two tuples", "(192,168,1,1,195,203) (1,2,3,4,5,6)", kInside},
      {"octet over 255 (A10)", "(192,168,1,256,195,203)", kTooBig},
      {"port byte over 255 (A10)", "(192,168,1,1,256,203)", kTooBig},
      {"a number without end (A10)", "(192,168,1,1,195,99999999999999999999999)", kTooBig},
      {"an error isn't skipped for a later tuple", "(300,168,1,1,195,203) (1,2,3,4,5,6)", kTooBig},
      {"negative inside (A10)", "(192,168,1,-1,195,203)", kNone},
      {"negative in front (A10)", "(-192,168,1,1,195,203)", kNone},
      {"negative at the start (A10)", "-192,168,1,1,195,203", kNone},
      {"five numbers (A10)", "(192,168,1,1,195)", kNone},
      {"seven numbers (A10)", "(192,168,1,1,195,203,7)", kNone},
      {"dots for commas", "(192.168.1.1.195.203)", kNone},
      {"an empty number", "(192,168,,1,195,203)", kNone},
      {"0.0.0.0 is for the gateway to judge (A11)", "(0,0,0,0,195,203)", "0.0.0.0:50123"},
      {"port 0 (A12)", "(192,168,1,1,0,0)", kPortZero},
      {"port below 1024 is for the gateway to judge (A13)", "(192,168,1,1,0,21)", "192.168.1.1:21"},
      {"highest port", "(192,168,1,1,255,255)", "192.168.1.1:65535"},
      {"empty parentheses (A26)", "Entering Passive Mode ()", kNone},
      {"nothing", "", kNone},
      {"a 229's text", "(|||50123|)", kNone},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(shown(parse_227(row.text)) == row.wanted);
  }
}

TEST_CASE("227: the one form that is written") {
  const Endpoint endpoint = Endpoint::parse("203.0.113.10:50123").value();
  CHECK(write_227(endpoint) == "227 Entering Passive Mode (203,0,113,10,195,203).\r\n");
  CHECK(parse_227(write_227(endpoint)) == endpoint);
}

TEST_CASE("229: every form a server has been seen to send") {
  const Row rows[] = {
      {"RFC 2428", "Entering Extended Passive Mode (|||50123|)", "50123"},
      {"other delimiter (B1)", "(!!!50123!)", "50123"},
      {"lowest delimiter (B1)", "Mode (!!!50123!)", "50123"},
      {"highest delimiter (B1)", "Mode (~~~50123~)", "50123"},
      {"letter as a delimiter (B1)", "Mode (xxx50123x)", "50123"},
      {"letter without parentheses (B1)", "Mode xxx50123x", "50123"},
      {"parenthesis as a delimiter (B1)", "Mode (((50123(", "50123"},
      {"no parentheses (B2)", "Entering Extended Passive Mode |||50123|", "50123"},
      {"nothing but it (B2)", "|||50123|", "50123"},
      {"text behind (B3)", "(|||50123|). Go on.", "50123"},
      {"dot behind (B3)", "Entering Extended Passive Mode (|||50123|).", "50123"},
      {"parentheses with other text before", "Mode (EPSV, 2) (|||50123|)", "50123"},
      {"blanks inside the parentheses", "( |||50123| )", "50123"},
      {"family and address filled in (B4)", "(|1|10.0.0.5|50123|)", "50123 10.0.0.5"},
      {"IPv6 filled in (B4)", "(|2|fd00::5|50123|)", "50123 fd00::5"},
      {"address only (B4)", "(||10.0.0.5|50123|)", "50123 10.0.0.5"},
      {"with its code", "229 Entering Extended Passive Mode (|||50123|)", "50123"},
      {"leading zeros", "(|||0050123|)", "50123"},
      {"highest port", "(|||65535|)", "65535"},
      {"17 bits (B5)", "(|||65536|)", kTooBig},
      {"a million (B5)", "Entering Passiv Mode (|||1000000|)", kTooBig},
      {"without end (B5)", "(|||999999999999999999999999|)", kTooBig},
      {"port 0", "(|||0|)", kPortZero},
      {"negative", "(|||-1|)", kNone},
      {"no port", "(||||)", kNone},
      {"no last delimiter", "(|||50123)", kNone},
      {"two delimiters", "(||50123|)", kNone},
      {"mixed delimiters", "(|!|50123|)", kNone},
      {"digit as a delimiter", "(111501231)", kNone},
      {"blank as a delimiter", "(   50123 )", kNone},
      {"blank in the host", "(||a b|50123|)", kNone},
      {"family 9", "(|9|10.0.0.5|50123|)", kNone},
      {"host that is no address", "(||5|50123|)", kNone},
      {"family is no number", "(|x||50123|)", kNone},
      {"words are no delimiters", "passwords 12345 seen", kNone},
      {"a 227's text (A18)", "Entering Passive Mode (192,168,1,1,195,203)", kNone},
      {"empty parentheses", "()", kNone},
      {"only an opening one", "(", kNone},
      {"nothing", "", kNone},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(shown(parse_229(row.text)) == row.wanted);
  }
}

TEST_CASE("229: the one form that is written") {
  CHECK(write_229(50123) == "229 Entering Extended Passive Mode (|||50123|)\r\n");
  CHECK(parse_229(write_229(50123))->port == 50123);
}

TEST_CASE("PORT: six numbers and nothing else") {
  const Row rows[] = {
      {"RFC 959", "192,168,1,1,195,203", kInside},
      {"blanks round it and the commas", " 192, 168 ,1,1,195,203 ", kInside},
      {"leading zeros are decimal", "192,168,001,001,195,203", kInside},
      {"octet over 255", "192,168,1,256,195,203", kTooBig},
      {"port 0", "192,168,1,1,0,0", kPortZero},
      {"port below 1024 is for the gateway to judge (C3)", "192,168,1,1,0,21", "192.168.1.1:21"},
      {"five numbers", "192,168,1,1,195", kNone},
      {"seven numbers", "192,168,1,1,195,203,7", kNone},
      {"a comma behind", "192,168,1,1,195,203,", kNone},
      {"a comma in front", ",192,168,1,1,195,203", kNone},
      {"parentheses", "(192,168,1,1,195,203)", kNone},
      {"text behind", "192,168,1,1,195,203 ok", kNone},
      {"text in front", "to 192,168,1,1,195,203", kNone},
      {"negative", "192,168,1,-1,195,203", kNone},
      {"blank for a comma", "192 168 1 1 195 203", kNone},
      {"nothing", "", kNone},
      {"blanks", "  ", kNone},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(shown(parse_port(row.text)) == row.wanted);
  }
  CHECK(write_port(Endpoint::parse("10.0.0.1:1024").value()) == "10,0,0,1,4,0");
}

TEST_CASE("EPRT: RFC 2428 and what clients make of it") {
  const Row rows[] = {
      {"IPv4", "|1|192.168.1.1|50123|", kInside},
      {"IPv6", "|2|2001:db8::1|50123|", "[2001:db8::1]:50123"},
      {"other delimiter", "!1!192.168.1.1!50123!", kInside},
      {"blanks round it", " |1|192.168.1.1|50123| ", kInside},
      {"upper-case hex (C6)", "|2|2001:DB8::ABCD|50123|", "[2001:db8::abcd]:50123"},
      {"IPv4-mapped (C6)", "|2|::ffff:192.168.1.1|50123|", kInside},
      {"zone index (C6)", "|2|fe80::1%eth0|50123|", kNone},
      {"family 3 (C5)", "|3|192.168.1.1|50123|", kBadFamily},
      {"family 3 with an address of its own (C5)", "|3|whatever|50123|", kBadFamily},
      {"family 0 (C5)", "|0|192.168.1.1|50123|", kBadFamily},
      {"family without end (C5)", "|99999999999999999999|192.168.1.1|50123|", kBadFamily},
      {"no family", "||192.168.1.1|50123|", kNone},
      {"family in words", "|IPv4|192.168.1.1|50123|", kNone},
      {"IPv6 named, IPv4 given", "|2|192.168.1.1|50123|", kMismatch},
      {"IPv4 named, IPv6 given", "|1|2001:db8::1|50123|", kMismatch},
      {"IPv4 named, mapped given", "|1|::ffff:192.168.1.1|50123|", kMismatch},
      {"brackets", "|2|[2001:db8::1]|50123|", kNone},
      {"host name", "|1|example.org|50123|", kNone},
      {"no address", "|1||50123|", kNone},
      {"port 0", "|1|192.168.1.1|0|", kPortZero},
      {"port too big", "|1|192.168.1.1|65536|", kTooBig},
      {"port is no number", "|1|192.168.1.1|ftp|", kNone},
      {"negative port", "|1|192.168.1.1|-1|", kNone},
      {"no port", "|1|192.168.1.1||", kNone},
      {"no last delimiter", "|1|192.168.1.1|50123", kNone},
      {"text behind", "|1|192.168.1.1|50123|x", kNone},
      {"five delimiters", "|1|192.168.1.1|50123||", kNone},
      {"delimiter of the address", ":2:2001:db8::1:50123:", kNone},
      {"digit as a delimiter", "1112.168.1.1150123", kNone},
      {"PORT's form", "192,168,1,1,195,203", kNone},
      {"nothing", "", kNone},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(shown(parse_eprt(row.text)) == row.wanted);
  }
}

TEST_CASE("EPRT: what is written parses back") {
  for (const std::string_view text : {"192.0.2.1:5000", "[2001:db8::1]:1", "[::]:65535", "0.0.0.0:80"}) {
    CAPTURE(text);
    const Endpoint endpoint = Endpoint::parse(text).value();
    CHECK(parse_eprt(write_eprt(endpoint)) == endpoint);
  }
  CHECK(write_eprt(Endpoint::parse("192.0.2.1:5000").value()) == "|1|192.0.2.1|5000|");
  CHECK(write_eprt(Endpoint::parse("[2001:DB8::1]:5000").value()) == "|2|2001:db8::1|5000|");
}

TEST_CASE("EPSV: its argument") {
  struct Argument {
    std::string_view text;
    EpsvArgument wanted;
  };
  const Argument rows[] = {
      {"", EpsvArgument::None},
      {"  ", EpsvArgument::None},
      {"1", EpsvArgument::V4},
      {"2", EpsvArgument::V6},  // B9
      {" 2 ", EpsvArgument::V6},
      {"ALL", EpsvArgument::All},
      {"all", EpsvArgument::All},
      {"3", EpsvArgument::UnknownFamily},
      {"0", EpsvArgument::UnknownFamily},
      {"99999999999999999999", EpsvArgument::UnknownFamily},
      {"junk", EpsvArgument::Junk},
      {"1 2", EpsvArgument::Junk},  // B10
      {"-1", EpsvArgument::Junk},
      {"ALLE", EpsvArgument::Junk},
      {"1x", EpsvArgument::Junk},
      {"A\x0C\x0C", EpsvArgument::Junk},
      {"AL\xCC", EpsvArgument::Junk},
  };
  for (const Argument& row : rows) {
    CAPTURE(row.text);
    CHECK(parse_epsv(row.text) == row.wanted);
  }
}
