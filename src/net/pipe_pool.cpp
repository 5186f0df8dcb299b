#include "net/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace pasvgate::net {
namespace {

// Measured on splice relays: 1 MiB costs half the CPU of the default 64 KiB for each byte moved, and more brings
// nothing.
constexpr int kPipeBytes = 1024 * 1024;
constexpr std::size_t kIdlePipes = 64;

}  // namespace

Result<Pipe> PipePool::take() {
  if (!idle_.empty()) {
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return std::unexpected(Error{errno, "make a pipe"});
  Pipe pipe{.read = Fd(ends[0]), .write = Fd(ends[1])};
  int capacity = ::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
  if (capacity < 0) capacity = ::fcntl(ends[1], F_GETPIPE_SZ);
  pipe.capacity = capacity > 0 ? static_cast<std::size_t>(capacity) : 4096;
  return pipe;
}

void PipePool::give_back(Pipe pipe) {
  if (idle_.size() < kIdlePipes) idle_.push_back(std::move(pipe));
}

}  // namespace pasvgate::net
