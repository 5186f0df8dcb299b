#include "net/signals.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

namespace {

using pasvgate::net::Loop;
using pasvgate::net::Signals;

constexpr std::array kNumbers{SIGUSR1, SIGUSR2};

/// What still waits for this process, and is then gone.
std::vector<int> take_waiting() {
  sigset_t set{};
  for (const int number : kNumbers) sigaddset(&set, number);
  std::vector<int> waiting;
  const timespec at_once{};
  for (int number = 0; (number = sigtimedwait(&set, nullptr, &at_once)) > 0;) waiting.push_back(number);
  return waiting;
}

}  // namespace

TEST_CASE("signals: those that came before the loop, each once") {
  pasvgate::net::hold_signals(kNumbers);
  for (const int number : {SIGUSR2, SIGUSR1, SIGUSR1}) ::kill(::getpid(), number);
  Loop loop;
  Signals signals;
  std::vector<int> told;
  signals = Signals(loop, kNumbers, [&](int number) {
    told.push_back(number);
    if (told.size() == 2) signals.close();
  });
  loop.run();
  CHECK(told == std::vector{SIGUSR1, SIGUSR2});
  CHECK(take_waiting().empty());
}

TEST_CASE("signals: one that raises the next") {
  Loop loop;
  Signals signals;
  int told = 0;
  signals = Signals(loop, kNumbers, [&](int number) {
    if (++told == 3) return signals.close();
    ::kill(::getpid(), number);
  });
  ::kill(::getpid(), SIGUSR1);
  loop.run();
  CHECK(told == 3);
  CHECK(take_waiting().empty());
}

TEST_CASE("signals: behind the end they wait, and nobody is told") {
  Loop loop;
  Signals signals;
  std::vector<int> told;
  signals = Signals(loop, kNumbers, [&](int number) {
    told.push_back(number);
    signals.close();
  });
  for (const int number : kNumbers) ::kill(::getpid(), number);
  loop.run();
  ::kill(::getpid(), SIGUSR1);
  CHECK(told == std::vector{SIGUSR1});
  CHECK(take_waiting() == std::vector{SIGUSR1, SIGUSR2});
}
