#include "gateway/port_pool.h"

#include <algorithm>

namespace pasvgate::gateway {
namespace {

// Random picks before the pool is searched from a random place on: a pool that isn't nearly full needs one or two.
constexpr int kRandomPicks = 8;
// How many of its last ports a client gets back last; TIME_WAIT lasts a minute, a stray SYN far less.
constexpr std::size_t kRememberedPorts = 16;
// Clients without a lease are kept for the sake of their last ports, this many.
constexpr std::size_t kIdleClients = 4096;

}  // namespace

PortPool::PortPool(const config::PassivePorts& settings, std::size_t leases_per_client, unsigned workers,
                   std::uint64_t seed)
    : settings_(settings),
      leases_per_client_(leases_per_client),
      workers_(workers),
      random_(seed),
      ports_(settings.listen.size()) {}

ftp::Address PortPool::key(const ftp::Address& client) const {
  using enum config::DataSource::Match;
  switch (settings_.data_source.match) {
    case Exact:
      return client;
    case Any:
      return {};
    case Prefix:
      return ftp::masked(
          client, client.family() == ftp::Family::V4 ? settings_.data_source.v4_bits : settings_.data_source.v6_bits);
  }
  std::unreachable();
}

std::expected<Lease, LeaseFailure> PortPool::take(const ftp::Address& client, Lessee lessee,
                                                  std::optional<std::uint16_t> port) {
  if (clients_.size() > kIdleClients) forget_idle_clients();
  Client& holder = clients_[client];
  if (holder.leases >= leases_per_client_) return std::unexpected(LeaseFailure::ClientLimit);
  const auto client_key = key(client);
  std::expected<std::size_t, LeaseFailure> index = std::unexpected(LeaseFailure::Exhausted);
  if (port) {
    index = find(client_key, *port);
  } else if (const auto free = choose(client_key, holder, lessee.worker)) {
    index = *free;
  }
  if (!index) return std::unexpected(index.error());

  const std::uint64_t id = next_id_++;
  leases_.emplace(id, Held{*index, client_key, client, lessee});
  ports_[*index].lease_by_client.emplace(client_key, id);
  ++ports_[*index].waiting;
  ++holder.leases;
  const auto& advertised = settings_.advertise ? *settings_.advertise : settings_.listen;
  return Lease{id, static_cast<std::uint16_t>(settings_.listen.low + *index),
               static_cast<std::uint16_t>(advertised.low + *index), *index};
}

std::expected<std::size_t, LeaseFailure> PortPool::find(const ftp::Address& key, std::uint16_t port) const {
  if (!settings_.listen.contains(port)) return std::unexpected(LeaseFailure::NotInRange);
  const std::size_t index = port - settings_.listen.low;
  if (ports_[index].lease_by_client.contains(key)) return std::unexpected(LeaseFailure::Exhausted);
  return index;
}

std::optional<std::size_t> PortPool::choose(const ftp::Address& key, const Client& client, unsigned worker) {
  // The best free port: this worker's own before another's, and one that the client used long ago before one it just
  // used.
  std::optional<std::size_t> best;
  std::size_t best_cost = 0;
  const auto consider = [&](std::size_t index) {
    if (ports_[index].lease_by_client.contains(key)) return false;
    const auto used = std::ranges::find(client.last_used, index);
    const auto recency =
        used == client.last_used.end() ? std::size_t{0} : static_cast<std::size_t>(used - client.last_used.begin()) + 1;
    const std::size_t cost = recency * 2 + (owner(index) == worker ? 0 : 1);
    if (!best || cost < best_cost) {
      best = index;
      best_cost = cost;
    }
    return best_cost == 0;
  };
  std::uniform_int_distribution<std::size_t> any(0, ports_.size() - 1);
  for (int pick = 0; pick < kRandomPicks; ++pick) {
    if (consider(any(random_))) return best;
  }
  const std::size_t start = any(random_);
  for (std::size_t step = 0; step < ports_.size(); ++step) {
    if (consider((start + step) % ports_.size())) break;
  }
  return best;
}

std::optional<Lessee> PortPool::claim(std::size_t index, const ftp::Address& client, std::uint64_t* lease_id) {
  const auto& leases = ports_[index].lease_by_client;
  const auto client_key = key(client);
  const auto found = leases.find(client_key);
  if (found == leases.end()) {
    const auto range = std::ranges::find(ranges_, client_key, &Range::key);
    if (range == ranges_.end() || blind_transfers(client) >= leases_per_client_) return std::nullopt;
    if (lease_id != nullptr) *lease_id = 0;
    return range->lessee;
  }
  if (lease_id != nullptr) *lease_id = found->second;
  const auto lease = leases_.find(found->second);
  const Lessee lessee = lease->second.lessee;
  end(lease);
  return lessee;
}

std::vector<Lessee> PortPool::blind_moved(const ftp::Address& client, int change) {
  const auto client_key = key(client);
  std::size_t& count = blind_by_client_[client_key];
  const bool was_moving = count > 0;
  count += static_cast<std::size_t>(change);
  const bool is_moving = count > 0;
  if (!is_moving) blind_by_client_.erase(client_key);
  std::vector<Lessee> holders;
  if (was_moving == is_moving) return holders;
  for (const Range& one : ranges_) {
    if (one.key == client_key) holders.push_back(one.lessee);
  }
  return holders;
}

bool PortPool::has_range(const ftp::Address& client) const {
  return std::ranges::find(ranges_, key(client), &Range::key) != ranges_.end();
}

std::size_t PortPool::blind_transfers(const ftp::Address& client) const {
  const auto found = blind_by_client_.find(key(client));
  return found == blind_by_client_.end() ? 0 : found->second;
}

bool PortPool::drop(std::uint64_t lease_id) {
  const auto lease = leases_.find(lease_id);
  if (lease == leases_.end()) return false;
  end(lease);
  return true;
}

void PortPool::stop_waiting(Lessee lessee) {
  std::erase_if(waiting_, [&](const Waiting& one) { return one.lessee == lessee; });
}

std::optional<PortPool::Served> PortPool::serve_waiting() {
  for (auto one = waiting_.begin(); one != waiting_.end(); ++one) {
    if (const auto lease = take(one->client, one->lessee)) {
      const Served served{one->lessee, *lease};
      waiting_.erase(one);
      return served;
    }
  }
  return std::nullopt;
}

void PortPool::end(std::unordered_map<std::uint64_t, Held>::iterator lease) {
  const Held& held = lease->second;
  ports_[held.index].lease_by_client.erase(held.key);
  --ports_[held.index].waiting;
  Client& client = clients_[held.client];
  --client.leases;
  remember(client, held.index);
  leases_.erase(lease);
}

void PortPool::remember(Client& client, std::size_t index) {
  std::erase(client.last_used, index);
  client.last_used.push_back(index);
  if (client.last_used.size() > std::min(kRememberedPorts, ports_.size() / 2)) {
    client.last_used.erase(client.last_used.begin());
  }
}

void PortPool::forget_idle_clients() {
  std::erase_if(clients_, [](const auto& client) { return client.second.leases == 0; });
}

}  // namespace pasvgate::gateway
