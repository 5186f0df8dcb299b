#include "gateway/ban_list.h"

#include <algorithm>
#include <utility>

namespace pasvgate::gateway {

void BanList::add(const ftp::Cidr& network, Instant until, std::string why) {
  lift(network);
  bans_.push_back({network, until, std::move(why)});
}

bool BanList::lift(const ftp::Cidr& network) {
  return std::erase_if(bans_, [&](const Ban& ban) { return ban.network == network; }) > 0;
}

bool BanList::holds(const ftp::Address& client, Instant now) const {
  return std::ranges::any_of(bans_, [&](const Ban& ban) { return now < ban.until && ban.network.contains(client); });
}

const std::vector<BanList::Ban>& BanList::current(Instant now) {
  std::erase_if(bans_, [&](const Ban& ban) { return now >= ban.until; });
  return bans_;
}

}  // namespace pasvgate::gateway
