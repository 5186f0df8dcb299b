#include "observe/log_line.h"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

using namespace pasvgate::observe;
using pasvgate::config::LogLevel;

namespace {

const std::chrono::system_clock::time_point kNow{std::chrono::milliseconds(1'795'255'200'123)};

std::string text_of(std::string_view value) {
  const std::array<Field, 1> fields{{{"v", std::string(value)}}};
  return text_line(kNow, LogLevel::Info, "m", fields, LogColor::Never);
}

/// \xNN back to bytes.
std::string bytes_of(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\\x") {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// The values of a text line, as a reader takes them out who knows what log_line.h says.
std::vector<std::string> values_of(std::string_view line) {
  std::vector<std::string> values;
  for (std::size_t at = line.find('='); at != std::string_view::npos; at = line.find('=', at)) {
    ++at;
    std::string value;
    const bool is_quoted = line.substr(at).starts_with('"');
    if (is_quoted) ++at;
    for (; at < line.size() && line[at] != (is_quoted ? '"' : ' '); ++at) {
      if (line.substr(at, 2) == "\\\"") ++at;
      value += line[at];
    }
    values.push_back(bytes_of(value));
  }
  return values;
}

const std::vector<std::string_view> kHostile = {"plain",
                                                "",
                                                "two words",
                                                "a=b",
                                                "a\"b",
                                                "\"",
                                                "\\",
                                                "\\\"",
                                                "a\\\" b=c",
                                                "ends with a backslash \\",
                                                "\\x41",
                                                "C:\\x5Cdir\\file",
                                                "line\r\n2026-11-21T10:00:00.000Z error forged",
                                                "\x1B[2J\x7F\x9B",
                                                "gr\xC3\xB6\xC3\x9F"
                                                "e",
                                                "\xFF\xFE latin",
                                                " level=error "};

}  // namespace

TEST_CASE("log line: text") {
  struct Row {
    std::string_view reason, value, shown;
  };
  const Row rows[] = {
      {"a word", "abc", "abc"},
      {"nothing", "", "\"\""},
      {"a blank", "a b", "\"a b\""},
      {"what looks like a field", "a=b", "\"a=b\""},
      {"a quote", "a\"b", "\"a\\\"b\""},
      {"a backslash is told from an escape", "\\x41", "\\x5Cx41"},
      {"also in quotes", "a \\\" b", "\"a \\x5C\\\" b\""},
      {"a line's end", "a\r\nb", "a\\x0D\\x0Ab"},
      {"an escape sequence", "\x1B[2J", "\\x1B[2J"},
      {"UTF-8", "gr\xC3\xB6\xC3\x9F", "gr\xC3\xB6\xC3\x9F"},
      {"no UTF-8", "\xFF", "\\xFF"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(text_of(row.value) == "2026-11-21T10:00:00.123Z info  m v=" + std::string(row.shown));
  }
}

TEST_CASE("log line: what stood in the values comes out of both formats again") {
  for (const auto one : kHostile) {
    for (const auto other : kHostile) {
      CAPTURE(one);
      CAPTURE(other);
      const std::array<Field, 2> fields{{{"a", std::string(one)}, {"b", std::string(other)}}};
      const std::string text = text_line(kNow, LogLevel::Warn, "m", fields, LogColor::Never);
      CHECK(text.find_first_of("\r\n\x1B\x7F") == std::string::npos);
      CHECK(values_of(text) == std::vector{std::string(one), std::string(other)});
      const auto json = nlohmann::json::parse(json_line(kNow, LogLevel::Warn, "m", fields));
      CHECK(bytes_of(json["a"].get<std::string>()) == one);
      CHECK(bytes_of(json["b"].get<std::string>()) == other);
    }
  }
}

TEST_CASE("log line: JSON, numbers and colors") {
  const std::array<Field, 2> fields{{{"a", "x\"y"}, {"n", "1.5", Field::Kind::Number}}};
  CHECK(json_line(kNow, LogLevel::Error, "it broke", fields) ==
        R"({"time":"2026-11-21T10:00:00.123Z","level":"error","message":"it broke","a":"x\"y","n":1.5})");
  CHECK(text_line(kNow, LogLevel::Warn, "m", {}, LogColor::OnTerminal) ==
        "2026-11-21T10:00:00.123Z \x1b[33mwarn \x1b[0m m");
}
