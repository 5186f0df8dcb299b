#include "net/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <utility>

namespace pasvgate::net {
namespace {

sigset_t set_of(std::span<const int> numbers) {
  sigset_t set{};
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

}  // namespace

void hold_signals(std::span<const int> numbers) {
  const sigset_t set = set_of(numbers);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Signals::Signals(Loop& loop, std::span<const int> numbers, Callback on_signal) {
  hold_signals(numbers);
  const sigset_t set = set_of(numbers);
  Fd signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) throw std::runtime_error("signals: no descriptor to hear them");
  const int descriptor = signals.get();
  // The descriptor lives as long as the callback, which outlives its own call.
  waiting_ = Poll(loop, descriptor, [signals = std::move(signals), told = std::move(on_signal)](int status) mutable {
    if (status < 0) throw std::runtime_error("signals: the kernel watches no more descriptors");
    signalfd_siginfo one{};
    if (::read(signals.get(), &one, sizeof one) == static_cast<ssize_t>(sizeof one))
      told(static_cast<int>(one.ssi_signo));
  });
  waiting_.want(UV_READABLE);
  loop.apply_changes();
}

}  // namespace pasvgate::net
