#include "config/issue.h"

#include <cstddef>

#include "config/nearest.h"
#include "config/read.h"

namespace pasvgate::config {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestFound = 60;

/// The JSON text of a string. A flag may hold bytes that are no UTF-8, hence `replace`.
std::string json_text(std::string_view text) { return json(text).dump(-1, ' ', false, json::error_handler_t::replace); }

/// At most kLongestFound bytes, whole characters only.
std::string_view shortened(std::string_view text) {
  if (text.size() <= kLongestFound) return text;
  std::size_t end = kLongestFound;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

std::string in_quotes(std::string_view text) {
  const std::string_view shown = shortened(text);
  std::string out = json_text(shown);
  if (shown.size() < text.size()) out.insert(out.size() - 1, "...");
  return out;
}

std::string found_text(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

std::string pointer_step(std::string_view key) {
  std::string step;
  const std::string escaped = json_text(shortened(key));
  for (const char byte : std::string_view(escaped).substr(1, escaped.size() - 2)) {
    if (byte == '~') {
      step += "~0";
    } else if (byte == '/') {
      step += "~1";
    } else {
      step += byte;
    }
  }
  return step;
}

std::string quoted_list(std::span<const std::string_view> names, std::string_view last_word) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " " + std::string(last_word) + " " : ", ";
    out += in_quotes(names[i]);
  }
  return out;
}

std::string with_nearest(std::string_view problem, std::string_view name, std::span<const std::string_view> known) {
  std::string message(problem);
  if (const auto meant = nearest(name, known)) return message + "; did you mean " + in_quotes(*meant) + "?";
  return message + "; there is " + quoted_list(known, "and");
}

std::string describe(const Issue& issue, std::string_view file) {
  if (issue.where.starts_with("--") || issue.where.starts_with("PASVGATE_")) return issue.where + ": " + issue.message;
  std::string text(issue.file.empty() ? file : issue.file);
  if (!issue.where.empty()) {
    const bool is_syntax = issue.where.front() != '/';
    text += is_syntax ? ":" : ": ";
    text += issue.where;
  }
  return text + ": " + issue.message;
}

}  // namespace pasvgate::config
