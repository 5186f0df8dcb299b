#include "net/loop.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

namespace {

using namespace std::chrono_literals;
using pasvgate::net::Fd;
using pasvgate::net::Loop;
using pasvgate::net::Poll;
using pasvgate::net::Timer;

/// A loop with timers. Where it has forgotten them, a clock that isn't the loop's ends it, and `is_late`.
struct Bench {
  Loop loop;
  Fd alarm_clock{::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
  Poll watch;
  std::deque<Timer> timers;
  bool is_late = false;
  int turns = 0;

  Bench() {
    const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = 3, .tv_nsec = 0}};
    ::timerfd_settime(alarm_clock.get(), 0, &once, nullptr);
    watch = Poll(loop, alarm_clock.get(), [this](int) {
      is_late = true;
      end();
    });
    watch.want(UV_READABLE);
    loop.on_turn([this](std::chrono::nanoseconds) { ++turns; });
  }
  Timer& add(Timer::Callback on_fire) { return timers.emplace_back(loop, std::move(on_fire)); }
  void end() {
    watch.close();
    for (auto& timer : timers) timer.close();
  }
};

}  // namespace

TEST_CASE("loop: a deadline before the one that the clock is set to") {
  Bench bench;
  Timer& later = bench.add([&] { bench.end(); });
  std::uint64_t asked_at = 0;
  std::uint64_t fired_at = 0;
  Timer& sooner = bench.add([&] {
    fired_at = bench.loop.now();
    bench.end();
  });
  later.start(1h);
  const Fd news(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  Poll poll;
  poll = Poll(bench.loop, news.get(), [&](int) {
    poll.close();
    asked_at = bench.loop.now();
    sooner.start(20ms);
  });
  poll.want(UV_READABLE);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(asked_at > 0);
  CHECK(fired_at >= asked_at + 20);
  CHECK(bench.turns < 10);
}

TEST_CASE("loop: one deadline behind the other") {
  Bench bench;
  int fired = 0;
  Timer* timer = nullptr;
  timer = &bench.add([&] {
    if (++fired == 5) return bench.end();
    timer->start(5ms);
  });
  const std::uint64_t begun = bench.loop.now();
  timer->start(5ms);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(fired == 5);
  CHECK(bench.loop.now() >= begun + 25);
  CHECK(bench.turns < 20);
}

TEST_CASE("loop: a deadline that moves away, for which the clock rings in vain") {
  Bench bench;
  std::uint64_t fired_at = 0;
  Timer& timer = bench.add([&] {
    fired_at = bench.loop.now();
    bench.end();
  });
  const std::uint64_t begun = bench.loop.now();
  timer.start(10ms);
  const Fd news(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  Poll poll;
  poll = Poll(bench.loop, news.get(), [&](int) {
    poll.close();
    timer.start(40ms);
  });
  poll.want(UV_READABLE);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(fired_at >= begun + 40);
  CHECK(bench.turns < 10);
}

TEST_CASE("loop: the next turn comes at once") {
  Bench bench;
  int fired = 0;
  Timer* timer = nullptr;
  timer = &bench.add([&] {
    if (++fired == 1000) return bench.end();
    timer->start(pasvgate::net::kNextTurn);
  });
  const std::uint64_t begun = bench.loop.now();
  timer->start(pasvgate::net::kNextTurn);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(fired == 1000);
  CHECK(bench.loop.now() < begun + 500);
}

TEST_CASE("loop: libuv's own timers") {
  Bench bench;
  struct Fired {
    Bench& bench;
    bool fired = false;
  } told{bench};
  uv_timer_t timer;
  uv_timer_init(&bench.loop.uv(), &timer);
  timer.data = &told;
  uv_timer_start(
      &timer,
      [](uv_timer_t* here) {
        auto& news = *static_cast<Fired*>(here->data);
        news.fired = true;
        news.bench.end();
        uv_close(reinterpret_cast<uv_handle_t*>(here), nullptr);
      },
      20, 0);
  bench.loop.run();
  if (!told.fired) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  CHECK(told.fired);
  CHECK_FALSE(bench.is_late);
  CHECK(bench.turns < 10);
}

TEST_CASE("loop: an event that is wanted once") {
  Bench bench;
  const Fd events(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));  // readable until it is read
  int told = 0;
  Poll poll(bench.loop, events.get(), [&](int) { ++told; });
  poll.want_once(UV_READABLE);
  Timer& again = bench.add([&] {
    CHECK(told == 1);
    poll.want_once(UV_READABLE);
  });
  // Wanted, and taken back before the loop hears of it.
  Timer& taken_back = bench.add([&] {
    CHECK(told == 2);
    poll.want_once(UV_READABLE);
    poll.want(0);
  });
  Timer& last = bench.add([&] {
    CHECK(told == 2);
    bench.end();
    poll.close();
  });
  again.start(20ms);
  taken_back.start(40ms);
  last.start(60ms);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(told == 2);
  CHECK(bench.turns < 10);
}

TEST_CASE("loop: an event that is wanted again by who is told of it, and one that nobody wants any more") {
  Bench bench;
  const Fd first(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  const Fd second(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  int told = 0;
  Poll one;
  Poll other;
  // Both are in one turn's events, and whichever is told first ends the other's wish. It is wanted again at once, and
  // the kernel, which has let go of it, must hear of that.
  const auto take_turns = [&](Poll& mine, Poll& its) {
    if (++told == 100) {
      bench.end();
      one.close();
      other.close();
      return;
    }
    its.want(0);
    its.want_once(UV_READABLE);
    mine.want_once(UV_READABLE);
  };
  one = Poll(bench.loop, first.get(), [&](int) { take_turns(one, other); });
  other = Poll(bench.loop, second.get(), [&](int) { take_turns(other, one); });
  one.want_once(UV_READABLE);
  other.want_once(UV_READABLE);
  bench.loop.run();
  CHECK_FALSE(bench.is_late);
  CHECK(told == 100);
}
