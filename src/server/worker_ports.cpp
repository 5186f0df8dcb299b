#include <cerrno>
#include <utility>

#include "observe/log.h"
#include "server/session_driver.h"
#include "server/worker.h"

// The ports of the pool that this worker owns: leases, and the data connections that come.
namespace pasvgate::server {
namespace {

constexpr int kPortBacklog = 128;

}  // namespace

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
  Port& port = ports_[index];
  if (wanted == port.is_open) return true;
  const auto& sockets = shared_.port_sockets.at(index);
  if (!wanted) {
    port.is_open = false;
    // One that listens no longer would report its end.
    for (auto& poll : port.polls) poll.want(0);
    for (const auto& socket : sockets) net::stop_listening(socket);
    return true;
  }
  for (std::size_t number = 0; number < sockets.size(); ++number) {
    if (const auto listening = net::start_listening(sockets[number], kPortBacklog); !listening) {
      if (const std::size_t count = shut_ports_.count(); count != 0) {
        observe::log(
            config::LogLevel::Error, "a passive port can't be opened",
            {{"error", listening.error().text()}, {"count", std::to_string(count), observe::Field::Kind::Number}});
      }
      // Only those that listen: see stop_listening.
      for (std::size_t opened = 0; opened < number; ++opened) net::stop_listening(sockets[opened]);
      return false;
    }
  }
  for (std::size_t number = port.polls.size(); number < sockets.size(); ++number) {
    port.polls.emplace_back(loop_, sockets[number].get(), [this, index, number](int events) {
      events < 0 ? pause_accepting(kUnwatched) : accept_data(index, number);
    });
  }
  port.is_open = true;
  await_data(port);
  return true;
}

/// Most ports are closed by the first connection, so that the next isn't waited for unasked.
void Worker::await_data(Port& port) const {
  if (!port.is_open || accepting_paused_) return;
  for (auto& poll : port.polls) poll.want_once(UV_READABLE);
}

void Worker::accept_data(std::size_t index, std::size_t socket) {
  for (int count = 0; count < kAcceptsPerTurn; ++count) {
    auto accepted = net::accept_tcp(shared_.port_sockets.at(index)[socket]);
    if (!accepted) {
      if (accepted.error().is_ours()) pause_accepting(kNoDescriptors);
      if (accepted.error().code == EAGAIN || accepted.error().is_ours()) break;
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
  await_data(ports_[index]);
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
    if (const std::size_t count = strays_.count(); count != 0) {
      observe::log(config::LogLevel::Warn, "data connection without a lease",
                   {{"client", client.peer.text()}, {"count", std::to_string(count), observe::Field::Kind::Number}});
    }
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
