#pragma once

#include <array>
#include <chrono>
#include <string>

#include "net/pipe_pool.h"
#include "net/relay.h"

namespace pasvgate::net {

/// A relay between two plain legs. The way of a byte: source socket → pipe of its direction → other socket, both by
/// splice(2). What fits into one small read is passed on without a pipe.
class SpliceRelay final : public Relay {
 public:
  SpliceRelay(Loop& loop, PipePool& pool, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener);
  ~SpliceRelay() override;

 private:
  Step fill(ftp::Direction direction, std::size_t most) override;
  Step drain(ftp::Direction direction) override;
  Step read_small(ftp::Direction direction, std::size_t most);
  struct Lane {
    Pipe pipe;         ///< Taken when a first read shows that there is more.
    std::string kept;  ///< Of a small read, what the sink didn't take; before the pipe's bytes.
    bool is_big = false;
  };
  Lane& lane(ftp::Direction direction) { return lanes_.at(static_cast<std::size_t>(direction)); }

  PipePool& pool_;
  std::array<Lane, 2> lanes_;  ///< By Direction.
};

}  // namespace pasvgate::net
