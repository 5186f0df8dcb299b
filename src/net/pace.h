#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pasvgate::net {

/// How fast a relay may read, both its directions together. It asks before it reads, for each time that it is at work;
/// without a Pace it reads what there is.
class Pace {
 public:
  struct Grant {
    std::size_t bytes;               ///< That may be read.
    std::chrono::milliseconds wait;  ///< Until it is worth asking again, when there are none.
  };
  Pace() = default;
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;
  /// What was granted and isn't used is given back.
  virtual ~Pace() = default;
  /// `now`: the loop's.
  virtual Grant ask(std::uint64_t now) = 0;
  /// So much was read: a record of TLS may be more than was granted.
  virtual void used(std::size_t bytes, std::uint64_t now) = 0;
  /// The rest isn't needed now: the source has no more, or the sink takes no more.
  virtual void give_back() = 0;
};

}  // namespace pasvgate::net
