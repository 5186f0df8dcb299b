#pragma once

#include <array>
#include <chrono>

#include "net/pipe_pool.h"
#include "net/relay.h"

namespace pasvgate::net {

/// A relay between two plain legs. The way of a byte: source socket → pipe of its direction → other socket, both by
/// splice(2). Nothing else holds bytes.
class SpliceRelay final : public Relay {
 public:
  SpliceRelay(Loop& loop, PipePool& pool, Fd client, Fd backend, std::chrono::milliseconds stall, Listener& listener);
  ~SpliceRelay() override;

 private:
  Step fill(ftp::Direction direction) override;
  Step drain(ftp::Direction direction) override;
  Step probe(ftp::Direction direction);
  Pipe& pipe(ftp::Direction direction) { return pipes_.at(static_cast<std::size_t>(direction)); }

  PipePool& pool_;
  std::array<Pipe, 2> pipes_;  ///< By Direction.
};

}  // namespace pasvgate::net
