#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cli/admin_values.h"
#include "cli/text_table.h"

/// `pasvgate trace`: values in, text out. Pure.
namespace pasvgate::cli {

/// What a look at a session has beyond the look before. The gateway keeps the last lines only.
struct TraceNews {
  std::size_t first = 0;  ///< Index of the first new line; the number of lines when there's none.
  bool has_gap = false;   ///< Lines between the two looks were gone already.
};
TraceNews trace_news(std::span<const TraceLine> before, std::span<const TraceLine> now);

/// Follows any number of sessions and says what is new at each look.
class TraceFollower {
 public:
  explicit TraceFollower(Color color) : color_(color) {}

  /// New lines of the sessions that run now, and the end of those that don't any more.
  std::string look(const std::vector<SessionTrace>& sessions);
  /// The number of the first new line of each session at the last look, in its order.
  [[nodiscard]] const std::vector<std::size_t>& firsts() const { return firsts_; }
  [[nodiscard]] bool has_sessions() const { return !seen_.empty(); }

 private:
  std::string ended(const std::vector<SessionTrace>& sessions);
  std::string heading(const SessionTrace& session);

  Color color_;
  std::map<std::string, std::vector<TraceLine>> seen_;
  std::vector<std::size_t> firsts_;
  std::string last_;  ///< The session that the last printed line belongs to.
};

}  // namespace pasvgate::cli
