#include "server/worker.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>
#include <utility>

#include "observe/log.h"
#include "server/destination.h"
#include "server/session_driver.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kReadBuffer = std::size_t{64} * 1024;
// Accepted in one callback, so that a flood of connections leaves the running sessions their turn.
constexpr int kAcceptsPerTurn = 64;
constexpr int kPortBacklog = 128;
// Without descriptors accept fails at once, again and again: so it isn't tried for a while.
constexpr auto kAcceptPause = 100ms;

bool out_of_descriptors(int code) { return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM; }

// Session ids are random in their upper half, so that those of two runs of the process don't meet in a log.
std::uint64_t first_session_id(unsigned worker) {
  std::random_device entropy;
  return (static_cast<std::uint64_t>(entropy()) << 32U) | (static_cast<std::uint64_t>(worker) << 24U);
}

}  // namespace

Shared::Shared(const config::Config& config, PortSockets reserved, unsigned worker_count, std::uint64_t seed)
    : pool(config.passive_ports, config.limits.leases_per_client, worker_count, seed),
      port_sockets(std::move(reserved)) {}

Shared::~Shared() = default;

Worker::Worker(unsigned index, Shared& shared, std::function<void()> on_empty)
    : index_(index),
      shared_(shared),
      on_empty_(std::move(on_empty)),
      mailbox_(loop_, [this](Message message) { std::visit([this](auto& one) { on(std::move(one)); }, message); }),
      next_turn_(loop_.uv(), [this] { bury(); }),
      accept_pause_(loop_, [this] { resume_accepting(); }),
      read_buffer_(kReadBuffer),
      random_(std::random_device{}()),
      proxied_sessions_(loop_, shared.metrics),
      proxied_data_(loop_, shared.metrics),
      blind_transfers_(loop_, pipes_, shared.metrics,
                       [this](const ftp::Address& client, int change) { blind_changed(client, change); }),
      next_session_(first_session_id(index)) {
  loop_.on_turn(shared.metrics.worker_turns(index));
}

Worker::~Worker() = default;

void Worker::start() {
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::join() { thread_.join(); }

// Listeners, sessions.

void Worker::on(NewConfig message) {
  config_ = std::move(message.config);
  tls_ = std::move(message.tls);
  std::erase_if(listeners_, [&](const auto& open) {
    return std::ranges::none_of(config_->listeners,
                                [&](const config::Listener& kept) { return kept.address == open->settings.address; });
  });
  for (auto& open : listeners_) {
    for (const auto& kept : config_->listeners) {
      if (kept.address == open->settings.address) open->settings = kept;
    }
    prepare(*open);
  }
  for (auto& added : message.added) open_listener(std::move(added));
}

void Worker::open_listener(ListenerSocket added) {
  auto open = std::make_unique<OpenListener>(std::move(added.listener), std::move(added.socket), net::Poll{});
  open->poll = net::Poll(loop_, open->socket.get(), [this, here = open.get()](int) { accept_sessions(*here); });
  if (!accepting_paused_) open->poll.want(UV_READABLE);
  prepare(*open);
  listeners_.push_back(std::move(open));
}

void Worker::prepare(const OpenListener& listener) const {
  if (listener.settings.mode != config::ListenerMode::Transparent) return;
  const auto made = net::make_transparent(listener.socket);
  if (made || index_ != 0) return;
  observe::log(config::LogLevel::Info, "transparent for nftables' redirect only, not for tproxy",
               {{"listener", listener.settings.name}, {"error", made.error().text()}});
}

void Worker::accept_sessions(OpenListener& listener) {
  for (int count = 0; count < kAcceptsPerTurn; ++count) {
    auto accepted = net::accept_tcp(listener.socket);
    if (accepted) {
      admit(std::move(*accepted), listener.settings);
      continue;
    }
    if (out_of_descriptors(accepted.error().code)) pause_accepting();
    // ECONNABORTED and its like: that client is gone, the next one is not.
    if (accepted.error().code == EAGAIN || out_of_descriptors(accepted.error().code)) return;
  }
}

void Worker::admit(net::Accepted client, const config::Listener& listener) {
  SessionPlace place(shared_.sessions);
  if (place.others() >= config_->limits.sessions) {
    shared_.metrics.limit_hit(observe::Metrics::Limit::Sessions);
    shared_.refusals.add(client.peer.address, "session", "limits.sessions is reached");
    static constexpr std::string_view kFull = "421 Too many sessions, try again later.\r\n";
    ::send(client.socket.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL);
    return;
  }
  if (!may_go_on(client, listener)) return;
  if (!ftp::holds(listener.proxy_from, client.peer.address)) {
    return start_session(std::move(client), listener, config_, tls_, std::move(place));
  }
  // A reload meanwhile may take the listener away; the session is still one of the configuration that it came to.
  proxied_sessions_.take(
      std::move(client), config_->timeouts.proxy_header,
      [this, listener, config = config_, tls = tls_, place = std::move(place)](net::Accepted told) mutable {
        start_session(std::move(told), listener, config, tls, std::move(place));
      });
}

/// The client of a transparent listener has dialled another server: is it one that it may reach?
bool Worker::may_go_on(net::Accepted& client, const config::Listener& listener) {
  if (listener.mode != config::ListenerMode::Transparent) return true;
  const auto destination = destination_of(client.socket, listener, *config_);
  if (destination) {
    client.told = *destination;
    return true;
  }
  const auto& [to, why] = destination.error();
  shared_.metrics.limit_hit(observe::Metrics::Limit::Destination);
  shared_.refusals.add(client.peer.address, "destination " + to.text(), std::string(why));
  observe::log(config::LogLevel::Warn, "destination refused",
               {{"client", client.peer.text()}, {"destination", to.text()}, {"why", std::string(why)}});
  static constexpr std::string_view kRefused = "421 This server can't be reached from here.\r\n";
  if (listener.tls != config::ClientTls::Implicit) {
    ::send(client.socket.get(), kRefused.data(), kRefused.size(), MSG_NOSIGNAL);
  }
  return false;
}

void Worker::start_session(net::Accepted client, const config::Listener& listener,
                           const std::shared_ptr<const config::Config>& config,
                           const std::shared_ptr<const TlsContexts>& tls, SessionPlace place) {
  if (shared_.has_bans && shared_.bans.with([&](const gateway::BanList& bans) {
        return bans.holds(client.peer.address, monotonic_now());
      })) {
    shared_.metrics.limit_hit(observe::Metrics::Limit::Ban);
    shared_.refusals.add(client.peer.address, "session", "the client is banned");
    return client.socket.reset();
  }
  const std::uint64_t id = next_session_++;
  auto session = std::make_unique<SessionDriver>(*this, id, std::move(client), listener, config, tls);
  auto& here = *session;
  sessions_.emplace(id, std::move(session));
  place.release();  // `bury` gives it back
  here.begin();
}

void Worker::pause_accepting() {
  if (accepting_paused_) return;
  accepting_paused_ = true;
  shared_.metrics.limit_hit(observe::Metrics::Limit::Descriptors);
  observe::log(config::LogLevel::Error, "no descriptors left, accepting pauses");
  for (auto& listener : listeners_) listener->poll.want(0);
  for (auto& [index, polls] : open_ports_) {
    for (auto& poll : polls) poll.want(0);
  }
  accept_pause_.start(kAcceptPause);
}

void Worker::resume_accepting() {
  accepting_paused_ = false;
  for (auto& listener : listeners_) listener->poll.want(UV_READABLE);
  for (auto& [index, polls] : open_ports_) {
    for (auto& poll : polls) poll.want(UV_READABLE);
  }
}

void Worker::retire(std::uint64_t session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  dead_sessions_.push_back(std::move(found->second));
  sessions_.erase(found);
  next_turn_.start();
}

void Worker::retire(std::unique_ptr<net::Relay> relay) {
  dead_relays_.push_back(std::move(relay));
  if (next_turn_) next_turn_.start();
}

void Worker::retire(std::unique_ptr<net::Stream> stream) {
  dead_streams_.push_back(std::move(stream));
  next_turn_.start();
}

void Worker::bury() {
  next_turn_.stop();
  dead_relays_.clear();
  dead_streams_.clear();
  shared_.sessions.fetch_sub(dead_sessions_.size());
  std::exchange(dead_sessions_, {}).clear();
  dead_relays_.clear();
  end_if_empty();
}

void Worker::on(const DrainSessions&) {
  draining_ = true;
  listeners_.clear();
  proxied_sessions_.clear();
  std::vector<SessionDriver*> all;
  all.reserve(sessions_.size());
  for (auto& [id, session] : sessions_) all.push_back(session.get());
  for (auto* session : all) session->drain();
  end_if_empty();
}

void Worker::end_if_empty() {
  if (draining_ && sessions_.empty() && dead_sessions_.empty() && blind_transfers_.empty()) on_empty_();
}

void Worker::on(const StopNow&) {
  draining_ = false;
  stopping_ = true;
  listeners_.clear();
  proxied_sessions_.clear();
  proxied_data_.clear();
  blind_transfers_.clear();
  std::vector<SessionDriver*> all;
  all.reserve(sessions_.size());
  for (auto& [id, session] : sessions_) all.push_back(session.get());
  for (auto* session : all) session->kill();
  bury();
  open_ports_.clear();
  accept_pause_.close();
  next_turn_.close();
  mailbox_.close();
}

// The port pool.

void Worker::take_lease(gateway::Lessee lessee, const ftp::Address& client, std::optional<std::uint16_t> port,
                        const std::function<void(std::optional<gateway::LeaseFailure>)>& on_refused) {
  using enum gateway::LeaseFailure;
  bool waits = false;
  const auto lease = shared_.pool.with([&](gateway::PortPool& pool) {
    auto taken = pool.take(client, lessee, port);
    // Who needs this very port isn't helped by another that becomes free.
    waits = !taken && taken.error() == Exhausted && !port;
    if (waits) pool.wait(client, lessee);
    return taken;
  });
  if (lease) return give(lessee, *lease);
  if (waits) return on_refused({});
  if (lease.error() == ClientLimit) shared_.metrics.lease(observe::Metrics::LeaseEvent::ClientLimit);
  if (lease.error() == Exhausted) shared_.metrics.lease(observe::Metrics::LeaseEvent::Exhausted);
  on_refused(lease.error());
}

/// The lease is taken: its owner opens the port, then the lessee is told.
void Worker::give(const gateway::Lessee& lessee, const gateway::Lease& lease) {
  const unsigned owner = static_cast<unsigned>(lease.index % shared_.workers.size());
  if (owner != index_) return shared_.workers[owner]->post(OpenPort{lessee, lease});
  shared_.metrics.lease(observe::Metrics::LeaseEvent::Taken);
  shared_.metrics.ports_leased(1);
  // Where the port was open already, for another client, a stray connection may have claimed this lease meanwhile.
  const bool opened =
      sync_port(lease.index) && shared_.pool.with([&](const gateway::PortPool& pool) { return pool.holds(lease.id); });
  if (!opened) drop_lease(lease);
  deliver(lessee, lease, opened);
}

void Worker::on(const OpenPort& message) { give(message.lessee, message.lease); }

void Worker::deliver(const gateway::Lessee& lessee, const gateway::Lease& lease, bool opened) {
  if (lessee.worker != index_) {
    return shared_.workers[lessee.worker]->post(LeaseReady{lessee.session, lease, opened});
  }
  on(LeaseReady{lessee.session, lease, opened});
}

void Worker::on(const LeaseReady& message) {
  const auto session = sessions_.find(message.session);
  if (session != sessions_.end()) return session->second->lease_ready(message.lease, message.opened);
  if (message.opened) drop_lease(message.lease);
}

bool Worker::drop_lease(const gateway::Lease& lease, LeaseEnd why) {
  std::vector<gateway::PortPool::Served> served;
  const bool dropped = shared_.pool.with([&](gateway::PortPool& pool) {
    const bool ended = pool.drop(lease.id);
    while (const auto next = pool.serve_waiting()) served.push_back(*next);
    return ended;
  });
  if (dropped) {
    using enum observe::Metrics::LeaseEvent;
    shared_.metrics.lease(why == LeaseEnd::Expired ? Expired : Dropped);
    shared_.metrics.ports_leased(-1);
  }
  lease_ended(lease.index, served);
  return dropped;
}

void Worker::lease_ended(std::size_t index, const std::vector<gateway::PortPool::Served>& served) {
  const auto owner = index % shared_.workers.size();
  if (owner == index_) {
    sync_port(index);
  } else {
    shared_.workers[owner]->post(SyncPort{index});
  }
  for (const auto& next : served) give(next.lessee, next.lease);
}

void Worker::stop_waiting(std::uint64_t session) {
  shared_.pool.with([&](gateway::PortPool& pool) { pool.stop_waiting({session, index_}); });
}

void Worker::on(const SyncPort& message) { sync_port(message.index); }

bool Worker::sync_port(std::size_t index) {
  if (stopping_) return false;
  const bool wanted = shared_.pool.with([&](const gateway::PortPool& pool) { return pool.waiting(index) > 0; });
  const bool is_open = open_ports_.contains(index);
  if (wanted == is_open) return true;
  const auto& sockets = shared_.port_sockets.at(index);
  if (!wanted) {
    open_ports_.erase(index);
    for (const auto& socket : sockets) net::stop_listening(socket);
    return true;
  }
  PortPolls polls;
  for (std::size_t number = 0; number < sockets.size(); ++number) {
    if (const auto listening = net::start_listening(sockets[number], kPortBacklog); !listening) {
      observe::log(config::LogLevel::Error, "a passive port can't be opened", {{"error", listening.error().text()}});
      for (const auto& socket : sockets) net::stop_listening(socket);
      return false;
    }
    polls.emplace_back(loop_, sockets[number].get(), [this, index, number](int) { accept_data(index, number); });
    if (!accepting_paused_) polls.back().want(UV_READABLE);
  }
  open_ports_.emplace(index, std::move(polls));
  return true;
}

void Worker::accept_data(std::size_t index, std::size_t socket) {
  for (int count = 0; count < kAcceptsPerTurn; ++count) {
    auto accepted = net::accept_tcp(shared_.port_sockets.at(index)[socket]);
    if (!accepted) {
      if (out_of_descriptors(accepted.error().code)) pause_accepting();
      if (accepted.error().code == EAGAIN || out_of_descriptors(accepted.error().code)) break;
      if (accepted.error().code == EINVAL) break;  // closed by a lease that ended in this very loop
      continue;
    }
    net::free_port(accepted->socket);
    if (!ftp::holds(config_->passive_ports.proxy_from, accepted->peer.address)) {
      if (!claim_lease(index, std::move(*accepted))) break;
      continue;
    }
    proxied_data_.take(std::move(*accepted), config_->timeouts.proxy_header,
                       [this, index](net::Accepted told) { claim_lease(index, std::move(told)); });
  }
}

/// A connection came on a port of ours: whose is it? False when nobody awaits another one there.
bool Worker::claim_lease(std::size_t index, net::Accepted client) {
  std::vector<gateway::PortPool::Served> served;
  std::uint64_t lease = 0;
  bool awaits_more = false;
  const auto lessee = shared_.pool.with([&](gateway::PortPool& pool) {
    auto claimed = pool.claim(index, client.peer.address, &lease);
    while (const auto next = pool.serve_waiting()) served.push_back(*next);
    awaits_more = pool.waiting(index) > 0;
    return claimed;
  });
  if (!lessee) {
    client.socket.reset();
    shared_.metrics.data_rejected(observe::Metrics::Rejected::NoLease);
    shared_.refusals.add(client.peer.address, "data connection", "no lease waits for this client on the port");
    observe::log(config::LogLevel::Warn, "data connection without a lease", {{"client", client.peer.text()}});
    lease_ended(index, served);
    return true;
  }
  if (lease != 0) {
    shared_.metrics.lease(observe::Metrics::LeaseEvent::Accepted);
    shared_.metrics.ports_leased(-1);
  }
  const auto port = static_cast<std::uint16_t>(config_->passive_ports.listen.low + index);
  DataArrived arrived{lessee->session, lease, std::move(client), port};
  if (lessee->worker == index_) {
    on(std::move(arrived));
  } else {
    shared_.workers[lessee->worker]->post(std::move(arrived));
  }
  lease_ended(index, served);
  return awaits_more;
}

void Worker::on(DataArrived message) {
  const auto session = sessions_.find(message.session);
  const bool is_for_range = message.lease == 0;
  if (session != sessions_.end() && (!is_for_range || session->second->holds_range())) {
    return session->second->data_arrived(message.lease, std::move(message.client), message.port);
  }
  // It was for whichever session of this client: another one takes it, if there is one.
  if (is_for_range) {
    claim_lease(static_cast<std::size_t>(message.port - config_->passive_ports.listen.low), std::move(message.client));
    return;
  }
  message.client.socket.reset();
  shared_.metrics.data_rejected(observe::Metrics::Rejected::SessionGone);
}

}  // namespace pasvgate::server
