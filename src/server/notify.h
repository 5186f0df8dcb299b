#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "net/loop.h"

namespace pasvgate::server {

/// systemd's notification socket (sd_notify(3)): READY, RELOADING, STOPPING and the watchdog. Does nothing without one.
class Notify {
 public:
  explicit Notify(net::Loop& loop);
  void ready();
  void reloading();
  void stopping();
  /// Stops the watchdog's timer, so that the loop can end.
  void close() { watchdog_.close(); }

 private:
  void send(std::string_view state) const;
  void feed_watchdog();

  net::Timer watchdog_;
  std::chrono::milliseconds interval_{0};
};

}  // namespace pasvgate::server
