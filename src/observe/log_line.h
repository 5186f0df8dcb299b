#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "config/config.h"

/// What one event looks like in the log. Pure.
namespace pasvgate::observe {

struct Field {
  enum class Kind : std::uint8_t {
    Text,   ///< Raw, from wherever it comes; escaped here.
    Number  ///< A decimal number of ours: no quotes in JSON.
  };
  std::string_view name;
  std::string value;
  Kind kind = Kind::Text;
};

enum class LogColor : std::uint8_t {
  Never,
  OnTerminal  ///< In text that goes to a terminal.
};

/// `2026-11-21T10:00:00.123Z info  session started session=7f3a listener=public client=192.0.2.5:4242`: the message,
/// then name=value. Without a newline.
///
/// What stood in a value can be told from its line: bytes that aren't printable, and every backslash, are \xNN
/// (ftp::escaped); a value with a blank, a quote or "=" in it, or with nothing, is in quotes, and there a quote is \".
std::string text_line(std::chrono::system_clock::time_point now, config::LogLevel level, std::string_view message,
                      std::span<const Field> fields, LogColor color);
/// {"time":…,"level":"info","message":"session started","session":"7f3a",…}, the values' bytes as above.
std::string json_line(std::chrono::system_clock::time_point now, config::LogLevel level, std::string_view message,
                      std::span<const Field> fields);

}  // namespace pasvgate::observe
