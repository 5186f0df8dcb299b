#include "config/nearest.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pasvgate::config {
namespace {

constexpr std::size_t kLongestName = 64;  // The work grows with the square of it.
constexpr std::size_t kLettersPerSlip = 3;

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

/// Letters to insert, remove, replace or swap with their neighbour to make one of the other.
std::size_t slips_between(std::string_view from, std::string_view to) {
  // Rows of the usual table: the two before the current one are all that a swap looks back at.
  std::vector<std::size_t> before_last(to.size() + 1);
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (lower(from[i - 1]) == lower(to[j - 1]) ? 0U : 1U);
      row[j] = std::min({row[j - 1] + 1, last[j] + 1, replaced});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[to.size()];
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> known) {
  if (name.empty() || name.size() > kLongestName) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t best_slips = 0;
  for (const std::string_view each : known) {
    const std::size_t slips = slips_between(name, each);
    if (slips * kLettersPerSlip > std::max(name.size(), each.size())) continue;
    if (!best || slips < best_slips) {
      best = each;
      best_slips = slips;
    }
  }
  return best;
}

}  // namespace pasvgate::config
