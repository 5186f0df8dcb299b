#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/action.h"
#include "net/guarded.h"
#include "net/loop.h"
#include "net/pipe_pool.h"
#include "net/relay.h"
#include "net/stream.h"
#include "server/blind_transfers.h"
#include "server/client_place.h"
#include "server/proxy_intake.h"
#include "server/session_place.h"
#include "server/shared.h"
#include "server/sparse_line.h"

namespace pasvgate::server {

class SessionDriver;

/// One thread with one libuv loop, its own accept sockets, its sessions and the ports of the pool that it owns. A
/// session lives here for its whole life. Other threads reach a worker by `post` alone.
class Worker {
 public:
  /// `on_empty` is called on this worker's thread when it is draining and its last session and blind transfer
  /// have gone.
  Worker(unsigned index, Shared& shared, std::function<void()> on_empty);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  void join();
  /// From any thread.
  void post(Message message) { mailbox_.post(std::move(message)); }

  // For the sessions, on this worker's thread.
  [[nodiscard]] unsigned index() const { return index_; }
  [[nodiscard]] net::Loop& loop() { return loop_; }
  [[nodiscard]] Shared& shared() { return shared_; }
  [[nodiscard]] net::PipePool& pipes() { return pipes_; }
  [[nodiscard]] std::span<char> read_buffer() { return read_buffer_; }
  /// An empty vector, for the time of one event.
  [[nodiscard]] std::vector<gateway::Action> lend_actions() { return std::exchange(actions_, {}); }
  void give_back(std::vector<gateway::Action> actions) { actions_ = std::move(actions); }
  [[nodiscard]] std::size_t random() { return random_(); }

  /// SessionDriver::lease_ready answers, perhaps before this returns; `on_refused` when there is no port now: nothing
  /// when the session waits in turn for one, or why it can't have one.
  void take_lease(gateway::Lessee lessee, const ftp::Address& client, std::optional<std::uint16_t> port,
                  const std::function<void(std::optional<gateway::LeaseFailure>)>& on_refused);
  /// SessionDriver::range_opened answers once for each worker.
  void take_range(std::uint64_t session, const ftp::Address& client);
  void drop_range(std::uint64_t session);
  [[nodiscard]] BlindTransfers& blind_transfers() { return blind_transfers_; }
  /// For connections to an active backend's port that aren't the backend's.
  [[nodiscard]] SparseLine& not_backend() { return not_backend_; }
  enum class LeaseEnd : std::uint8_t { Dropped, Expired };
  /// False when it has ended already.
  bool drop_lease(const gateway::Lease& lease, LeaseEnd why = LeaseEnd::Dropped);
  void stop_waiting(std::uint64_t session);
  // For the admin API, on this worker's thread.
  struct SessionCounts {
    std::size_t transferring = 0;
    std::size_t others = 0;
  };
  [[nodiscard]] SessionCounts session_counts() const;
  /// Those that transfer first.
  [[nodiscard]] std::vector<observe::SessionStatus> status(std::size_t limit) const;
  [[nodiscard]] std::vector<observe::SessionTrace> traces(std::optional<std::uint64_t> session,
                                                          const std::optional<ftp::Address>& client) const;
  /// False when there is none, or it has ended.
  bool end_session(std::uint64_t session);
  void end_sessions_of(const ftp::Cidr& network);

  /// Destroys it in the next turn.
  void retire(std::uint64_t session);
  void retire(std::unique_ptr<net::Relay> relay);
  void retire(std::unique_ptr<net::Stream> stream);

 private:
  // Accepted in one callback, so that a flood of connections leaves the running sessions their turn.
  static constexpr int kAcceptsPerTurn = 64;
  static constexpr std::string_view kNoDescriptors = "no descriptors left, accepting pauses";
  static constexpr std::string_view kUnwatched = "a listening socket can't be watched, accepting pauses";
  struct OpenListener {
    config::Listener settings;
    net::Fd socket;
    net::Poll poll;
  };
  /// One of our ports.
  struct Port {
    std::vector<net::Poll> polls;  ///< By address; made when it is first opened.
    bool is_open = false;
  };
  /// An order to look at every port that this worker owns.
  struct RangeSync {
    std::optional<gateway::Lessee> asked;  ///< Who is told of the end.
    std::size_t due;                       ///< The end: `ports_seen_` then.
    bool synced = true;
  };

  void on(NewConfig message);
  void on(const OpenPort& message);
  void on(const SyncPort& message);
  void on(const LeaseReady& message);
  void on(DataArrived message);
  void on(const OpenRange& message);
  void on(const RangeOpened& message);
  void on(const SyncRange&);
  void on(const BlindChanged& message);
  void on(const EndBlind& message);
  void on(const Inspect& message) { message.visit(*this); }
  void on(const DrainSessions&);
  void on(const StopNow& message);

  void open_listener(ListenerSocket added);
  void prepare(const OpenListener& listener) const;
  void accept_sessions(OpenListener& listener);
  void admit(net::Accepted client, const config::Listener& listener);
  bool may_go_on(net::Accepted& client, const config::Listener& listener);
  void start_session(net::Accepted client, const config::Listener& listener,
                     const std::shared_ptr<const config::Config>& config, const std::shared_ptr<const TlsContexts>& tls,
                     SessionPlace place);
  void turn_away(const net::Accepted& client, const config::Listener& listener, const TurnedAway& why);
  /// For a moment: nothing can be accepted, or a socket that is accepted on can't be watched.
  void pause_accepting(std::string_view why);
  void resume_accepting();

  /// Opens or closes the port as its leases ask. False when it can't be opened.
  bool sync_port(std::size_t index);
  void sync_range(std::optional<gateway::Lessee> asked);
  void sync_some_ports();
  [[nodiscard]] std::size_t owned_ports() const;
  void blind_changed(const ftp::Address& client, int change);
  void await_data(Port& port) const;
  void accept_data(std::size_t index, std::size_t socket);
  bool claim_lease(std::size_t index, net::Accepted client);
  void lease_ended(std::size_t index, const std::vector<gateway::PortPool::Served>& served);
  void give(const gateway::Lessee& lessee, const gateway::Lease& lease);
  void deliver(const gateway::Lessee& lessee, const gateway::Lease& lease, bool opened);
  bool end(SessionDriver& session);
  void bury();
  void end_if_empty();

  const unsigned index_;
  Shared& shared_;
  std::function<void()> on_empty_;
  net::Loop loop_;  // First of the handles' owners: it goes last.
  net::Mailbox<Message> mailbox_;
  net::Timer next_turn_;
  net::Timer accept_pause_;
  net::PipePool pipes_;
  std::vector<char> read_buffer_;
  std::vector<gateway::Action> actions_;
  std::mt19937_64 random_;

  std::shared_ptr<const config::Config> config_;
  std::shared_ptr<const TlsContexts> tls_;
  std::vector<std::unique_ptr<OpenListener>> listeners_;
  std::unordered_map<std::size_t, Port> ports_;  ///< Those that were open once.
  ProxyIntake proxied_sessions_;
  ProxyIntake proxied_data_;
  BlindTransfers blind_transfers_;
  net::Timer range_turn_;
  std::deque<RangeSync> range_syncs_;  ///< By `due`.
  std::size_t ports_seen_ = 0;         ///< For `range_syncs_`, round and round.
  SparseLine pauses_;
  SparseLine strays_;
  SparseLine shut_ports_;
  SparseLine destinations_;
  SparseLine not_backend_;
  bool accepting_paused_ = false;
  std::unordered_map<std::uint64_t, std::unique_ptr<SessionDriver>> sessions_;
  std::vector<std::unique_ptr<SessionDriver>> dead_sessions_;
  std::vector<std::unique_ptr<net::Relay>> dead_relays_;
  std::vector<std::unique_ptr<net::Stream>> dead_streams_;
  std::uint64_t next_session_;
  bool draining_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pasvgate::server
