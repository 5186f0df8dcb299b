#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

/// Which timer is due when. Values only: whoever has one knows the time.
namespace pasvgate::net {

/// The timers of one loop: a heap with four children a node, of 16 bytes a timer. Times are milliseconds since some
/// moment.
///
/// Nearly every command of a session moves a timer that is far from firing to a later time. So to stop it and to start
/// it for later only notes that down: where it stands in the heap it is as early as it was, and moves when that comes.
class TimerQueue {
 public:
  class Entry {
   public:
    [[nodiscard]] bool is_armed() const { return armed_; }

   private:
    friend class TimerQueue;
    static constexpr std::uint32_t kNowhere = UINT32_MAX;
    std::uint64_t due_ = 0;           ///< Where `armed_`.
    std::uint32_t place_ = kNowhere;  ///< In the heap.
    bool armed_ = false;
    bool fires_ = false;  ///< Was taken by `take_due` and hasn't fired yet.
  };

  /// Replaces an earlier start. The entry must stay where it is until `remove`.
  void start(Entry& entry, std::uint64_t due);
  void stop(Entry& entry);
  /// Before the entry goes.
  void remove(Entry& entry);

  /// When there is something to do, maybe a little for nothing; nothing while no timer is armed.
  [[nodiscard]] std::optional<std::uint64_t> next() const;
  [[nodiscard]] bool has_armed() const { return armed_ > 0; }
  /// Appends those that are due at `now`, the earliest first. They are armed no more.
  void take_due(std::uint64_t now, std::vector<Entry*>& due);
  /// Whether one that was taken is still to fire: another one's firing may have stopped it, or started it anew.
  static bool fire(Entry& entry);

 private:
  struct Node {
    std::uint64_t at;  ///< Not later than the entry's own time.
    Entry* entry;
  };
  void put(std::size_t place, Node node);
  void rise(std::size_t place, Node node);
  void sink(std::size_t place, Node node);
  void take_out(std::size_t place);

  std::vector<Node> heap_;
  std::size_t armed_ = 0;
};

}  // namespace pasvgate::net
