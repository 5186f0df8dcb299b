#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pasvgate::ftp {

/// Why a line can't be taken as it is.
enum class LineFault : std::uint8_t {
  None,
  TooLong,        ///< Longer than the limit; its text is dropped up to its end.
  ForbiddenByte,  ///< A NUL, or a CR that doesn't end the line: command smuggling.
};

/// One line of a control channel without its end.
struct Line {
  std::string_view text;  ///< Valid until the next call of the framer; empty when `fault` is not None.
  LineFault fault = LineFault::None;
  bool interrupt = false;  ///< A Telnet IP or DM came before or in this line (RFC 959 §4.1.3, ABOR).
};

enum class Telnet : std::uint8_t {
  Decode,   ///< Client to gateway: IAC sequences are removed (RFC 854).
  Verbatim  ///< Backend to gateway: bytes stay as they are.
};

/// Cuts a byte stream into lines. Ends are CRLF or bare LF. Whatever the cuts between the fed pieces, the lines are
/// the same. Keeps at most `limit` bytes of an unfinished line, whatever arrives.
///
/// Telnet::Decode: `IAC IAC` is one 0xFF; IAC WILL/WONT/DO/DONT takes its option byte along; IAC SB … IAC SE goes
/// whole; other IAC commands (0xF0 and above) go; IAC before a byte below 0xF0 is data, both bytes stay.
/// CR CR LF ends a line too (F7). In Verbatim mode a NUL or stray CR is kept as a space (F8: never cut a reply).
class LineFramer {
 public:
  LineFramer(std::size_t limit, Telnet telnet);

  /// Takes bytes from the front of `bytes` up to and including the next line end, and returns that line; nothing
  /// when `bytes` was used up first. Call again until it returns nothing.
  std::optional<Line> next(std::string_view& bytes);

  /// Bytes of an unfinished line are waiting.
  [[nodiscard]] bool is_partial() const;

 private:
  enum class State : std::uint8_t { Text, CarriageReturn, Iac, Option, Subnegotiation, SubnegotiationIac };

  /// One byte in the present state; true when it ends the line.
  bool take(char byte);
  bool take_text(char byte);
  bool take_after_return(char byte);
  bool take_command(char byte);
  void forbidden();
  void put_run(std::string_view& bytes);
  void put(std::string_view text);
  Line finish();

  std::size_t limit_;
  std::string buffer_;
  Telnet telnet_;
  State state_ = State::Text;
  bool delivered_ = false;  ///< `buffer_` holds a line already returned.
  LineFault fault_ = LineFault::None;
  bool interrupt_ = false;
};

/// `text` as it must go to a Telnet-reading server: a 0xFF that such a server would take for a command (before a byte
/// of 0xF0 or more) is doubled, every other byte stays.
std::string telnet_escaped(std::string_view text);

/// `text` for a log or a page: control bytes, backslash and bytes outside printable ASCII as \xNN; UTF-8 letters stay.
std::string escaped(std::string_view text);

}  // namespace pasvgate::ftp
