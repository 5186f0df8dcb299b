#include "net/timer_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using pasvgate::net::TimerQueue;
using Entries = std::vector<TimerQueue::Entry*>;

Entries due(TimerQueue& queue, std::uint64_t now) {
  Entries taken;
  queue.take_due(now, taken);
  return taken;
}

}  // namespace

TEST_CASE("timers fire in the order of their times and once") {
  TimerQueue queue;
  std::array<TimerQueue::Entry, 3> timers;
  queue.start(timers[0], 30);
  queue.start(timers[1], 10);
  queue.start(timers[2], 20);
  CHECK(queue.next() == 10);
  CHECK(due(queue, 9).empty());
  CHECK(due(queue, 25) == Entries{&timers[1], &timers[2]});
  CHECK(due(queue, 25).empty());
  CHECK(queue.next() == 30);
  CHECK(due(queue, 30) == Entries{&timers[0]});
  CHECK(!queue.next());
  CHECK(!queue.has_armed());
}

TEST_CASE("a timer that is started again has only its new time") {
  TimerQueue queue;
  TimerQueue::Entry timer;
  queue.start(timer, 10);
  queue.start(timer, 50);
  CHECK(due(queue, 49).empty());
  CHECK(queue.next() == 50);
  queue.start(timer, 20);
  CHECK(queue.next() == 20);
  CHECK(due(queue, 20) == Entries{&timer});
  queue.start(timer, 60);
  CHECK(due(queue, 60) == Entries{&timer});
}

TEST_CASE("a timer that was stopped doesn't fire and keeps no loop") {
  TimerQueue queue;
  TimerQueue::Entry timer;
  queue.start(timer, 10);
  queue.stop(timer);
  CHECK(!queue.has_armed());
  CHECK(!queue.next());
  CHECK(due(queue, 100).empty());
  queue.start(timer, 10);
  queue.stop(timer);
  queue.start(timer, 200);
  CHECK(due(queue, 199).empty());
  CHECK(due(queue, 200) == Entries{&timer});
}

TEST_CASE("what fires may stop, start or remove what fires behind it") {
  TimerQueue queue;
  std::array<TimerQueue::Entry, 4> timers;
  for (auto& timer : timers) queue.start(timer, 10);
  CHECK(due(queue, 10).size() == 4);
  queue.stop(timers[1]);
  queue.start(timers[2], 20);
  queue.remove(timers[3]);
  CHECK(TimerQueue::fire(timers[0]));
  CHECK(!TimerQueue::fire(timers[0]));
  CHECK(!TimerQueue::fire(timers[1]));
  CHECK(!TimerQueue::fire(timers[2]));
  CHECK(!TimerQueue::fire(timers[3]));
  CHECK(due(queue, 20) == Entries{&timers[2]});
}

TEST_CASE("whatever is done to many timers, those that are due are those that fire") {
  constexpr std::uint64_t kIdle = 0;
  std::mt19937 random(7);  // NOLINT(*-msc51-cpp): the same each time
  TimerQueue queue;
  std::vector<TimerQueue::Entry> timers(300);
  std::vector<std::uint64_t> expected(timers.size(), kIdle);
  std::uint64_t now = 1;
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t index = random() % timers.size();
    switch (random() % 8) {
      case 0:
        queue.stop(timers[index]);
        expected[index] = kIdle;
        break;
      case 1:
        queue.remove(timers[index]);
        expected[index] = kIdle;
        break;
      case 2: {
        now += random() % 20;
        std::uint64_t last = 0;
        for (auto* taken : due(queue, now)) {
          const auto at = static_cast<std::size_t>(taken - timers.data());
          REQUIRE(expected[at] != kIdle);
          REQUIRE(expected[at] <= now);
          REQUIRE(expected[at] >= last);
          last = expected[at];
          expected[at] = kIdle;
        }
        break;
      }
      default:
        expected[index] = now + random() % 500;
        queue.start(timers[index], expected[index]);
    }
    std::uint64_t first = UINT64_MAX;
    for (const auto at : expected) {
      if (at != kIdle) first = std::min(first, at);
    }
    REQUIRE(queue.has_armed() == (first != UINT64_MAX));
    // Never too late.
    if (first != UINT64_MAX) REQUIRE(queue.next().value() <= first);
  }
}
