#include "ftp/feat.h"

#include <algorithm>

namespace pasvgate::ftp {
namespace {

constexpr int kFeatCode = 211;
constexpr std::string_view kBlanks = " \t";

// Deeper indentation is a broken server's, and not worth repeating.
constexpr std::size_t kMaxIndent = 16;

bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }

/// The line is `feature`, perhaps with parameters behind it. Case and the number of blanks don't matter.
bool names(std::string_view line, std::string_view feature) {
  std::size_t at = 0;
  for (const char byte : feature) {
    if (at == line.size()) return false;
    if (is_blank(byte)) {
      if (!is_blank(line[at])) return false;
      at = std::min(line.find_first_not_of(kBlanks, at), line.size());
    } else if (upper(line[at++]) != upper(byte)) {
      return false;
    }
  }
  return at == line.size() || is_blank(line[at]) || line[at] == ';';
}

/// A line inside the list without its indentation.
std::string_view feature_of(const ReplyLine& line) {
  return line.text.substr(std::min(line.text.find_first_not_of(kBlanks), line.text.size()));
}

void append_line(std::string& out, std::string_view indent, std::string_view text) {
  out += indent;
  out += text;
  out += "\r\n";
}

}  // namespace

FeatEditor::FeatEditor(const FeatPolicy& policy) : policy_(&policy), seen_(policy.added.size(), false) {}

void FeatEditor::edit(const ReplyLine& line, std::string& out) {
  using Place = ReplyLine::Place;
  if (line.code != kFeatCode) return append_line(out, {}, line.line);
  if (line.place == Place::Only && !policy_->added.empty()) {
    // The backend's "No features" would be untrue above a list.
    out += "211-Features:\r\n";
    add_missing(out);
    out += "211 End\r\n";
    return;
  }
  if (line.place == Place::Middle && !keep(line)) return;
  if (line.place == Place::Last) add_missing(out);
  append_line(out, {}, line.line);
}

bool FeatEditor::keep(const ReplyLine& line) {
  const std::string_view feature = feature_of(line);
  if (feature.empty()) return true;
  learn_indent(line.line.substr(0, line.line.size() - feature.size()));
  const auto is_named = [&](const std::string& name) { return names(feature, name); };
  // A removed line must not count as seen: what the gateway offers under the same name is its own.
  if (std::ranges::any_of(policy_->removed, is_named)) return false;
  if (policy_->is_refused && policy_->is_refused(feature)) return false;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (is_named(policy_->added[i])) seen_[i] = true;
  }
  return true;
}

void FeatEditor::learn_indent(std::string_view indent) {
  if (indent_known_) return;
  indent_known_ = true;
  if (!indent.empty() && indent.size() <= kMaxIndent) indent_ = indent;
}

void FeatEditor::add_missing(std::string& out) {
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (!seen_[i]) append_line(out, indent_, policy_->added[i]);
  }
}

}  // namespace pasvgate::ftp
