#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace pasvgate::observe {

/// What each of several who have `counts` to tell may tell, when there is room for `limit`: in proportion, all of the
/// room where there is enough to fill it, and nobody more than it has.
std::vector<std::size_t> shares(std::span<const std::size_t> counts, std::size_t limit);

}  // namespace pasvgate::observe
