#pragma once

#include <chrono>
#include <cstdint>

#include "net/socket.h"

namespace pasvgate::cli {

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGTSTP as something to wait for, from the construction on, so that a command
/// that goes on until it is ended can put the terminal right first. One at a time, in a process of one thread.
class Interrupts {
 public:
  enum class Wish : std::uint8_t { None, End, Pause };

  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// Readable while a signal waits.
  [[nodiscard]] int descriptor() const { return signals_.get(); }
  [[nodiscard]] bool is_waiting() const;
  /// The next signal's wish, or None when none came in time.
  Wish wait(std::chrono::milliseconds timeout) const;

 private:
  net::Fd signals_;
};

/// What SIGTSTP would have done.
void stop_process();

}  // namespace pasvgate::cli
