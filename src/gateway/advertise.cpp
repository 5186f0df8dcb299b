#include "gateway/advertise.h"

#include <algorithm>

namespace pasvgate::gateway {

std::optional<ftp::Address> advertised_address(const config::Advertise& settings, const ftp::Address& client,
                                               const ftp::Address& dialled, const ResolvedName& resolved) {
  const config::Advertised* chosen = &settings.address;
  for (const auto& rule : settings.rules) {
    if (std::ranges::any_of(rule.clients, [&](const ftp::Cidr& network) { return network.contains(client); })) {
      chosen = &rule.to;
      break;
    }
  }
  if (!chosen->name.empty()) return resolved(chosen->name);
  if (chosen->v4) return chosen->v4;
  // An advertised IPv6 address alone says nothing of IPv4: a client that dialled an IPv4 address can reach that one.
  if (dialled.family() == ftp::Family::V4) return dialled;
  return std::nullopt;
}

}  // namespace pasvgate::gateway
