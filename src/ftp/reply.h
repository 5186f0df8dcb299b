#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pasvgate::ftp {

/// One line of a reply and where in its reply it stands (RFC 959 §4.2).
struct ReplyLine {
  enum class Place : std::uint8_t {
    Only,    ///< A whole one-line reply.
    First,   ///< "code-…": more lines follow.
    Middle,  ///< Inside a multi-line reply: text, whatever it looks like.
    Last,    ///< The same code and a blank (or nothing) behind it.
    Stray    ///< Outside any reply, and no reply: a blank line or text without a code.
  };
  Place place = Place::Stray;
  int code = 0;           ///< The reply's code, on Middle lines too; 0 for Stray.
  std::string_view line;  ///< The whole line, without its end.
  std::string_view text;  ///< Behind the code and its separator; the whole line where there is no code.

  [[nodiscard]] bool ends_reply() const { return place == Place::Only || place == Place::Last; }
  [[nodiscard]] bool is_preliminary() const { return code >= 100 && code < 200; }
  [[nodiscard]] bool is_success() const { return code >= 200 && code < 300; }
  [[nodiscard]] bool is_failure() const { return code >= 400; }
};

/// Tells replies apart, line by line; holds no text. A multi-line reply ends only at its own code followed by a blank
/// or the end of the line (F2, F4): a line inside that looks like another reply is text (A21).
class ReplyReader {
 public:
  ReplyLine read(std::string_view line);
  [[nodiscard]] bool is_inside() const { return code_ != 0; }

 private:
  int code_ = 0;  ///< Of the multi-line reply that is open; 0 for none.
};

/// "227 text\r\n".
std::string write_reply(int code, std::string_view text);

}  // namespace pasvgate::ftp
