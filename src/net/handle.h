#pragma once

#include <uv.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

/// libuv handles as values with one owner. A wrapper owns one heap block with the uv handle and its callback.
/// Destroying the wrapper marks the block as not owned and calls uv_close; only the close callback frees it. So a
/// wrapper may move and may die inside its own callback, and no callback runs on a dead object.
namespace pasvgate::net {

template <typename Uv, typename... Arguments>
class Handle {
 public:
  using Callback = std::move_only_function<void(Arguments...)>;

  Handle() = default;
  [[nodiscard]] explicit operator bool() const { return block_ != nullptr; }
  /// Closes the handle now; its memory goes when libuv is done with it.
  void close() { block_.reset(); }

 protected:
  struct Block {
    Uv uv{};
    Callback callback;
    bool owned = true;
  };

  explicit Handle(Callback callback) : block_(new Block{.uv = {}, .callback = std::move(callback)}) {
    block_->uv.data = block_.get();
  }
  [[nodiscard]] Uv* uv() const { return &block_->uv; }
  /// An init that failed left nothing to close. Returns the callback.
  Callback forget_uninitialised() { return std::move(std::unique_ptr<Block>(block_.release())->callback); }

  static void fire(Uv* uv, Arguments... arguments) {
    auto* block = static_cast<Block*>(uv->data);
    if (block->owned) block->callback(arguments...);
  }

 private:
  struct CloseThenFree {
    void operator()(Block* block) const noexcept {
      block->owned = false;
      uv_close(reinterpret_cast<uv_handle_t*>(&block->uv),
               [](uv_handle_t* uv) { delete static_cast<Block*>(uv->data); });
    }
  };
  std::unique_ptr<Block, CloseThenFree> block_;
};

class Timer : public Handle<uv_timer_t> {
 public:
  Timer() = default;
  Timer(uv_loop_t& loop, Callback on_fire) : Handle(std::move(on_fire)) { uv_timer_init(&loop, uv()); }
  /// Once, after `delay`; replaces an earlier start.
  void start(std::chrono::milliseconds delay) {
    uv_timer_start(uv(), &Timer::fire, static_cast<std::uint64_t>(delay.count()), 0);
  }
  void stop() { uv_timer_stop(uv()); }
};

/// Readiness of a descriptor, level-triggered. The descriptor must outlive the handle and have no other Poll.
/// The callback gets the UV_READABLE … bits, or a negative status: UV_EBADF for a socket in error; any other, once, for
/// a descriptor that the kernel has no means to watch (memory, fs.epoll.max_user_watches).
class Poll : public Handle<uv_poll_t, int> {
 public:
  Poll() = default;
  Poll(uv_loop_t& loop, int descriptor, Callback on_ready) : Handle(std::move(on_ready)) {
    if (const int error = uv_poll_init(&loop, uv(), descriptor); error != 0) {
      failure_ = Timer(loop, [on_ready = forget_uninitialised(), error]() mutable { on_ready(error); });
      failure_.start(std::chrono::milliseconds(0));
    }
  }
  void close() {
    Handle::close();
    failure_.close();
  }
  /// 0 stops it.
  void want(int events) {
    if (events == wanted_ || !*this) return;
    wanted_ = events;
    if (events == 0) {
      uv_poll_stop(uv());
    } else {
      uv_poll_start(uv(), events,
                    [](uv_poll_t* handle, int status, int ready) { fire(handle, status < 0 ? status : ready); });
    }
  }
  /// libuv has stopped the handle by itself (it does when it reports a negative status).
  void was_stopped() { wanted_ = 0; }

 private:
  int wanted_ = 0;
  Timer failure_;  ///< Tells of an init that failed; what it tells comes from the loop, as all else.
};

/// A wake-up from another thread.
class Async : public Handle<uv_async_t> {
 public:
  Async() = default;
  Async(uv_loop_t& loop, Callback on_wake) : Handle(std::move(on_wake)) {
    if (const int error = uv_async_init(&loop, uv(), &Async::fire); error != 0) {
      forget_uninitialised();
      throw std::runtime_error(std::string("async: ") + uv_strerror(error));
    }
  }
  /// From any thread.
  void wake() { uv_async_send(uv()); }
};

/// Runs in the next turn of the loop, which doesn't sleep before.
class NextTurn : public Handle<uv_idle_t> {
 public:
  NextTurn() = default;
  NextTurn(uv_loop_t& loop, Callback on_turn) : Handle(std::move(on_turn)) { uv_idle_init(&loop, uv()); }
  void start() { uv_idle_start(uv(), &NextTurn::fire); }
  void stop() { uv_idle_stop(uv()); }
};

class Signal : public Handle<uv_signal_t, int> {
 public:
  Signal() = default;
  Signal(uv_loop_t& loop, int number, Callback on_signal) : Handle(std::move(on_signal)) {
    uv_signal_init(&loop, uv());
    uv_signal_start(uv(), &Signal::fire, number);
  }
};

/// One loop. The destructor runs it until the last handle is closed, and a handle that nobody owned any more is a bug:
/// uv_loop_close must say 0.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  [[nodiscard]] uv_loop_t& uv() { return loop_; }
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void stop() { uv_stop(&loop_); }
  /// Milliseconds since some moment, cached by the loop.
  [[nodiscard]] std::uint64_t now() const { return uv_now(&loop_); }

 private:
  uv_loop_t loop_{};
};

}  // namespace pasvgate::net
