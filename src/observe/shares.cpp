#include "observe/shares.h"

#include <algorithm>
#include <numeric>

namespace pasvgate::observe {

std::vector<std::size_t> shares(std::span<const std::size_t> counts, std::size_t limit) {
  const std::size_t total = std::reduce(counts.begin(), counts.end());
  std::vector<std::size_t> all(counts.begin(), counts.end());
  if (total <= limit) return all;
  for (auto& one : all) one = one * limit / total;
  // Rounded down, less than one each is left; whoever got less than it has takes one.
  std::size_t left = limit - std::reduce(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size() && left > 0; ++i) {
    if (all[i] == counts[i]) continue;
    ++all[i];
    --left;
  }
  return all;
}

}  // namespace pasvgate::observe
