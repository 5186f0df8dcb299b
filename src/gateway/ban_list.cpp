#include "gateway/ban_list.h"

#include <algorithm>

namespace pasvgate::gateway {

void BanList::add(const ftp::Cidr& network, Instant until, std::string why, By by) {
  lift(network);
  if (by == By::Gateway && automatic_.size() == kMostAutomatic) lift(ftp::Cidr(automatic_.front()));
  Held held{until, std::move(why), std::nullopt};
  if (by == By::Gateway) held.place = automatic_.insert(automatic_.end(), network);
  by_length_[{network.base.family(), network.bits}].emplace(network.base, std::move(held));
  ++size_;
}

bool BanList::lift(const ftp::Cidr& network) {
  const auto length = by_length_.find({network.base.family(), network.bits});
  if (length == by_length_.end()) return false;
  const auto ban = length->second.find(network.base);
  if (ban == length->second.end()) return false;
  erase(length->second, ban);
  if (length->second.empty()) by_length_.erase(length);
  return true;
}

BanList::Networks::iterator BanList::erase(Networks& networks, Networks::iterator ban) {
  if (const auto& place = ban->second.place) automatic_.erase(*place);
  --size_;
  return networks.erase(ban);
}

bool BanList::holds(const ftp::Address& client, Instant now, Bans which) const {
  return std::ranges::any_of(by_length_, [&](const auto& one) {
    const auto& [length, networks] = one;
    if (length.first != client.family()) return false;
    const auto ban = networks.find(ftp::masked(client, length.second));
    return ban != networks.end() && now < ban->second.until && (which == Bans::All || !ban->second.place);
  });
}

std::vector<BanList::Ban> BanList::current(Instant now) {
  std::vector<Ban> bans;
  for (auto length = by_length_.begin(); length != by_length_.end();) {
    auto& [prefix, networks] = *length;
    for (auto ban = networks.begin(); ban != networks.end();) {
      if (now >= ban->second.until) {
        ban = erase(networks, ban);
        continue;
      }
      bans.push_back({{ban->first, prefix.second}, ban->second.until, ban->second.why});
      ++ban;
    }
    length = networks.empty() ? by_length_.erase(length) : std::next(length);
  }
  return bans;
}

}  // namespace pasvgate::gateway
