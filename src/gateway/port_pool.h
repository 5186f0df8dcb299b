#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <optional>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "gateway/note.h"

namespace pasvgate::gateway {

/// A passive port that waits for one client's data connection on behalf of one session.
struct Lease {
  std::uint64_t id = 0;          ///< Never used twice.
  std::uint16_t port = 0;        ///< Of the listening range.
  std::uint16_t advertised = 0;  ///< Of the advertised range.
  std::size_t index = 0;         ///< Of the port in the range.
};

/// Who asked for a lease, so that an accepted connection finds its way.
struct Lessee {
  std::uint64_t session = 0;
  unsigned worker = 0;
  bool operator==(const Lessee&) const = default;
};

/// The public passive ports and who waits on each. Random choice: RFC 2577 §8 (port stealing).
///
/// A lease is a pair (port, client address), so one port serves many clients at once; with `data_source` a prefix, the
/// pair is (port, prefix), with "any" the port alone. Of the ports that a client may get, those it used last come
/// last: a stray SYN of its last transfer then finds no lease, and its TIME_WAIT no clash.
///
/// Not thread-safe: all workers share one pool behind net::Guarded. Never blocks and touches no socket: `waiting` tells
/// the owner of a port's socket whether it must be open. What a lease is worth in time is the session driver's timer.
class PortPool {
 public:
  PortPool(const config::PassivePorts& settings, std::size_t leases_per_client, unsigned workers, std::uint64_t seed);

  /// A port that `client` holds no lease on, at random, preferably one owned by the lessee's worker (`index` modulo
  /// workers), so that the connection needn't change threads.
  /// With `port` (of the listening range) that one or none.
  std::expected<Lease, LeaseFailure> take(const ftp::Address& client, Lessee lessee,
                                          std::optional<std::uint16_t> port = {});
  /// A connection from `client` came on port `index`: its lease ends and its holder is told. Without one, whoever took
  /// the whole range for this client, with 0 as the lease. Nothing: neither.
  std::optional<Lessee> claim(std::size_t index, const ftp::Address& client, std::uint64_t* lease_id = nullptr);
  /// From now on every port waits for `client` too.
  void take_range(const ftp::Address& client, Lessee lessee) { ranges_.push_back({key(client), lessee}); }
  void drop_range(Lessee lessee) {
    std::erase_if(ranges_, [&](const Range& one) { return one.lessee == lessee; });
  }
  /// A connection that came so, for a whole range, now moves (1) or has ended (-1). Who has to know: all that hold the
  /// range for this client, when it is the only one.
  std::vector<Lessee> blind_moved(const ftp::Address& client, int change);
  /// What of an address tells clients apart: with `data_source` a prefix that, with "any" nothing.
  [[nodiscard]] ftp::Address key(const ftp::Address& client) const;
  /// A session of this client has the whole range.
  [[nodiscard]] bool has_range(const ftp::Address& client) const;
  /// Of this client, or of all.
  [[nodiscard]] std::size_t blind_transfers(const ftp::Address& client) const;
  [[nodiscard]] bool has_blind_transfers() const { return !blind_by_client_.empty(); }
  /// Gives a lease back. False when it has ended already (claimed in the same moment).
  bool drop(std::uint64_t lease_id);

  /// Queues a lessee whose `take` said Exhausted; one place a session.
  void wait(const ftp::Address& client, Lessee lessee) { waiting_.push_back({client, lessee}); }
  void stop_waiting(Lessee lessee);
  struct Served {
    Lessee lessee;
    Lease lease;
  };
  /// The longest waiting lessee that can have a port now: ask again after each `claim` and `drop` until it says
  /// nothing.
  std::optional<Served> serve_waiting();

  /// Neither claimed nor dropped yet.
  [[nodiscard]] bool holds(std::uint64_t lease_id) const { return leases_.contains(lease_id); }
  [[nodiscard]] std::size_t size() const { return ports_.size(); }
  [[nodiscard]] std::size_t leased() const { return leases_.size(); }
  /// Leases on the port `index`, whole ranges among them.
  [[nodiscard]] std::size_t waiting(std::size_t index) const { return ports_[index].waiting + ranges_.size(); }
  [[nodiscard]] unsigned owner(std::size_t index) const { return static_cast<unsigned>(index % workers_); }

 private:
  struct Port {
    std::size_t waiting = 0;
    /// By client key. Small: a port rarely has more than a few.
    std::unordered_map<ftp::Address, std::uint64_t> lease_by_client;
  };
  struct Held {
    std::size_t index;
    ftp::Address key;
    ftp::Address client;
    Lessee lessee;
  };
  struct Waiting {
    ftp::Address client;
    Lessee lessee;
  };
  struct Range {
    ftp::Address key;
    Lessee lessee;
  };
  struct Client {
    std::size_t leases = 0;
    std::vector<std::size_t> last_used;  ///< Ports, oldest first; at most half of the pool.
  };

  [[nodiscard]] std::expected<std::size_t, LeaseFailure> find(const ftp::Address& key, std::uint16_t port) const;
  std::optional<std::size_t> choose(const ftp::Address& key, const Client& client, unsigned worker);
  void end(std::unordered_map<std::uint64_t, Held>::iterator lease);
  void remember(Client& client, std::size_t index);
  void forget_idle_clients();

  config::PassivePorts settings_;
  std::size_t leases_per_client_;
  unsigned workers_;
  std::mt19937_64 random_;
  std::uint64_t next_id_ = 1;
  std::vector<Port> ports_;
  std::unordered_map<std::uint64_t, Held> leases_;
  std::unordered_map<ftp::Address, Client> clients_;
  std::deque<Waiting> waiting_;
  std::vector<Range> ranges_;  ///< One for each session that passes through.
  /// By client key: which session of its a connection belongs to can't be told.
  std::unordered_map<ftp::Address, std::size_t> blind_by_client_;
};

}  // namespace pasvgate::gateway
