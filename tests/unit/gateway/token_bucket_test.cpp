#include "gateway/token_bucket.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

using namespace std::chrono_literals;
using pasvgate::gateway::Instant;
using pasvgate::gateway::TokenBucket;

namespace {

constexpr std::uint64_t kMiB = 1'048'576;
constexpr Instant kStart = 1000ms;

/// Who moves portion after portion as soon as it may; `late`: how long after that its timer wakes it.
std::uint64_t moved_until(TokenBucket& bucket, Instant begin, Instant end, Instant late = 0ms) {
  std::uint64_t moved = 0;
  Instant now = begin;
  while (true) {
    const auto bytes = bucket.portion(now);
    const Instant due = bucket.reserve(bytes, now);
    if (due > now) now = due + late;
    if (now >= end) {
      bucket.give_back(bytes);
      return moved;
    }
    moved += bytes;
  }
}

}  // namespace

TEST_CASE("bandwidth: a portion is worth its turn, and no wait for it is long") {
  struct Row {
    const char* why;
    std::uint64_t rate;
    std::uint64_t portion;
  };
  for (const auto& [why, rate, portion] : {
           Row{"no second is waited for longer than it lasts", 1, 1},
           Row{"a second's worth", 1024, 1024},
           Row{"about a packet", 4096, 2048},
           Row{"the smallest that is a twentieth", 40'960, 2048},
           Row{"a twentieth of a second's worth", kMiB, kMiB / 20},
           Row{"no larger than a pipe", 100 * kMiB, kMiB},
           Row{"nor at any speed", 1'000'000'000'000, kMiB},
       }) {
    CAPTURE(why);
    TokenBucket bucket(rate, kStart);
    CHECK(bucket.portion(kStart) == portion);
    CHECK(bucket.reserve(portion, kStart) == kStart);  // the first is there at once
    const auto next = bucket.reserve(portion, kStart);
    CHECK(next > kStart);
    CHECK(next <= kStart + 1s);
  }
}

TEST_CASE("bandwidth: what is there is taken at once, unless it is hardly anything") {
  struct Row {
    const char* why;
    std::uint64_t used;
    std::uint64_t portion;
  };
  for (const auto& [why, used, portion] : {
           Row{"a whole one", 0, 50'000},
           Row{"most of one", 10'000, 40'000},
           Row{"a quarter", 37'500, 12'500},
           Row{"less than that: a whole one is waited for", 37'501, 50'000},
           Row{"nothing", 50'000, 50'000},
           Row{"less than nothing, half a queue: of half the size", 150'000, 25'000},
       }) {
    CAPTURE(why);
    TokenBucket bucket(1'000'000, kStart);
    bucket.reserve(used, kStart);
    CHECK(bucket.portion(kStart) == portion);
  }
}

TEST_CASE("bandwidth: the rate holds, over seconds and over a day, with late timers too") {
  struct Row {
    const char* why;
    std::uint64_t rate;
    Instant late;
  };
  for (const auto& [why, rate, late] : {
           Row{"in time", kMiB, 0ms},
           Row{"late by a few milliseconds", kMiB, 7ms},
           Row{"late by as much as may be saved", kMiB, 50ms},
           Row{"a rate that a millisecond's share doesn't divide", 1'000'003, 3ms},
           Row{"slow", 1024, 5ms},
           Row{"fast", 1'000'000'000, 1ms},
       }) {
    CAPTURE(why);
    TokenBucket bucket(rate, kStart);
    const auto portion = bucket.portion(kStart);
    for (const auto length : {3s, 60s}) {
      CAPTURE(length.count());
      TokenBucket fresh(rate, kStart);
      const auto moved = moved_until(fresh, kStart, kStart + length, late);
      const auto ideal = rate * static_cast<std::uint64_t>(length.count());
      CHECK(moved <= ideal + portion);
      CHECK(moved + (2 * portion) + (rate / 100) >= ideal);
    }
    if (rate > kMiB) continue;
    const auto day = moved_until(bucket, kStart, kStart + 24h, late);
    CHECK(day <= (rate * 86'400) + portion);
    CHECK(day + (2 * portion) + (rate / 10) >= rate * 86'400);
  }
}

TEST_CASE("bandwidth: odd reservations at odd times lose nothing by rounding") {
  TokenBucket bucket(1'000'003, kStart);
  const auto portion = bucket.portion(kStart);
  REQUIRE(bucket.reserve(portion, kStart) == kStart);  // what was there
  std::uint64_t moved = 0;
  Instant due = kStart;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const std::uint64_t bytes = 1 + (i * 7919 % 4001);
    moved += bytes;
    due = bucket.reserve(bytes, std::max(kStart, due - Instant(i % 3)));
  }
  // The moment is the first whole millisecond at which all of it is there.
  const auto elapsed = static_cast<std::uint64_t>((due - kStart).count());
  CHECK(elapsed * 1'000'003 >= moved * 1000);
  CHECK((elapsed - 1) * 1'000'003 < moved * 1000);
}

TEST_CASE("bandwidth: what is saved up is bounded, however long nothing moved") {
  struct Row {
    const char* why;
    std::uint64_t rate;
    Instant idle;
    std::uint64_t saved;
  };
  for (const auto& [why, rate, idle, saved] : {
           Row{"nothing yet but what was there", kMiB, 0ms, kMiB / 20},
           Row{"what the time brought", kMiB, 10ms, (kMiB / 20) + (kMiB / 100)},
           Row{"a tenth of a second's worth", kMiB, 10s, kMiB / 10},
           Row{"two portions where that is more", 1024, 1h, 2048},
           Row{"after a hundred years", 1'000'000'000'000, 876'000h, 100'000'000'000},
       }) {
    CAPTURE(why);
    TokenBucket bucket(rate, kStart);
    CHECK(bucket.reserve(saved, kStart + idle) == kStart + idle);
    CHECK(bucket.reserve(rate / 100, kStart + idle) > kStart + idle);
  }
}

TEST_CASE("bandwidth: a clock that is behind another thread's brings nothing, one that was set back begins anew") {
  struct Row {
    const char* why;
    Instant step;
    Instant due;  ///< Of one portion, 50 ms' worth, behind one that was taken at the start.
  };
  for (const auto& [why, step, due] : {
           Row{"the same moment", 0ms, kStart + 50ms},
           Row{"a millisecond behind", -1ms, kStart + 50ms},
           Row{"a second behind is no step yet", -1000ms, kStart + 50ms},
           Row{"set back", -5000ms, kStart - 5000ms + 50ms},
           Row{"an hour forward: it is there", 1h, kStart + 1h},
       }) {
    CAPTURE(why);
    TokenBucket bucket(1000 * 1000, Instant(100h) + kStart);
    const Instant base = Instant(100h);
    REQUIRE(bucket.reserve(50'000, base + kStart) == base + kStart);
    CHECK(bucket.reserve(50'000, base + kStart + step) == base + due);
  }
  // Two threads in turn, one always 5 ms behind: together they get what one would.
  TokenBucket shared(kMiB, kStart);
  std::uint64_t moved = 0;
  for (Instant now = kStart; now < kStart + 10s; now += 1ms) {
    for (const Instant skew : {0ms, 5ms}) {
      const auto bytes = std::uint64_t{1000};
      if (shared.reserve(bytes, now - skew) <= now) {
        moved += bytes;
      } else {
        shared.give_back(bytes);
      }
    }
  }
  CHECK(moved <= (10 * kMiB) + (kMiB / 20));
  CHECK(moved >= 10 * kMiB * 99 / 100);
}

TEST_CASE("bandwidth: what is given back is there again, and never more than may be saved") {
  TokenBucket bucket(kMiB, kStart);
  REQUIRE(bucket.reserve(kMiB / 20, kStart) == kStart);
  const Instant due = bucket.reserve(kMiB, kStart);
  CHECK(due == kStart + 1s);
  bucket.give_back(kMiB);
  CHECK(bucket.reserve(kMiB / 100, kStart) == kStart + 10ms);
  bucket.give_back(100 * kMiB);
  CHECK(bucket.reserve(kMiB / 10, kStart) == kStart);
  CHECK(bucket.reserve(kMiB / 100, kStart) == kStart + 10ms);
}

TEST_CASE("bandwidth: what was moved beyond a reservation is waited for by the next") {
  TokenBucket bucket(1024, kStart);
  REQUIRE(bucket.reserve(1024, kStart) == kStart);
  bucket.reserve(16 * 1024, kStart);  // a whole record of TLS
  CHECK(bucket.reserve(1024, kStart) == kStart + 17s);
}

TEST_CASE("bandwidth: those who share it get the same, and nobody's turn is far") {
  struct Row {
    std::size_t count;
    double
        share;  ///< That the slowest has of what the fastest has: the first of a thousand has a larger first portion.
  };
  for (const auto& [count, share] : {Row{2, 0.98}, Row{10, 0.95}, Row{1000, 0.5}}) {
    CAPTURE(count);
    constexpr std::uint64_t kRate = 10 * kMiB;
    constexpr Instant kEnd = kStart + 60s;
    struct Transfer {
      Instant due;
      std::uint64_t bytes = 0;
      std::uint64_t moved = 0;
    };
    TokenBucket bucket(kRate, kStart);
    std::vector<Transfer> all(count);
    const auto reserve = [&](Transfer& one, Instant now) {
      one.bytes = bucket.portion(now);
      one.due = bucket.reserve(one.bytes, now);
    };
    for (auto& one : all) reserve(one, kStart);
    Instant longest{};
    while (true) {
      auto& next = *std::ranges::min_element(all, {}, &Transfer::due);
      const Instant now = next.due;
      if (now >= kEnd) break;
      next.moved += next.bytes;
      reserve(next, now);
      longest = std::max(longest, next.due - now);
    }
    const auto [least, most] = std::ranges::minmax(all, {}, &Transfer::moved);
    std::uint64_t sum = 0;
    for (const auto& one : all) sum += one.moved;
    CHECK(sum <= (60 * kRate) + (kRate / 10));
    CHECK(sum >= 60 * kRate * 98 / 100);
    CHECK(static_cast<double>(least.moved) >= share * static_cast<double>(most.moved));
    CHECK(longest <= 5s);
  }
}

TEST_CASE("bandwidth: whoever comes again and again has no more than who stays") {
  const auto moved = [](TokenBucket::Start start) {
    std::uint64_t all = 0;
    for (Instant now = kStart; now < kStart + 10s; now += 100ms) {
      TokenBucket fresh(10'000, now, start);
      all += moved_until(fresh, now, now + 100ms);
    }
    return all;
  };
  CHECK(moved(TokenBucket::Start::Empty) <= 100'000);
  CHECK(moved(TokenBucket::Start::OnePortion) > 150'000);
}
