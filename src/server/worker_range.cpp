#include <optional>

#include "server/session_driver.h"
#include "server/worker.h"

// The whole range of passive ports for sessions that pass through encrypted.
namespace pasvgate::server {

void Worker::take_range(std::uint64_t session, const ftp::Address& client) {
  const gateway::Lessee lessee{session, index_};
  shared_.pool.with([&](gateway::PortPool& pool) { pool.take_range(client, lessee); });
  for (auto& worker : shared_.workers) worker->post(OpenRange{lessee});
}

void Worker::drop_range(std::uint64_t session) {
  shared_.pool.with([&](gateway::PortPool& pool) { pool.drop_range({session, index_}); });
  for (auto& worker : shared_.workers) worker->post(SyncRange{});
}

void Worker::on(const OpenRange& message) {
  shared_.workers[message.lessee.worker]->post(RangeOpened{message.lessee.session, sync_range()});
}

void Worker::on(const RangeOpened& message) {
  const auto session = sessions_.find(message.session);
  if (session != sessions_.end()) session->second->range_opened(message.opened);
}

void Worker::on(const SyncRange&) { sync_range(); }

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

/// All ports that this worker owns.
bool Worker::sync_range() {
  bool synced = true;
  for (std::size_t index = index_; index < shared_.port_sockets.size(); index += shared_.workers.size()) {
    synced = sync_port(index) && synced;
  }
  return synced;
}

}  // namespace pasvgate::server
