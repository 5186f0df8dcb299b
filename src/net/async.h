#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace pasvgate::net {

/// A wake-up from another thread. It owns one heap block with libuv's handle and the callback; destroying it marks the
/// block as not owned and calls uv_close, and only the close callback frees it. So it may move and may die inside its
/// own callback, and no callback runs on a dead object.
class Async {
 public:
  using Callback = std::move_only_function<void()>;

  Async() = default;
  /// Throws std::runtime_error where the process has no descriptor left.
  Async(uv_loop_t& loop, Callback on_wake) : block_(new Block{.uv = {}, .callback = std::move(on_wake)}) {
    block_->uv.data = block_.get();
    if (const int error = uv_async_init(&loop, &block_->uv, &Async::fire); error != 0) {
      const std::unique_ptr<Block> nothing_to_close(block_.release());
      throw std::runtime_error(std::string("async: ") + uv_strerror(error));
    }
  }
  [[nodiscard]] explicit operator bool() const { return block_ != nullptr; }
  /// Closes the handle now; its memory goes when libuv is done with it.
  void close() { block_.reset(); }
  /// From any thread.
  void wake() { uv_async_send(&block_->uv); }

 private:
  struct Block {
    uv_async_t uv{};
    Callback callback;
    bool owned = true;
  };
  struct CloseThenFree {
    void operator()(Block* block) const noexcept {
      block->owned = false;
      uv_close(reinterpret_cast<uv_handle_t*>(&block->uv),
               [](uv_handle_t* uv) { delete static_cast<Block*>(uv->data); });
    }
  };
  static void fire(uv_async_t* uv) {
    auto* block = static_cast<Block*>(uv->data);
    if (block->owned) block->callback();
  }

  std::unique_ptr<Block, CloseThenFree> block_;
};

}  // namespace pasvgate::net
