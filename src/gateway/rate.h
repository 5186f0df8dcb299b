#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "gateway/instant.h"

namespace pasvgate::gateway {

/// So many things in a second, and after a rest so many at once. One number is all that is kept (the generic cell rate
/// algorithm): until when the things that were counted last, each with its share of a second.
class Rate {
 public:
  struct Limit {
    std::size_t per_second;  ///< 1 to 1,000,000
    std::size_t burst;       ///< 1 or more
  };
  /// Counts one more, though it be too many.
  void count(Instant now, const Limit& limit) { busy_until_ = start(now) + share(limit); }
  /// How long until one more isn't too many; 0: now.
  [[nodiscard]] std::chrono::milliseconds wait(Instant now, const Limit& limit) const {
    const std::int64_t early = start(now) - microseconds(now) + share(limit) - share(limit) * burst(limit);
    return std::chrono::milliseconds(early <= 0 ? 0 : (early + 999) / 1000);
  }
  /// From then on it is as if nothing had been counted.
  [[nodiscard]] Instant rested() const { return Instant((busy_until_ + 999) / 1000); }

 private:
  static std::int64_t microseconds(Instant now) { return now.count() * 1000; }
  static std::int64_t share(const Limit& limit) { return 1'000'000 / static_cast<std::int64_t>(limit.per_second); }
  static std::int64_t burst(const Limit& limit) { return static_cast<std::int64_t>(limit.burst); }
  [[nodiscard]] std::int64_t start(Instant now) const {
    return busy_until_ > microseconds(now) ? busy_until_ : microseconds(now);
  }

  std::int64_t busy_until_ = 0;  ///< Microseconds.
};

}  // namespace pasvgate::gateway
