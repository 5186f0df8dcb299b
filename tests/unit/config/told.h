#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "config/read.h"

/// Every issue as a line of text, or "ok": whole messages are pinned, so that wording is reviewed.
inline std::string told(const std::expected<pasvgate::config::Config, pasvgate::config::Issues>& read) {
  if (read) return "ok";
  std::string text;
  for (const auto& issue : read.error()) {
    if (!text.empty()) text += '\n';
    text += pasvgate::config::describe(issue, "f");
  }
  return text;
}

/// A good file with `more` keys behind it.
inline std::string file_with(std::string_view more) {
  return R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["a"]}}, )" +
         std::string(more) + "}";
}

struct ToldRow {
  std::string_view reason;
  std::string_view text;
  std::string_view told;
};
