#pragma once

#include <cstdint>
#include <optional>

#include "net/socket.h"

namespace pasvgate::net {

/// Tells what a thread's turn took of its own from what the kernel gave to other threads meanwhile, while this one was
/// ready to run (`run_delay` in /proc/thread-self/schedstat). Waiting for a lock or a disk is the turn's own. Times are
/// nanoseconds of uv_hrtime; to be made and used on that thread.
///
/// A turn of less than two milliseconds is taken as it is: the kernel is asked at most once in two milliseconds, and
/// twice for a turn that is slow. Where it doesn't say, nothing is taken off.
class RunDelay {
 public:
  RunDelay();
  void turn_begins(std::uint64_t now);
  /// How long it took. Never too little: what can't be told apart counts as its own.
  [[nodiscard]] std::uint64_t turn_ends(std::uint64_t now);

 private:
  [[nodiscard]] std::optional<std::uint64_t> read() const;

  Fd file_;
  std::uint64_t began_ = 0;
  std::uint64_t read_at_ = 0;  ///< When `delay_` was so much.
  std::uint64_t delay_ = 0;
};

}  // namespace pasvgate::net
