#include "ftp/line.h"

#include <doctest/doctest.h>

#include <string_view>
#include <vector>

using namespace pasvgate::ftp;
using namespace std::string_literals;

namespace {

/// A line that outlives the framer's next call.
struct Seen {
  std::string text;
  LineFault fault = LineFault::None;
  bool interrupt = false;
  bool operator==(const Seen&) const = default;
};

struct Result {
  std::vector<Seen> lines;
  bool is_partial = false;
  bool operator==(const Result&) const = default;
};

void feed(LineFramer& framer, std::string_view bytes, Result& result) {
  while (const auto line = framer.next(bytes)) {
    result.lines.push_back({std::string(line->text), line->fault, line->interrupt});
  }
  CHECK(bytes.empty());
  result.is_partial = framer.is_partial();
}

/// `bytes` in pieces: the first ends at `cut`, the others are `step` long.
Result frame(std::string_view bytes, std::size_t limit, Telnet telnet, std::size_t cut, std::size_t step) {
  LineFramer framer(limit, telnet);
  Result result;
  feed(framer, bytes.substr(0, cut), result);
  for (std::size_t at = cut; at < bytes.size(); at += step) feed(framer, bytes.substr(at, step), result);
  return result;
}

struct Row {
  std::string_view reason;
  std::string bytes;
  std::vector<Seen> lines;
  bool is_partial = false;
};

void check(const Row& row, std::size_t limit, Telnet telnet) {
  CAPTURE(row.reason);
  const Result whole = frame(row.bytes, limit, telnet, row.bytes.size(), 1);
  REQUIRE(whole.lines.size() == row.lines.size());
  for (std::size_t i = 0; i < row.lines.size(); ++i) {
    CHECK(whole.lines[i].text == row.lines[i].text);
    CHECK(whole.lines[i].fault == row.lines[i].fault);
    CHECK(whole.lines[i].interrupt == row.lines[i].interrupt);
  }
  CHECK(whole.is_partial == row.is_partial);
  CHECK(frame(row.bytes, limit, telnet, 0, 1) == whole);
  for (std::size_t cut = 0; cut <= row.bytes.size(); ++cut) {
    CHECK(frame(row.bytes, limit, telnet, cut, row.bytes.size() + 1) == whole);
  }
}

constexpr auto kTooLong = LineFault::TooLong;
constexpr auto kForbidden = LineFault::ForbiddenByte;
constexpr auto kFine = LineFault::None;

}  // namespace

TEST_CASE("line: what a client may send, however it is cut") {
  const Row rows[] = {
      {"nothing", "", {}},
      {"CRLF", "NOOP\r\n", {{"NOOP"}}},
      {"bare LF (F7)", "NOOP\nPASV\n", {{"NOOP"}, {"PASV"}}},
      {"CR CR LF (F7)", "NOOP\r\r\n", {{"NOOP"}}},
      {"pipelined (G7)", "PASV\r\nREST 0\r\nRETR a\r\n", {{"PASV"}, {"REST 0"}, {"RETR a"}}},
      {"no end yet (G9)", "NOOP\r\nPA", {{"NOOP"}}, true},
      {"a CR waits for its LF", "NOOP\r", {}, true},
      {"empty lines (G14)", "\r\n\n\r\n", {{""}, {""}, {""}}},
      {"blanks are kept (G13)", "STOR  a b \r\n", {{"STOR  a b "}}},
      {"bytes of no charset are kept (F14)", "STOR \x80\xE4\x01\r\n", {{"STOR \x80\xE4\x01"}}},
      {"NUL (F8)", "STOR a\0b\r\nNOOP\r\n"s, {{"", kForbidden}, {"NOOP"}}},
      {"a CR inside: smuggling", "STOR a\rDELE b\r\nNOOP\r\n", {{"", kForbidden}, {"NOOP"}}},
      {"CR NUL is a bare CR", "STOR a\r\0b\r\n"s, {{"", kForbidden}}},
      {"two CRs inside", "a\r\rb\r\n", {{"", kForbidden}}},
      {"CR in front", "\rNOOP\r\n", {{"", kForbidden}}},
      {"a line with a fault waits for its end", "a\0b"s, {}, true},
      {"exactly the limit (F9)", "0123456789abcdef\r\n", {{"0123456789abcdef"}}},
      {"one over the limit (F9)", "0123456789abcdefg\r\nNOOP\r\n", {{"", kTooLong}, {"NOOP"}}},
      {"long without end", "0123456789abcdefghijklmnopqrstuvwxyz", {}, true},
      {"the first fault counts", "0123456789abcdefg\0\r\n"s, {{"", kTooLong}}},
      {"the first fault counts, forbidden first", "\0"s + "0123456789abcdefg\r\n", {{"", kForbidden}}},
  };
  for (const Row& row : rows) check(row, 16, Telnet::Decode);
}

TEST_CASE("line: Telnet from a client") {
  const Row rows[] = {
      {"IP and Synch before ABOR (G1)",
       "\xFF\xF4\xFF\xF2"
       "ABOR\r\n",
       {{"ABOR", kFine, true}}},
      {"IP alone",
       "\xFF\xF4"
       "ABOR\r\nNOOP\r\n",
       {{"ABOR", kFine, true}, {"NOOP"}}},
      {"DM alone",
       "\xFF\xF2"
       "STAT\r\n",
       {{"STAT", kFine, true}}},
      {"inside the line", "AB\xFF\xF4OR\r\n", {{"ABOR", kFine, true}}},
      {"with a fault too",
       "\xFF\xF4"
       "a\0\r\n"s,
       {{"", kForbidden, true}}},
      {"waits for a line, but is no byte of one", "\xFF\xF4", {}},
      {"IAC IAC is one byte (F13)", "a\xFF\xFF\x62\r\n", {{"a\xFF\x62"}}},
      {"IAC IAC before the end", "a\xFF\xFF\r\n", {{"a\xFF"}}},
      {"Latin-1 in a name (F13)", "a\xFF\x62\r\n", {{"a\xFF\x62"}}},
      {"Latin-1 at the end of a name (F13)", "a\xFF\r\n", {{"a\xFF"}}},
      {"Latin-1 before a bare LF", "a\xFF\n", {{"a\xFF"}}},
      {"Latin-1 before a NUL", "a\xFF\0\r\n"s, {{"", kForbidden}}},
      {"below the first command", "a\xFF\xEF\r\n", {{"a\xFF\xEF"}}},
      {"WILL takes its option along", "\xFF\xFB\x01NOOP\r\n", {{"NOOP"}}},
      {"WONT", "\xFF\xFC\x01NOOP\r\n", {{"NOOP"}}},
      {"DO", "\xFF\xFD\x06NOOP\r\n", {{"NOOP"}}},
      {"DONT", "\xFF\xFE\x06NOOP\r\n", {{"NOOP"}}},
      {"an option may be any byte", "\xFF\xFD\nNOOP\r\n", {{"NOOP"}}},
      {"NOP", "NO\xFF\xF1OP\r\n", {{"NOOP"}}},
      {"stray SE", "\xFF\xF0NOOP\r\n", {{"NOOP"}}},
      {"subnegotiation goes whole", "\xFF\xFA\x18\x01\r\nxyz\xFF\xF0NOOP\r\n", {{"NOOP"}}},
      {"IAC IAC inside a subnegotiation", "\xFF\xFA\x18\xFF\xFF\xF0\xFF\xF0NOOP\r\n", {{"NOOP"}}},
      {"subnegotiation without end", "\xFF\xFA\x18 NOOP\r\n", {}, true},
      {"IAC waits", "\xFF", {}, true},
      {"option waits", "\xFF\xFB", {}, true},
      {"between CR and LF: not the line's end", "NOOP\r\xFF\xF1\n", {{"", kForbidden}}},
      {"removed bytes don't count for the limit",
       "0123456789\xFF\xF1"
       "abcdef\r\n",
       {{"0123456789abcdef"}}},
  };
  for (const Row& row : rows) check(row, 16, Telnet::Decode);
}

TEST_CASE("line: a backend's bytes stay, and no reply is cut") {
  const Row rows[] = {
      {"IAC is a byte (F13)", "257 \"\xFF\xF4\xFF\xFF\"\r\n", {{"257 \"\xFF\xF4\xFF\xFF\""}}},
      {"NUL becomes a blank (F8)", "220 a\0b\r\n"s, {{"220 a b"}}},
      {"CR becomes a blank (F8)", "220 a\rb\r\n", {{"220 a b"}}},
      {"so does a run of CRs", "220 a\r\rb\r\n", {{"220 a b"}}},
      {"CR NUL", "220 a\r\0b\r\n"s, {{"220 a  b"}}},
      {"CR CR LF ends it", "220 a\r\r\n", {{"220 a"}}},
      {"bare LF", "220-a\n220 b\n", {{"220-a"}, {"220 b"}}},
      {"other control bytes stay", "220 \x1B\x07\r\n", {{"220 \x1B\x07"}}},
      {"too long", "220 0123456789abcdef\r\n200 ok\r\n", {{"", kTooLong}, {"200 ok"}}},
      {"150 and 226 at once (E4)", "150 go\r\n226 end\r\n", {{"150 go"}, {"226 end"}}},
  };
  for (const Row& row : rows) check(row, 16, Telnet::Verbatim);
}

TEST_CASE("line: 8 KiB path fits an 8 KiB limit") {
  const std::string line = "RETR " + std::string(8192 - 5, 'x');
  check({"at the limit (F9)", line + "\r\n", {{line}}}, 8192, Telnet::Verbatim);
}

TEST_CASE("telnet_escaped: doubled only where a server would read a command, and read back by the framer") {
  struct Pair {
    std::string text, sent;
  };
  const Pair rows[] = {
      {"RETR a", "RETR a"},           {"a\xFF", "a\xFF"},
      {"a\xFF\x62", "a\xFF\x62"},     {"a\xFF\xEF", "a\xFF\xEF"},
      {"a\xFF\xF0", "a\xFF\xFF\xF0"}, {"a\xFF\xF4", "a\xFF\xFF\xF4"},
      {"a\xFF\xFF", "a\xFF\xFF\xFF"}, {"\xFF\xFF\xF1", "\xFF\xFF\xFF\xFF\xF1"},
  };
  for (const Pair& row : rows) {
    CAPTURE(escaped(row.text));
    CHECK(telnet_escaped(row.text) == row.sent);
    check({"back", telnet_escaped(row.text) + "\r\n", {{row.text}}}, 100, Telnet::Decode);
  }
}

TEST_CASE("escaped: nothing that forges a log line") {
  struct Pair {
    std::string_view reason;
    std::string text, shown;
  };
  const Pair rows[] = {
      {"plain", "RETR a b~!", "RETR a b~!"},
      {"line end", "a\r\nb", "a\\x0D\\x0Ab"},
      {"NUL, ESC, DEL", "\0\x1B\x7F"s, "\\x00\\x1B\\x7F"},
      {"backslash", "a\\x0A", "a\\x5Cx0A"},
      {"UTF-8 letters", "gr\xC3\xBC\xC3\x9F \xE6\x97\xA5 \xF0\x9F\x93\x81",
       "gr\xC3\xBC\xC3\x9F \xE6\x97\xA5 \xF0\x9F\x93\x81"},
      {"Latin-1", "gr\xFC\xDF", "gr\\xFC\\xDF"},
      {"cut UTF-8", "\xE6\x97", "\\xE6\\x97"},
      {"overlong", "\xC0\x8A\xE0\x80\x8A", "\\xC0\\x8A\\xE0\\x80\\x8A"},
      {"surrogate", "\xED\xA0\x80", "\\xED\\xA0\\x80"},
      {"above Unicode", "\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},
      {"C1 control", "\xC2\x9B", "\\xC2\\x9B"},
      {"right-to-left override", "\xE2\x80\xAE", "\\xE2\\x80\\xAE"},
      {"line separator", "\xE2\x80\xA8", "\\xE2\\x80\\xA8"},
      {"byte order mark", "\xEF\xBB\xBF", "\\xEF\\xBB\\xBF"},
  };
  for (const Pair& row : rows) {
    CAPTURE(row.reason);
    CHECK(escaped(row.text) == row.shown);
  }
}
