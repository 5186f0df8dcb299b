#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "net/loop.h"

namespace pasvgate::server {

/// When to write a log line that strangers can bring about as often as they like: once a minute, with the number that
/// it stands for. One worker's.
class SparseLine {
 public:
  explicit SparseLine(const net::Loop& loop) : loop_(loop) {}
  /// One more has happened. How many a line now stands for; 0: no line yet.
  std::size_t count() {
    ++untold_;
    if (loop_.now() < next_) return 0;
    next_ = loop_.now() + static_cast<std::uint64_t>(kPause.count());
    return std::exchange(untold_, 0);
  }

 private:
  static constexpr std::chrono::milliseconds kPause = std::chrono::minutes(1);
  const net::Loop& loop_;
  std::uint64_t next_ = 0;  ///< By the loop's clock.
  std::size_t untold_ = 0;
};

}  // namespace pasvgate::server
