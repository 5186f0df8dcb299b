#include "observe/history.h"

#include <doctest/doctest.h>

using namespace pasvgate::observe;
using namespace std::chrono_literals;

TEST_CASE("history: rates are of the time that has passed") {
  const History::Clock::time_point start{1h};
  const UnixTime day{20'000h};
  History history(start);
  history.add(day, start + 5s, 3, 1000, 50);
  history.add(day + 10s, start + 15s, 4, 3000, 50);  // The machine was busy.
  history.add(day + 9s, start + 15s, 5, 4000, 50);   // No time at all: no rate, rather than one without end.
  history.add(day + 14s, start + 17s, 6, 4000, 150);
  REQUIRE(history.samples().size() == 4);
  const double download[] = {200, 200, 0, 0};
  const double upload[] = {10, 0, 0, 50};
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(history.samples()[i].sessions == i + 3);
    CHECK(history.samples()[i].download == doctest::Approx(download[i]));
    CHECK(history.samples()[i].upload == doctest::Approx(upload[i]));
  }
  CHECK(history.samples()[1].time == day + 10s);
}

TEST_CASE("history: fifteen minutes and no more") {
  const History::Clock::time_point start{};
  History history(start);
  for (std::size_t i = 1; i <= 1000; ++i) {
    history.add(UnixTime(i * History::kInterval), start + i * History::kInterval, i, 0, 0);
  }
  CHECK(history.samples().size() == 180);
  CHECK(history.samples().front().sessions == 821);
  CHECK(history.samples().back().time - history.samples().front().time == 15min - History::kInterval);
}
