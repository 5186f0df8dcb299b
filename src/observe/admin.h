#pragma once

#include <atomic>
#include <expected>
#include <memory>
#include <string>

#include "ftp/address.h"
#include "observe/metrics.h"
#include "observe/status.h"

namespace pasvgate::observe {

/// The admin HTTP server (CivetWeb): /metrics, /healthz (200 while the process runs), /readyz (200 while `ready`, else
/// 503 with a reason), /drained (held until `drained`, then 200), /api/v1 (admin_api.h) and the status page at /. Its
/// threads are few and its own; they touch nothing but `metrics`, `ready` and `source`.
class Admin {
 public:
  /// The error says what was wrong with `address`, as in "admin: can't listen on 127.0.0.1:9121: address already in
  /// use". IPv6 needs a CivetWeb that was built with it (Debian's is not). `metrics`, `ready` and `source` must
  /// outlive the server.
  static std::expected<std::unique_ptr<Admin>, std::string> start(const ftp::Endpoint& address, const Metrics& metrics,
                                                                  const std::atomic<bool>& ready, AdminSource& source);
  ~Admin();
  /// Where it listens: the port that the kernel chose when `address` had port 0.
  [[nodiscard]] ftp::Endpoint address() const;
  /// No session is left, nor will one begin: who waits for that is answered. From any thread.
  void drained();

 private:
  struct State;
  explicit Admin(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pasvgate::observe
