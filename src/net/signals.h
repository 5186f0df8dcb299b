#pragma once

#include <functional>
#include <span>

#include "net/loop.h"

namespace pasvgate::net {

/// Keeps them from this thread and from those that it starts: they wait, for `Signals` or for the process's end.
void hold_signals(std::span<const int> numbers);

/// Signals of the process as events of a loop (signalfd), also those that came since they were held. They stay held
/// behind its end, when one more has nobody left to tell and kills nobody. Made before there are other threads.
/// Equal ones that come before the loop looks are one, as the kernel has it.
class Signals {
 public:
  using Callback = std::move_only_function<void(int)>;

  Signals() = default;
  /// Throws std::runtime_error where the process has no descriptor left, or the kernel watches no more of them.
  Signals(Loop& loop, std::span<const int> numbers, Callback on_signal);
  /// At any time, in its own callback too.
  void close() { waiting_.close(); }

 private:
  Poll waiting_;
};

}  // namespace pasvgate::net
