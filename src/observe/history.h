#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

#include "observe/status.h"

namespace pasvgate::observe {

/// The points of the charts: the last fifteen minutes, when one is added every five seconds. Pure: the clocks are
/// arguments.
class History {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kInterval{5};
  static constexpr std::size_t kMost = 180;

  explicit History(Clock::time_point start) : last_(start) {}
  /// The bytes are those since the start; the rates are of the time that has passed since the point before, which is
  /// longer than the interval on a machine that was busy or asleep.
  void add(UnixTime time, Clock::time_point now, std::size_t sessions, std::uint64_t downloaded,
           std::uint64_t uploaded);
  [[nodiscard]] const std::deque<Sample>& samples() const { return samples_; }

 private:
  Clock::time_point last_;
  std::uint64_t downloaded_ = 0;
  std::uint64_t uploaded_ = 0;
  std::deque<Sample> samples_;
};

}  // namespace pasvgate::observe
