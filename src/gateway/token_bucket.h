#pragma once

#include <cstdint>

#include "gateway/instant.h"

namespace pasvgate::gateway {

/// A limit in bytes per second: of one transfer, or of many that share it.
///
/// Whoever wants to move bytes reserves a portion and waits until it is its own. So those who share a limit have their
/// turns one after another, and each gets the same share. Over any time t no more than rate × t and what had been saved
/// up before, a tenth of a second's worth, is moved. Not thread-safe; knows no time but what it is told.
class TokenBucket {
 public:
  /// What a new one has. Of a limit that outlives its transfers nothing: whoever comes again and again would have it
  /// each time.
  enum class Start : std::uint8_t { OnePortion, Empty };
  /// `rate` in bytes per second, not 0.
  TokenBucket(std::uint64_t rate, Instant now, Start start = Start::OnePortion);
  /// How many bytes are best reserved at one time: a twentieth of a second's worth, less when many wait, and never so
  /// few that moving them costs more than it brings. What is there already is enough when it is a good part of that:
  /// there may be nothing more to wait for.
  [[nodiscard]] std::uint64_t portion(Instant now);
  /// From when on `bytes` more may be moved: `now`, or a later moment. Bytes that have been moved already may be
  /// reserved too; then it is the next one who waits for them.
  Instant reserve(std::uint64_t bytes, Instant now);
  /// What was reserved and wasn't moved.
  void give_back(std::uint64_t bytes);

 private:
  void fill(Instant now);

  // Credit is counted in thousandths of a byte: a millisecond brings `rate_` of them, and nothing is ever rounded.
  std::int64_t rate_;
  std::int64_t portion_;  ///< In bytes.
  std::int64_t most_;
  std::int64_t credit_;  ///< Negative: reserved, and still to come.
  Instant filled_;
};

}  // namespace pasvgate::gateway
