#pragma once

#include <vector>

#include "net/socket.h"

namespace pasvgate::net {

/// The two ends of a pipe for splice(2).
struct Pipe {
  Fd read;
  Fd write;
  std::size_t capacity = 0;
};

/// Empty pipes of one worker, made when first needed and used again: making one and giving it its size costs more than
/// a small file. Not thread-safe.
class PipePool {
 public:
  /// Fails when the process is out of descriptors. A pipe that may not grow (fs.pipe-user-pages-soft) keeps its size.
  Result<Pipe> take();
  /// `pipe` must be empty.
  void give_back(Pipe pipe);

 private:
  std::vector<Pipe> idle_;
};

}  // namespace pasvgate::net
