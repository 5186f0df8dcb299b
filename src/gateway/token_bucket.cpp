#include "gateway/token_bucket.h"

#include <algorithm>

namespace pasvgate::gateway {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kUnits = 1000;  // of credit in a byte
constexpr std::int64_t kPortionsPerSecond = 20;
// A packet and a bit; but nobody should wait for more than a second's worth.
constexpr std::int64_t kSmallestPortion = 2048;
// At a gigabyte a second still a thousand turns; larger ones would only leave the line idle in between.
constexpr std::int64_t kLargestPortion = std::int64_t{1024} * 1024;
// A quarter of a portion is taken at once where it is there.
constexpr std::int64_t kGoodPart = 4;
// What may be saved up, so that a timer or a loop that is late costs no speed.
constexpr auto kSaved = 100ms;
// Behind a queue of this length a portion is half as large.
constexpr auto kHalfAt = 100ms;
// The clocks of two threads are read at different times. What is further back is another time.
constexpr auto kClockSkew = 1s;

}  // namespace

TokenBucket::TokenBucket(std::uint64_t rate, Instant now, Start start)
    : rate_(static_cast<std::int64_t>(rate)),
      portion_(std::clamp(rate_ / kPortionsPerSecond, std::min(rate_, kSmallestPortion), kLargestPortion)),
      most_(std::max(rate_ * kSaved.count(), 2 * portion_ * kUnits)),
      credit_(start == Start::OnePortion ? portion_ * kUnits : 0),
      filled_(now) {}

void TokenBucket::fill(Instant now) {
  if (now < filled_) {
    if (filled_ - now > kClockSkew) filled_ = now;
    return;
  }
  const std::int64_t elapsed = (now - filled_).count();
  filled_ = now;
  // Not the product first: after years it wouldn't fit.
  if (elapsed > (most_ - credit_) / rate_) {
    credit_ = most_;
  } else {
    credit_ += elapsed * rate_;
  }
}

std::uint64_t TokenBucket::portion(Instant now) {
  fill(now);
  const std::int64_t there = credit_ / kUnits;
  if (there < portion_ && there >= portion_ / kGoodPart) return static_cast<std::uint64_t>(there);
  // A queue of many would otherwise be so long that a client whose turn it isn't takes the transfer for dead.
  const std::int64_t queue = std::max<std::int64_t>(-credit_, 0) / rate_;
  const std::int64_t share = portion_ * kHalfAt.count() / (kHalfAt.count() + queue);
  return static_cast<std::uint64_t>(std::max(share, std::min(portion_, kSmallestPortion)));
}

Instant TokenBucket::reserve(std::uint64_t bytes, Instant now) {
  fill(now);
  credit_ -= static_cast<std::int64_t>(bytes) * kUnits;
  if (credit_ >= 0) return now;
  return filled_ + Instant((-credit_ + rate_ - 1) / rate_);
}

void TokenBucket::give_back(std::uint64_t bytes) {
  credit_ = std::min(credit_ + (static_cast<std::int64_t>(bytes) * kUnits), most_);
}

}  // namespace pasvgate::gateway
