#include "observe/log_line.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "ftp/line.h"

namespace pasvgate::observe {
namespace {

using config::LogLevel;

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warn:
      return "warn";
    case LogLevel::Error:
      return "error";
  }
  std::unreachable();
}

std::string_view color_of(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "\x1b[2m";
    case LogLevel::Info:
      return "\x1b[32m";
    case LogLevel::Warn:
      return "\x1b[33m";
    case LogLevel::Error:
      return "\x1b[31m";
  }
  std::unreachable();
}

/// "2026-11-21T10:00:00.123Z"
std::string timestamp(std::chrono::system_clock::time_point now) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     milliseconds);
}

/// `value`, which is escaped, as it stands, or in quotes when a reader could not tell where it ends.
std::string quoted_if_needed(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \"=") == std::string::npos) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

/// `text` as a JSON string. What is no UTF-8 in spite of the escaping is replaced, never thrown at the caller.
std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string text_line(std::chrono::system_clock::time_point now, LogLevel level, std::string_view message,
                      std::span<const Field> fields, LogColor color) {
  const std::string_view paint = color == LogColor::OnTerminal ? color_of(level) : "";
  std::string line = fmt::format("{} {}{:<5}{} {}", timestamp(now), paint, level_name(level),
                                 paint.empty() ? "" : "\x1b[0m", ftp::escaped(message));
  for (const Field& field : fields) {
    line += fmt::format(" {}={}", field.name, quoted_if_needed(ftp::escaped(field.value)));
  }
  return line;
}

std::string json_line(std::chrono::system_clock::time_point now, LogLevel level, std::string_view message,
                      std::span<const Field> fields) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","message":{})", timestamp(now), level_name(level),
                                 json_string(ftp::escaped(message)));
  for (const Field& field : fields) {
    line += fmt::format(",{}:{}", json_string(field.name),
                        field.kind == Field::Kind::Number ? field.value : json_string(ftp::escaped(field.value)));
  }
  return line + '}';
}

}  // namespace pasvgate::observe
