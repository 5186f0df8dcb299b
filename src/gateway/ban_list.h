#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ftp/address.h"
#include "gateway/instant.h"

namespace pasvgate::gateway {

/// Clients that are kept out for a time. Not thread-safe; knows no time but what it is told. Whether one is kept out
/// takes as long as there are lengths of prefixes, however many networks.
class BanList {
 public:
  struct Ban {
    ftp::Cidr network;
    Instant until;
    std::string why;
  };
  /// The gateway's own bans are at most so many: one more ends the oldest.
  static constexpr std::size_t kMostAutomatic = 10'000;
  enum class By : std::uint8_t { Operator, Gateway };
  /// Replaces an earlier ban of the same network.
  void add(const ftp::Cidr& network, Instant until, std::string why, By by = By::Operator);
  /// False: there is none.
  bool lift(const ftp::Cidr& network);
  enum class Bans : std::uint8_t { All, OfOperators };
  [[nodiscard]] bool holds(const ftp::Address& client, Instant now, Bans which = Bans::All) const;
  /// Those that aren't over, which the list forgets.
  std::vector<Ban> current(Instant now);
  [[nodiscard]] std::size_t size() const { return size_; }  ///< With those that are over and not forgotten yet.
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  using Order = std::list<ftp::Cidr>;
  struct Held {
    Instant until;
    std::string why;
    std::optional<Order::iterator> place;  ///< Of the gateway's own.
  };
  using Networks = std::unordered_map<ftp::Address, Held>;
  Networks::iterator erase(Networks& networks, Networks::iterator ban);

  std::map<std::pair<ftp::Family, std::uint8_t>, Networks> by_length_;  ///< None is empty.
  Order automatic_;                                                     ///< Oldest first.
  std::size_t size_ = 0;
};

}  // namespace pasvgate::gateway
