#include "config/syntax.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "config/issue.h"

namespace pasvgate::config {
namespace {

using nlohmann::json;

/// Walks through the text without building anything: finds the syntax error with its place in bytes, and keys given
/// twice, neither of which a parsed document can tell. The overridden names and types are the library's.
class SyntaxCheck : public json::json_sax_t {
 public:
  explicit SyntaxCheck(Issues& repeated) : repeated_(repeated) {}

  std::size_t error_at = 0;  ///< Bytes read when it went wrong.
  std::string error_token;
  std::string error_text;

  bool null() override { return step(); }
  bool boolean(bool /*value*/) override { return step(); }
  bool number_integer(number_integer_t /*value*/) override { return step(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return step(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return step(); }
  bool string(string_t& /*value*/) override { return step(); }
  bool binary(binary_t& /*value*/) override { return step(); }
  bool start_object(std::size_t /*elements*/) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.step = name;
    if (!level.names.insert(name).second) repeated_.push_back({pointer(), "stands twice in this object; keep one"});
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token, const json::exception& error) override {
    error_at = position;
    error_token = token;
    error_text = error.what();
    return false;
  }

 private:
  struct Level {
    std::string step;  // The key that was read last; in a list nothing.
    std::size_t index = 0;
    std::set<std::string, std::less<>> names;
  };

  /// One value of the level is done.
  bool step() {
    if (!levels_.empty()) ++levels_.back().index;
    return true;
  }

  bool open() {
    levels_.emplace_back();
    return true;
  }

  bool close() {
    levels_.pop_back();
    return step();
  }

  [[nodiscard]] std::string pointer() const {
    std::string text;
    for (const Level& level : levels_) {
      text += "/" + (level.names.empty() ? std::to_string(level.index) : pointer_step(level.step));
    }
    return text;
  }

  Issues& repeated_;
  std::vector<Level> levels_;
};

std::string line_and_column(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto lines = std::ranges::count(before, '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0: the first line.
  return std::to_string(lines + 1) + ":" + std::to_string(before.size() - line_start + 1);
}

/// What the library says of an error: `[json.exception.…] parse error at line 3, column 5: syntax error while parsing
/// object - unexpected string literal; expected '}'`, in parts. Without `found` the text itself is broken.
struct Said {
  std::string_view problem;
  std::string_view found;
  std::string_view expected;
};

Said take_apart(std::string_view text) {
  constexpr std::string_view kUnexpected = "unexpected ";
  constexpr std::string_view kExpected = "; expected ";
  for (const std::string_view lead : {"] ", "column ", ": ", " - "}) {
    const std::size_t at = text.find(lead);
    if (at != std::string_view::npos) text.remove_prefix(at + lead.size());
  }
  // What was read last is cut short or too long, as it happens; the place says more.
  const std::string_view problem = text.substr(0, text.find("; last read: "));
  if (!problem.starts_with(kUnexpected)) return {problem, {}, {}};
  const std::size_t expected = problem.find(kExpected);
  const std::string_view found = problem.substr(kUnexpected.size(), expected - kUnexpected.size());
  if (expected == std::string_view::npos) return {problem, found, {}};
  return {problem, found, problem.substr(expected + kExpected.size())};
}

/// `',' or '}' expected, found string literal`.
std::string plain_message(const Said& said) {
  if (said.found.empty()) return std::string(said.problem);
  std::string found = "found " + std::string(said.found);
  if (said.expected.empty()) return found;
  std::string wanted(said.expected);
  // After a value a comma is as good as the end, and is what is missing more often.
  if (wanted == "'}'" || wanted == "']'") wanted = "',' or " + wanted;
  if (wanted == "string literal") wanted = "a key in quotes";
  if (wanted == "'[', '{', or a literal") wanted = "a value";
  return wanted + " expected, " + found;
}

/// Bytes from the token's start to where reading stopped: the library's text of it is right for strings and numbers
/// only.
std::size_t token_size(const Said& said, const SyntaxCheck& check) {
  const bool is_number = said.found == "number literal" || said.problem.starts_with("number overflow");
  if (is_number || said.found == "string literal") return check.error_token.size();
  if (said.found == "true literal" || said.found == "null literal") return 4;
  if (said.found == "false literal") return 5;
  return 1;
}

Issue syntax_issue(std::string_view text, const SyntaxCheck& check) {
  const Said said = take_apart(check.error_text);
  const std::size_t size = token_size(said, check);
  const std::size_t start = check.error_at - std::min(size, check.error_at);
  return {line_and_column(text, std::min(start, text.size())), plain_message(said)};
}

}  // namespace

std::expected<json, Issue> parse_syntax(std::string_view text, Issues& repeated) {
  SyntaxCheck check(repeated);
  if (!json::sax_parse(text.begin(), text.end(), &check, json::input_format_t::json, true, true)) {
    return std::unexpected(syntax_issue(text, check));
  }
  return json::parse(text.begin(), text.end(), nullptr, false, true);
}

}  // namespace pasvgate::config
