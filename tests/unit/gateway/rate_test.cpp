#include "gateway/rate.h"

#include <doctest/doctest.h>

using namespace pasvgate::gateway;
using namespace std::chrono_literals;

namespace {

/// How many go through at once.
int burst(Rate& rate, Instant now, const Rate::Limit& limit) {
  int count = 0;
  for (; rate.wait(now, limit).count() == 0; ++count) rate.count(now, limit);
  return count;
}

}  // namespace

TEST_CASE("a rate: a burst after a rest, then one at a time") {
  const Rate::Limit limit{.per_second = 10, .burst = 5};
  Rate rate;
  CHECK(burst(rate, 1000ms, limit) == 5);
  CHECK(rate.wait(1000ms, limit) == 100ms);
  CHECK(rate.wait(1099ms, limit) == 1ms);
  CHECK(burst(rate, 1100ms, limit) == 1);
  CHECK(burst(rate, 1350ms, limit) == 2);
  CHECK(rate.rested() == 1800ms);
  CHECK(burst(rate, 1800ms, limit) == 5);
  CHECK(burst(rate, 100'000ms, limit) == 5);
}

TEST_CASE("a rate: one that was taken too early is paid for, as by a timer that is early each time") {
  const Rate::Limit limit{.per_second = 100, .burst = 1};
  Rate rate;
  for (int number = 0; number < 100; ++number) rate.count(Instant(number * 9), limit);
  CHECK(rate.wait(Instant(99 * 9), limit) == 20ms);
  rate.count(900ms, limit);
  CHECK(rate.wait(900ms, limit) == 20ms);
  Rate early;
  early.count(0ms, limit);
  early.count(9ms, limit);
  CHECK(early.wait(9ms, limit) == 11ms);
}

TEST_CASE("a rate: a limit that changes holds at once, as if it had held before") {
  struct Row {
    const char* what;
    Rate::Limit before;
    Rate::Limit after;
    Instant later;
    int burst;
  };
  const Row rows[] = {
      {"the old burst is forgotten", {.per_second = 1, .burst = 1000}, {.per_second = 1, .burst = 5}, 2000ms, 1},
      {"and what came since counts", {.per_second = 1, .burst = 1000}, {.per_second = 1, .burst = 5}, 6000ms, 5},
      {"rested long ago", {.per_second = 1, .burst = 1000}, {.per_second = 1, .burst = 5}, 100'000ms, 5},
      {"used up at this moment", {.per_second = 1, .burst = 1000}, {.per_second = 1, .burst = 5}, 0ms, 0},
      {"more a second", {.per_second = 1, .burst = 60}, {.per_second = 100, .burst = 60}, 610ms, 60},
      {"a larger burst", {.per_second = 1, .burst = 5}, {.per_second = 1, .burst = 8}, 0ms, 3},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    Rate rate;
    CHECK(burst(rate, 1000ms, row.before) == static_cast<int>(row.before.burst));
    CHECK(burst(rate, 1000ms + row.later, row.after) == row.burst);
  }
}

TEST_CASE("a rate: in a long time no more than it says, and no less") {
  for (const std::size_t per_second : {1U, 3U, 999U}) {
    CAPTURE(per_second);
    const Rate::Limit limit{.per_second = per_second, .burst = per_second};
    Rate rate;
    std::size_t count = 0;
    for (Instant now{0}; now <= 2000ms; now += 50ms) count += static_cast<std::size_t>(burst(rate, now, limit));
    CHECK(count == 3 * per_second);
  }
  Rate rate;
  const Rate::Limit fastest{.per_second = 1'000'000, .burst = 1'000'000};
  CHECK(burst(rate, 0ms, fastest) == 1'000'000);
  CHECK(rate.wait(0ms, fastest) == 1ms);
}
