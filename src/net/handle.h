#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

/// libuv handles as values with one owner; sockets and timers are in loop.h. A wrapper owns one heap block with the uv
/// handle and its callback. Destroying the wrapper marks the block as not owned and calls uv_close; only the close
/// callback frees it. So a wrapper may move and may die inside its own callback, and no callback runs on a dead object.
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

class Signal : public Handle<uv_signal_t, int> {
 public:
  Signal() = default;
  Signal(uv_loop_t& loop, int number, Callback on_signal) : Handle(std::move(on_signal)) {
    uv_signal_init(&loop, uv());
    uv_signal_start(uv(), &Signal::fire, number);
  }
  /// The loop may end while this waits.
  void hold_no_loop() { uv_unref(reinterpret_cast<uv_handle_t*>(uv())); }
};

}  // namespace pasvgate::net
