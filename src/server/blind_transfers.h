#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/loop.h"
#include "net/pace.h"
#include "net/pipe_pool.h"
#include "net/socket.h"
#include "observe/metrics.h"

namespace pasvgate::server {

/// The data connections of sessions whose control channel passes through encrypted: each goes on to the backend's port
/// of the same number, and nobody here knows what it is for. One worker's; a transfer may outlive its session, since
/// several sessions of a client can't be told apart here.
class BlindTransfers {
 public:
  /// One of the client's has begun (1) or ended (-1).
  using OnCount = std::function<void(const ftp::Address& client, int change)>;
  BlindTransfers(net::Loop& loop, net::PipePool& pipes, observe::Metrics& metrics, OnCount on_count);
  ~BlindTransfers();

  struct Way {
    ftp::Address client;
    ftp::Endpoint to;
    std::string header;  ///< That the backend gets first; may be empty.
    std::chrono::milliseconds connect;
    std::chrono::milliseconds stall;
    std::unique_ptr<net::Pace> pace;  ///< None: there is no limit.
  };
  void begin(net::Fd client, Way way);
  [[nodiscard]] bool empty() const { return transfers_.empty(); }
  /// Resets those of the clients that are meant.
  void end(const std::function<bool(const ftp::Address& client)>& is_meant);
  /// Resets all, without a word.
  void clear();

 private:
  class Transfer;
  void ended(Transfer& transfer);

  net::Loop& loop_;
  net::PipePool& pipes_;
  observe::Metrics& metrics_;
  OnCount on_count_;
  net::Timer next_turn_;
  std::vector<std::unique_ptr<Transfer>> transfers_;
  std::vector<std::unique_ptr<Transfer>> dead_;  ///< Until the next turn: they may be the ones that are calling.
};

}  // namespace pasvgate::server
