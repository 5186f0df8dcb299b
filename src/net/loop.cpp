#include <cstdio>
#include <cstdlib>

#include "net/handle.h"

namespace pasvgate::net {

Loop::Loop() {
  if (const int error = uv_loop_init(&loop_); error != 0) {
    throw std::runtime_error(std::string("event loop: ") + uv_strerror(error));
  }
}

Loop::~Loop() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop_) != 0) {
    // Only a handle whose owner outlived the loop gets here: a broken invariant, which the test builds must not miss.
    std::fputs("a libuv handle outlived its loop:\n", stderr);
    uv_print_all_handles(&loop_, stderr);
    std::abort();
  }
}

}  // namespace pasvgate::net
