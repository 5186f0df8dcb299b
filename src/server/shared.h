#pragma once

#include <atomic>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "gateway/ban_list.h"
#include "gateway/client_table.h"
#include "gateway/port_pool.h"
#include "net/guarded.h"
#include "net/resolver.h"
#include "net/socket.h"
#include "observe/metrics.h"
#include "server/bandwidth.h"
#include "server/groups.h"
#include "server/port_sockets.h"
#include "server/refusals.h"
#include "server/tls_contexts.h"

namespace pasvgate::server {

class Worker;
/// The same clock on all threads.
gateway::Instant monotonic_now();

/// What all workers share. Everything mutable is behind a lock or atomic; no lock is held across I/O.
struct Shared {
  Shared(const config::Config& config, PortSockets reserved, unsigned worker_count, std::uint64_t seed);
  ~Shared();
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  observe::Metrics metrics;
  Groups groups{metrics};
  Bandwidth bandwidth{metrics};
  net::Guarded<gateway::PortPool> pool;
  const PortSockets port_sockets;
  /// The last good answers for the names in `advertise`.
  net::Guarded<std::map<std::string, ftp::Address>> advertised_names;
  /// Backends (by name of their group) that turned out to have no EPSV.
  net::Guarded<std::set<std::string>> without_epsv;
  std::atomic<std::size_t> sessions = 0;
  std::atomic<std::size_t> transfers = 0;  ///< That have both legs now.
  net::Guarded<gateway::ClientTable> clients;
  net::Guarded<gateway::BanList> bans;
  std::atomic<bool> has_bans = false;  ///< Since there was the first one, `bans` is asked.
  Refusals refusals;
  net::LookupSlots login_lookups{2};             ///< Of hosts that logins name: a stranger chooses them.
  std::vector<std::unique_ptr<Worker>> workers;  ///< Fixed before the first thread starts.
};

/// A control socket that a worker accepts on.
struct ListenerSocket {
  config::Listener listener;
  net::Fd socket;
};

// What workers tell each other, and the process tells them.
struct NewConfig {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const TlsContexts> tls;
  std::vector<ListenerSocket> added;  ///< This worker's own sockets of listeners that are new.
};
/// To the owner of a port: open it, then pass the lease on.
struct OpenPort {
  gateway::Lessee lessee;
  gateway::Lease lease;
};
/// To the owner of a port: its number of leases has changed.
struct SyncPort {
  std::size_t index;
};
/// To the lessee's worker.
struct LeaseReady {
  std::uint64_t session;
  gateway::Lease lease;
  bool opened;  ///< False: the port couldn't be opened, the lease is gone.
};
struct DataArrived {
  std::uint64_t session;
  std::uint64_t lease;
  net::Accepted client;
  std::uint16_t port;  ///< Of ours.
};
/// To each worker: open all ports that it owns, for one session more.
struct OpenRange {
  gateway::Lessee lessee;
};
/// To the session's worker.
struct RangeOpened {
  std::uint64_t session;
  bool opened;
};
/// To each worker: one session less has the whole range.
struct SyncRange {};
/// To the worker of a session that holds the whole range: transfers have begun for its client, or none is left. How
/// many the pool knows: such messages may overtake each other.
struct BlindChanged {
  std::uint64_t session;
};
/// From the admin server's threads.
struct Inspect {
  std::function<void(Worker&)> visit;
};
/// To each worker: end the data connections of this client that pass through, unless one of its sessions may still have
/// them.
struct EndBlind {
  ftp::Address client;
};
struct DrainSessions {};
struct StopNow {
  std::shared_ptr<std::latch> done;  ///< Its sessions have ended.
};
using Message = std::variant<NewConfig, OpenPort, SyncPort, LeaseReady, DataArrived, OpenRange, RangeOpened, SyncRange,
                             BlindChanged, EndBlind, Inspect, DrainSessions, StopNow>;

}  // namespace pasvgate::server
