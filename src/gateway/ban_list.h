#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ftp/address.h"
#include "gateway/instant.h"

namespace pasvgate::gateway {

/// Clients that are kept out for a time. Not thread-safe; knows no time but what it is told.
class BanList {
 public:
  struct Ban {
    ftp::Cidr network;
    Instant until;
    std::string why;
  };
  /// Replaces an earlier ban of the same network.
  void add(const ftp::Cidr& network, Instant until, std::string why);
  /// False: there is none.
  bool lift(const ftp::Cidr& network);
  [[nodiscard]] bool holds(const ftp::Address& client, Instant now) const;
  /// Those that aren't over, which the list forgets.
  const std::vector<Ban>& current(Instant now);
  [[nodiscard]] bool empty() const { return bans_.empty(); }

 private:
  std::vector<Ban> bans_;
};

}  // namespace pasvgate::gateway
