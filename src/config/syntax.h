#pragma once

#include <expected>
#include <nlohmann/json.hpp>
#include <string_view>

#include "config/read.h"

namespace pasvgate::config {

/// JSON text with // and /* */ comments as a document. Syntax errors have LINE:COLUMN as their place; a key that stands
/// twice in one object has its JSON pointer. `repeated` gets those, beside the document (the last one counts).
std::expected<nlohmann::json, Issue> parse_syntax(std::string_view text, Issues& repeated);

}  // namespace pasvgate::config
