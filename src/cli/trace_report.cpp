#include "cli/trace_report.h"

#include <algorithm>
#include <cstdio>

namespace pasvgate::cli {
namespace {

constexpr std::size_t kFrom = 7;  // "gateway"

std::string text_of(const TraceLine& line, Color color) {
  char age[64];
  std::snprintf(age, sizeof age, "%10.3f  ", std::clamp(line.age, 0.0, 1e9));
  const bool is_ours = line.from == "gateway";
  std::string from = line.from;
  from.resize(std::max(from.size(), kFrom), ' ');
  return painted({{age, Paint::Dim}, {from + "  ", Paint::Strong}, {line.text, is_ours ? Paint::Warning : Paint::None}},
                 0, color, Glyphs::Unicode) +
         "\n";
}

}  // namespace

TraceNews trace_news(std::span<const TraceLine> before, std::span<const TraceLine> now) {
  // The lines that both have are the end of the one and the beginning of the other.
  for (std::size_t gone = 0; gone < before.size(); ++gone) {
    const auto common = before.subspan(gone);
    if (common.size() <= now.size() && std::ranges::equal(common, now.first(common.size()))) {
      return {common.size(), false};
    }
  }
  return {0, !before.empty()};
}

std::string TraceFollower::heading(const SessionTrace& session) {
  if (last_ == session.id) return {};
  const std::string gap = last_.empty() ? "" : "\n";
  last_ = session.id;
  return gap +
         painted({{"session " + session.id + ", client " + session.client, Paint::Strong}}, 0, color_,
                 Glyphs::Unicode) +
         "\n";
}

std::string TraceFollower::ended(const std::vector<SessionTrace>& sessions) {
  std::string out;
  std::erase_if(seen_, [&](const auto& known) {
    const bool runs = std::ranges::any_of(sessions, [&](const auto& session) { return session.id == known.first; });
    if (!runs) out += "session " + known.first + " has ended\n";
    return !runs;
  });
  return out;
}

std::string TraceFollower::look(const std::vector<SessionTrace>& sessions) {
  std::string out;
  firsts_.clear();
  for (const SessionTrace& session : sessions) {
    const bool is_new = !seen_.contains(session.id);
    auto& before = seen_[session.id];
    const TraceNews news = trace_news(before, session.lines);
    firsts_.push_back(news.first);
    if (is_new || news.first < session.lines.size()) out += heading(session);
    if (news.has_gap) out += "            (lines are missing here: more came than the gateway keeps)\n";
    for (std::size_t i = news.first; i < session.lines.size(); ++i) out += text_of(session.lines[i], color_);
    before = session.lines;
  }
  return out + ended(sessions);
}

}  // namespace pasvgate::cli
