#include <algorithm>
#include <utility>

#include "server/session_driver.h"
#include "server/worker.h"

// What the admin API asks of a worker.
namespace pasvgate::server {
namespace {

// Each may hold two kibibytes.
constexpr std::size_t kMostTraces = 50;

}  // namespace

Worker::SessionCounts Worker::session_counts() const {
  SessionCounts counts;
  for (const auto& [id, session] : sessions_) ++(session->has_transfer() ? counts.transferring : counts.others);
  return counts;
}

std::vector<observe::SessionStatus> Worker::status(std::size_t limit) const {
  std::vector<observe::SessionStatus> all;
  all.reserve(std::min(limit, sessions_.size()));
  for (const bool transferring : {true, false}) {
    for (const auto& [id, session] : sessions_) {
      if (all.size() == limit) return all;
      if (session->has_transfer() == transferring) all.push_back(session->status());
    }
  }
  return all;
}

std::vector<observe::SessionTrace> Worker::traces(std::optional<std::uint64_t> session,
                                                  const std::optional<ftp::Address>& client) const {
  std::vector<observe::SessionTrace> all;
  for (const auto& [id, driver] : sessions_) {
    if (all.size() == kMostTraces) break;
    if (id == session || driver->client().address == client) all.push_back(driver->trace());
  }
  return all;
}

bool Worker::end_session(std::uint64_t session) {
  const auto found = sessions_.find(session);
  return found != sessions_.end() && end(*found->second);
}

/// Which data connections are its own can't be told where it passes through: they end with the last of the client's
/// sessions.
bool Worker::end(SessionDriver& session) {
  const bool passes_through = session.holds_range();
  if (!session.end(gateway::EndReason::Operator)) return false;
  if (!passes_through) return true;
  for (const auto& worker : shared_.workers) worker->post(EndBlind{session.client().address});
  return true;
}

void Worker::end_sessions_of(const ftp::Cidr& network) {
  std::vector<SessionDriver*> all;
  for (const auto& [id, driver] : sessions_) {
    if (network.contains(driver->client().address)) all.push_back(driver.get());
  }
  for (auto* driver : all) end(*driver);
  blind_transfers_.end([&](const ftp::Address& client) { return network.contains(client); });
}

}  // namespace pasvgate::server
