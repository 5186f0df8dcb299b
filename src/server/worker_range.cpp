#include <optional>

#include "server/session_driver.h"
#include "server/worker.h"

// The whole range of passive ports for sessions that pass through encrypted.
namespace pasvgate::server {
namespace {

// Each takes some 2.5 µs.
constexpr int kPortsPerTurn = 256;

}  // namespace

void Worker::take_range(std::uint64_t session, const ftp::Address& client) {
  const gateway::Lessee lessee{session, index_};
  shared_.pool.with([&](gateway::PortPool& pool) { pool.take_range(client, lessee); });
  for (auto& worker : shared_.workers) worker->post(OpenRange{lessee});
}

void Worker::drop_range(std::uint64_t session) {
  shared_.pool.with([&](gateway::PortPool& pool) { pool.drop_range({session, index_}); });
  for (auto& worker : shared_.workers) worker->post(SyncRange{});
}

void Worker::on(const OpenRange& message) { sync_range(message.lessee); }

void Worker::on(const RangeOpened& message) {
  const auto session = sessions_.find(message.session);
  if (session != sessions_.end()) session->second->range_opened(message.opened);
}

void Worker::on(const SyncRange&) { sync_range({}); }

void Worker::blind_changed(const ftp::Address& client, int change) {
  const auto holders = shared_.pool.with([&](gateway::PortPool& pool) { return pool.blind_moved(client, change); });
  for (const auto& one : holders) shared_.workers[one.worker]->post(BlindChanged{one.session});
  end_if_empty();
}

void Worker::on(const BlindChanged& message) {
  const auto session = sessions_.find(message.session);
  if (session != sessions_.end()) session->second->blind_moved();
}

void Worker::on(const EndBlind& message) {
  const auto client = shared_.pool.with([&](const gateway::PortPool& pool) {
    return pool.has_range(message.client) ? std::nullopt : std::optional(pool.key(message.client));
  });
  if (!client) return;
  blind_transfers_.end([&](const ftp::Address& from) {
    return shared_.pool.with([&](const gateway::PortPool& pool) { return pool.key(from); }) == client;
  });
}

/// All ports that this worker owns, some in each turn: thousands take longer than the other sessions should wait.
void Worker::sync_range(std::optional<gateway::Lessee> asked) {
  if (stopping_) return;
  range_syncs_.push_back({.asked = asked, .due = ports_seen_ + owned_ports()});
  range_turn_.start(net::kNextTurn);
}

void Worker::sync_some_ports() {
  for (int count = 0; count < kPortsPerTurn && ports_seen_ < range_syncs_.back().due; ++count) {
    const std::size_t index = index_ + ports_seen_ % owned_ports() * shared_.workers.size();
    ++ports_seen_;
    if (sync_port(index)) continue;
    for (RangeSync& one : range_syncs_) one.synced = false;
  }
  while (!range_syncs_.empty() && range_syncs_.front().due <= ports_seen_) {
    const RangeSync done = range_syncs_.front();
    range_syncs_.pop_front();
    if (done.asked) shared_.workers[done.asked->worker]->post(RangeOpened{done.asked->session, done.synced});
  }
  if (!range_syncs_.empty()) range_turn_.start(net::kNextTurn);
}

std::size_t Worker::owned_ports() const {
  const std::size_t workers = shared_.workers.size();
  return (shared_.port_sockets.size() + workers - 1 - index_) / workers;
}

}  // namespace pasvgate::server
