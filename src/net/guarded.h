#pragma once

#include <uv.h>

#include <mutex>
#include <utility>
#include <vector>

#include "net/async.h"
#include "net/loop.h"

namespace pasvgate::net {

/// Data that threads share, reached only through its lock. Keep the callable short: no callback, no call that waits.
template <typename T>
class Guarded {
 public:
  template <typename... Arguments>
  explicit Guarded(Arguments&&... arguments) : value_(std::forward<Arguments>(arguments)...) {}
  template <typename F>
  decltype(auto) with(F&& use) {
    const std::lock_guard lock(mutex_);
    return std::forward<F>(use)(value_);
  }
  template <typename F>
  decltype(auto) with(F&& use) const {
    const std::lock_guard lock(mutex_);
    return std::forward<F>(use)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

/// Messages to a loop's thread from any other. Delivered in order, each once, on the loop's thread.
template <typename T>
class Mailbox {
 public:
  template <typename F>
  Mailbox(Loop& loop, F on_message)
      : wake_(loop.uv(), [this, on_message = std::move(on_message)]() mutable {
          std::vector<T> messages = box_.with([](Box& box) { return std::exchange(box.queue, {}); });
          for (auto& message : messages) on_message(std::move(message));
        }) {}
  /// From any thread. A message to a closed mailbox dies.
  void post(T message) {
    box_.with([&](Box& box) {
      if (box.closed) return;
      box.queue.push_back(std::move(message));
      wake_.wake();
    });
  }
  /// On the loop's thread. What has arrived and isn't delivered yet dies with the mailbox.
  void close() {
    box_.with([](Box& box) { box.closed = true; });
    wake_.close();
  }

 private:
  struct Box {
    std::vector<T> queue;
    bool closed = false;
  };
  Guarded<Box> box_;
  Async wake_;
};

}  // namespace pasvgate::net
