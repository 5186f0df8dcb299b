#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "gateway/instant.h"

namespace pasvgate::gateway {

/// So many things in a second, and after a rest so many at once: each takes up its share of a second, one behind the
/// other (the generic cell rate algorithm). When the limit changes it is as if the new burst had held before.
class Rate {
 public:
  struct Limit {
    std::size_t per_second;  ///< 1 to 1,000,000
    std::size_t burst;       ///< 1 or more
  };
  /// Counts one more, though it be one too many: that is paid for later.
  void count(Instant now, const Limit& limit) {
    busy_ = left(now, limit) + share(limit);
    since_ = microseconds(now);
  }
  /// How long until one more isn't too many; 0: now.
  [[nodiscard]] std::chrono::milliseconds wait(Instant now, const Limit& limit) const {
    const std::int64_t early = left(now, limit) + share(limit) - share(limit) * burst(limit);
    return std::chrono::milliseconds(early <= 0 ? 0 : (early + 999) / 1000);
  }
  /// From then on it is as if nothing had been counted.
  [[nodiscard]] Instant rested() const { return Instant((since_ + busy_ + 999) / 1000); }

 private:
  static std::int64_t microseconds(Instant now) { return now.count() * 1000; }
  static std::int64_t share(const Limit& limit) { return 1'000'000 / static_cast<std::int64_t>(limit.per_second); }
  static std::int64_t burst(const Limit& limit) { return static_cast<std::int64_t>(limit.burst); }
  /// Of what was counted; never more than a burst and one too many, which only an earlier limit could have let in.
  [[nodiscard]] std::int64_t left(Instant now, const Limit& limit) const {
    const std::int64_t most = share(limit) * (burst(limit) + 1);
    return std::max<std::int64_t>(std::min(busy_, most) - (microseconds(now) - since_), 0);
  }

  // Microseconds.
  std::int64_t since_ = 0;  ///< When one was counted last.
  std::int64_t busy_ = 0;   ///< For how long from then on all take that were counted.
};

}  // namespace pasvgate::gateway
