#include "cli/interrupts.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

namespace pasvgate::cli {
namespace {

sigset_t waited_for() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Interrupts::Interrupts() {
  const sigset_t set = waited_for();
  signals_ = net::Fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) throw std::runtime_error("can't wait for signals");
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

Interrupts::~Interrupts() {
  const sigset_t set = waited_for();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

bool Interrupts::is_waiting() const {
  pollfd one{signals_.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

Interrupts::Wish Interrupts::wait(std::chrono::milliseconds timeout) const {
  pollfd one{signals_.get(), POLLIN, 0};
  if (::poll(&one, 1, static_cast<int>(timeout.count())) <= 0) return Wish::None;
  signalfd_siginfo signal{};
  if (::read(signals_.get(), &signal, sizeof signal) != static_cast<ssize_t>(sizeof signal)) return Wish::None;
  return signal.ssi_signo == SIGTSTP ? Wish::Pause : Wish::End;
}

void stop_process() { ::raise(SIGSTOP); }

}  // namespace pasvgate::cli
