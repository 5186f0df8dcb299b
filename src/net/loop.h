#pragma once

#include <sys/epoll.h>
#include <uv.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "net/socket.h"
#include "net/timer_queue.h"

namespace pasvgate::net {

class Poll;
class Timer;

/// One loop: libuv's, for wake-ups and look-ups, inside an epoll set of our own for sockets, with timers of
/// our own. libuv's polls cost seven calls of epoll_ctl and an ioctl for each socket; these cost two, and a change of
/// mind within a turn none. A timer of libuv is 150 bytes, is closed in a turn of its own, and goes through a heap of
/// pointers at each start and stop; see TimerQueue.
///
/// The destructor runs libuv's loop until the last handle is closed, and a handle that nobody owned any more is a bug:
/// uv_loop_close must say 0.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  [[nodiscard]] uv_loop_t& uv() { return loop_; }
  /// Tells the kernel now, and not before the next turn, what it is to watch: for who must know that it does.
  void apply_changes();
  /// Until there is neither an active libuv handle, nor a timer that runs, nor a watched descriptor.
  void run();
  /// Milliseconds since some moment, cached by the loop.
  [[nodiscard]] std::uint64_t now() const { return uv_now(&loop_); }
  /// Called after each turn with the time that its work took (RunDelay). Before `run`.
  void on_turn(std::function<void(std::chrono::nanoseconds)> told) { told_ = std::move(told); }

 private:
  friend class Poll;
  friend class Timer;
  /// A watched descriptor. When closed it lives to the end of the turn: an event or a change may still name it.
  struct Watch {
    Loop& loop;
    int descriptor;
    std::move_only_function<void(int)> callback;
    int wanted = 0;             ///< UV_ bits.
    std::uint32_t watched = 0;  ///< What epoll knows.
    bool registered = false;
    bool once = false;     ///< EPOLLONESHOT.
    bool changed = false;  ///< Is in `changed_`.
    bool closed = false;
  };
  struct Alarm : TimerQueue::Entry {
    Alarm(Loop& owner, std::move_only_function<void()> on_fire) : loop(owner), callback(std::move(on_fire)) {}
    Loop& loop;
    std::move_only_function<void()> callback;
  };
  void close(std::unique_ptr<Alarm> alarm);
  void fire_alarms();
  [[nodiscard]] int set_clock();
  void change(Watch& watch);
  void close(std::unique_ptr<Watch> watch);
  void apply(Watch& watch);
  void dispatch(int count);

  static constexpr int kEventsPerTurn = 64;
  Fd epoll_;
  Fd clock_;                               ///< A timerfd.
  std::optional<std::uint64_t> rings_at_;  ///< As `now`, where the clock is set.
  uv_loop_t loop_{};
  std::array<epoll_event, kEventsPerTurn> events_{};
  std::vector<Watch*> changed_;  ///< Whose wishes epoll doesn't know yet.
  std::vector<std::unique_ptr<Watch>> closed_;
  std::size_t watches_ = 0;  ///< Registered ones.
  TimerQueue timers_;
  std::vector<TimerQueue::Entry*> due_;          ///< Kept for its memory only.
  std::vector<std::unique_ptr<Alarm>> retired_;  ///< Go at the end of the turn: one may be running.
  std::function<void(std::chrono::nanoseconds)> told_;
};

/// Readiness of a descriptor, level-triggered. The descriptor must outlive the Poll and have no other one; it must be
/// non-blocking.
/// The callback gets the UV_READABLE … bits, or a negative status: UV_EBADF for a socket in error; any other, once, for
/// a descriptor that the kernel has no means to watch (memory, fs.epoll.max_user_watches). After either nothing is
/// watched until `want`. A Poll may be destroyed at any time, in its own callback too.
class Poll {
 public:
  using Callback = std::move_only_function<void(int)>;

  Poll() = default;
  Poll(Loop& loop, int descriptor, Callback on_ready)
      : watch_(new Loop::Watch{.loop = loop, .descriptor = descriptor, .callback = std::move(on_ready)}) {}
  [[nodiscard]] explicit operator bool() const { return watch_ != nullptr; }
  void close() { watch_.reset(); }
  /// With its descriptor, which the kernel then forgets by itself.
  void close(Fd& descriptor);
  /// 0: nothing.
  void want(int events);
  /// What it is told of first is the last that it is told of, until it wants again; the kernel keeps its place
  /// meanwhile. One Poll wants so or the other way.
  void want_once(int events);

 private:
  struct GiveToLoop {
    void operator()(Loop::Watch* watch) const noexcept;
  };
  std::unique_ptr<Loop::Watch, GiveToLoop> watch_;
};

/// A timer's delay that ends before the loop sleeps again, and not in the present callback.
constexpr std::chrono::milliseconds kNextTurn{0};

/// Fires once. May be destroyed at any time, in its own callback too.
class Timer {
 public:
  using Callback = std::move_only_function<void()>;

  Timer() = default;
  Timer(Loop& loop, Callback on_fire);
  [[nodiscard]] explicit operator bool() const { return alarm_ != nullptr; }
  void close() { alarm_.reset(); }
  /// Once, after `delay`; replaces an earlier start.
  void start(std::chrono::milliseconds delay);
  void stop() { alarm_->loop.timers_.stop(*alarm_); }

 private:
  struct GiveToLoop {
    void operator()(Loop::Alarm* alarm) const noexcept;
  };
  std::unique_ptr<Loop::Alarm, GiveToLoop> alarm_;
};

}  // namespace pasvgate::net
