#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "net/loop.h"
#include "net/socket.h"

namespace pasvgate::net {

/// One connection attempt. Ends once, with a connected socket or an error; destroying it gives up.
class Connector {
 public:
  using OnDone = std::move_only_function<void(Result<Fd>)>;
  /// `on_done` never runs before the constructor has returned.
  /// `from`: see connect_tcp.
  Connector(Loop& loop, const ftp::Endpoint& to, std::chrono::milliseconds timeout, OnDone on_done,
            const std::optional<ftp::Endpoint>& from = {});

 private:
  void finish(int error);

  ftp::Endpoint to_;
  Fd socket_;
  std::optional<int> early_;  ///< Known at once: an errno, or 0.
  Poll poll_;
  Timer timer_;
  OnDone on_done_;
};

}  // namespace pasvgate::net
