#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace pasvgate::observe {

/// Requests that wait for the drain's end, each in a thread of the admin server. The newest few: one more sends the
/// oldest away, since a kubelet that has given up neither hangs up nor asks again. For any thread.
class DrainWaiters {
 public:
  static constexpr unsigned kMost = 4;
  enum class Outcome : std::uint8_t { Over, Displaced };

  /// One of them, until it is answered.
  class Place {
   public:
    explicit Place(DrainWaiters& waiters);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    /// Blocks until there is one.
    Outcome wait();

   private:
    DrainWaiters& waiters_;
    std::uint64_t number_ = 0;
  };

  /// The drain is over, for all that wait and those to come.
  void end();
  /// Blocks until all are answered, which takes no time; not for ever, where they come without end.
  void settle();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t newest_ = 0;
  unsigned places_ = 0;
  bool over_ = false;
};

}  // namespace pasvgate::observe
