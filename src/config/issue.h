#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace pasvgate::config {

/// `text` in double quotes with everything unprintable escaped, cut when it is long: for messages.
std::string in_quotes(std::string_view text);

/// What was found, for messages: a quoted text, a number, true, false, null, "a list", "an object".
std::string found_text(const nlohmann::json& value);

/// One step of a JSON pointer (RFC 6901 §3), with everything unprintable escaped.
std::string pointer_step(std::string_view key);

/// A command line can't hold it.
inline bool is_control(char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F; }

/// `"a", "b" or "c"`.
std::string quoted_list(std::span<const std::string_view> names, std::string_view last_word);

/// `PROBLEM; did you mean "address"?`, or all that are known when none is near.
std::string with_nearest(std::string_view problem, std::string_view name, std::span<const std::string_view> known);

}  // namespace pasvgate::config
