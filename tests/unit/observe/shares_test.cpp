#include "observe/shares.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string_view>
#include <vector>

using pasvgate::observe::shares;
using Counts = std::vector<std::size_t>;

TEST_CASE("shares: room among several") {
  struct Row {
    std::string_view reason;
    Counts counts;
    std::size_t limit;
    Counts got;
  };
  const Row rows[] = {
      {"there is room for all", {3, 0, 4}, 7, {3, 0, 4}},
      {"more than enough", {3, 4}, 500, {3, 4}},
      {"in proportion", {100, 300}, 8, {2, 6}},
      {"what is left goes to whoever has more", {1, 1, 1}, 2, {1, 1, 0}},
      {"nobody gets more than it has", {0, 5, 0, 5}, 3, {0, 2, 0, 1}},
      {"none", {5, 5}, 0, {0, 0}},
      {"nobody", {}, 5, {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(shares(row.counts, row.limit) == row.got);
  }
}

TEST_CASE("shares: all of the room, and no more") {
  for (std::size_t limit = 0; limit < 60; ++limit) {
    const Counts counts{7, 0, 31, 1, 13};
    const Counts got = shares(counts, limit);
    CHECK(std::reduce(got.begin(), got.end()) == std::min<std::size_t>(limit, 52));
    for (std::size_t i = 0; i < counts.size(); ++i) CHECK(got[i] <= counts[i]);
  }
}
