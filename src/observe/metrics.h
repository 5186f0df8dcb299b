#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/note.h"

namespace pasvgate::observe {

/// Every metric of the gateway, declared here only (design §11). Handles are looked up at start and held: no call
/// on a byte's way builds a label or allocates. All calls are thread-safe. Labels are of bounded size: never an
/// address, a user or a path.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void session_started();
  void session_ended(gateway::EndReason reason, std::chrono::nanoseconds duration);
  void note(const gateway::Note& note);  ///< Counts what the core reports.

  enum class DataResult : std::uint8_t { Ok, Refused, Timeout, Failed };
  void data_connection(gateway::Leg leg, gateway::Mode mode, DataResult result);
  enum class Rejected : std::uint8_t { NoLease, SessionGone, NotBackend };
  void data_rejected(Rejected reason);
  /// As net::ProxyResult.
  enum class ProxyHeader : std::uint8_t { Ok, Own, Malformed, Timeout, Closed };
  void proxy_header(ProxyHeader result);
  void transfer_bytes(ftp::Direction direction, std::uint64_t bytes);  ///< Once for each chunk moved.
  void transfer_duration(std::chrono::nanoseconds duration);

  enum class LeaseEvent : std::uint8_t { Taken, Accepted, Expired, Dropped, Exhausted, ClientLimit };
  void lease(LeaseEvent event);
  void ports_leased(std::int64_t change);
  void ports_size(std::size_t size);

  // `server` is its address and port; its series are there from the first of these calls until server_gone.
  void backend_up(std::string_view backend, std::string_view server, bool up);
  void backend_sessions(std::string_view backend, std::string_view server, std::size_t count);
  enum class CheckResult : std::uint8_t { Ok, Failed, Timeout };
  void backend_check(std::string_view backend, std::string_view server, CheckResult result);
  void server_gone(std::string_view backend, std::string_view server);
  void backend_connected(std::chrono::nanoseconds duration);

  /// `version` is OpenSSL's name of it ("TLSv1.3"), empty for a handshake that failed.
  void tls_handshake(gateway::Leg leg, std::string_view version, bool resumed);
  /// When each of these files' certificates expires, in seconds since 1970; of no other file anything is told any more.
  void certificate_expiries(const std::map<std::string, std::int64_t>& files);

  enum class Limit : std::uint8_t {
    Sessions,
    Descriptors,
    Destination,
    Ban,
    BandwidthTransfer,
    BandwidthSession,
    BandwidthUser,
    BandwidthListener,
    Clients,  ///< Of `policy`, as Policy.
    SessionsPerClient,
    SessionsPerUser,
    ConnectionsPerSecond,
    CommandsPerSecond,
    FailedLogins,
    Policy  ///< A command was refused.
  };
  void limit_hit(Limit limit);
  void bans(std::size_t active);
  void config_reload(bool ok, std::chrono::system_clock::time_point now);

  struct Totals {
    std::uint64_t sessions;
    std::uint64_t downloaded;
    std::uint64_t uploaded;
  };
  [[nodiscard]] Totals totals() const;

  /// The Prometheus text format of all of it.
  [[nodiscard]] std::string scrape() const;

  /// Takes the time of each turn of the worker's loop: nothing else of its sessions moves meanwhile.
  using TurnObserver = std::function<void(std::chrono::nanoseconds)>;
  [[nodiscard]] TurnObserver worker_turns(unsigned worker);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pasvgate::observe
