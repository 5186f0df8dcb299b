#include "net/loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "net/run_delay.h"

namespace pasvgate::net {
namespace {

std::uint32_t to_epoll(int wanted) {
  std::uint32_t events = 0;
  if ((wanted & UV_READABLE) != 0) events |= EPOLLIN;
  if ((wanted & UV_WRITABLE) != 0) events |= EPOLLOUT;
  if ((wanted & UV_PRIORITIZED) != 0) events |= EPOLLPRI;
  if ((wanted & UV_DISCONNECT) != 0) events |= EPOLLRDHUP;
  return events;
}

int from_epoll(std::uint32_t events) {
  int ready = 0;
  if ((events & EPOLLIN) != 0) ready |= UV_READABLE;
  if ((events & EPOLLOUT) != 0) ready |= UV_WRITABLE;
  if ((events & EPOLLPRI) != 0) ready |= UV_PRIORITIZED;
  if ((events & EPOLLRDHUP) != 0) ready |= UV_DISCONNECT;
  return ready;
}

}  // namespace

Loop::Loop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), clock_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (!epoll_ || !clock_) throw std::runtime_error("event loop: no descriptor for epoll or its timer");
  if (const int error = uv_loop_init(&loop_); error != 0) {
    throw std::runtime_error(std::string("event loop: ") + uv_strerror(error));
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  // At its edge, so that nobody has to read it.
  epoll_event ring{.events = EPOLLIN | EPOLLET, .data = {.ptr = &clock_}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, uv_backend_fd(&loop_), &event) != 0 ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, clock_.get(), &ring) != 0) {
    uv_loop_close(&loop_);
    throw std::runtime_error("event loop: the kernel watches no more descriptors (fs.epoll.max_user_watches)");
  }
}

Loop::~Loop() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop_) != 0) {
    // Only a handle whose owner outlived the loop gets here: a broken invariant, which the test builds must not miss.
    std::fputs("a libuv handle outlived its loop:\n", stderr);
    uv_print_all_handles(&loop_, stderr);
    std::abort();
  }
}

void Loop::run() {
  // libuv tells epoll of its own descriptors only when it is run.
  uv_run(&loop_, UV_RUN_NOWAIT);
  RunDelay clock;
  for (;;) {
    apply_changes();
    if (watches_ == 0 && !timers_.has_armed() && uv_loop_alive(&loop_) == 0) return;
    const int count = ::epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn, set_clock());
    if (told_) clock.turn_begins(uv_hrtime());
    uv_update_time(&loop_);
    dispatch(count);
    if (told_) told_(std::chrono::nanoseconds(clock.turn_ends(uv_hrtime())));
  }
}

void Loop::dispatch(int count) {
  bool uv_is_ready = false;
  for (int index = 0; index < count; ++index) {
    const auto& event = events_.at(static_cast<std::size_t>(index));
    if (event.data.ptr == nullptr) {
      uv_is_ready = true;
      continue;
    }
    if (event.data.ptr == &clock_) {
      rings_at_.reset();
      continue;
    }
    auto& watch = *static_cast<Watch*>(event.data.ptr);
    if (watch.once) watch.watched = 0;
    // It may have been closed or have changed its mind since, by the event of another.
    if (watch.closed || watch.wanted == 0) continue;
    const std::uint32_t wanted = to_epoll(watch.wanted);
    std::uint32_t events = event.events & (wanted | EPOLLERR | EPOLLHUP);
    if ((events & EPOLLERR) != 0 && (events & EPOLLPRI) == 0) {
      watch.wanted = 0;
      change(watch);
      watch.callback(UV_EBADF);
      continue;
    }
    // A hang-up alone is news for whatever is waited for.
    if (events == EPOLLHUP) events |= wanted;
    const int ready = from_epoll(events);
    if (watch.once) {
      if (ready != 0) watch.wanted = 0;
      change(watch);
    }
    if (ready != 0) watch.callback(ready);
  }
  fire_alarms();
  if (uv_is_ready || uv_backend_timeout(&loop_) == 0) uv_run(&loop_, UV_RUN_NOWAIT);
}

void Loop::change(Watch& watch) {
  if (std::exchange(watch.changed, true)) return;
  changed_.push_back(&watch);
}

/// Tells epoll. A callback that hears of a failure may change others, and epoll is told of those as well.
void Loop::apply_changes() {
  for (std::size_t index = 0; index < changed_.size(); ++index) {
    if (!changed_[index]->closed) apply(*changed_[index]);
  }
  changed_.clear();
  closed_.clear();
  retired_.clear();
}

/// What epoll_wait waits at most: nothing where something is due, else for ever. A timeout there would make the kernel
/// set up a timer and take it down at each turn. The clock is left as it is while the next deadline only moves away;
/// then it rings in vain.
int Loop::set_clock() {
  auto deadline = timers_.next();
  // Without an active handle libuv would say 0, and this loop would spin until its own next deadline.
  if (const int most = uv_loop_alive(&loop_) != 0 ? uv_backend_timeout(&loop_) : -1; most >= 0)
    deadline = std::min(deadline.value_or(UINT64_MAX), now() + static_cast<std::uint64_t>(most));
  if (!deadline) return -1;
  if (*deadline <= now()) return 0;
  if (rings_at_ && *rings_at_ <= *deadline) return -1;
  rings_at_ = deadline;
  // libuv's clock may lag behind by a part of a millisecond.
  const auto left = static_cast<std::time_t>(*deadline - now() + 1);
  const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1'000'000}};
  ::timerfd_settime(clock_.get(), 0, &once, nullptr);
  return -1;
}

/// Twice, as one may begin what is known at once; for a third time the loop looks at the sockets before.
void Loop::fire_alarms() {
  for (int pass = 0; pass < 2; ++pass) {
    due_.clear();
    timers_.take_due(now(), due_);
    for (auto* entry : due_) {
      if (TimerQueue::fire(*entry)) static_cast<Alarm*>(entry)->callback();
    }
  }
}

void Loop::close(std::unique_ptr<Alarm> alarm) {
  timers_.remove(*alarm);
  retired_.push_back(std::move(alarm));
}

void Loop::apply(Watch& watch) {
  watch.changed = false;
  const std::uint32_t wanted = to_epoll(watch.wanted);
  if (wanted == watch.watched) return;
  epoll_event event{.events = wanted, .data = {.ptr = &watch}};
  if (watch.once) event.events |= EPOLLONESHOT;
  watch.watched = wanted;
  if (wanted == 0) {
    // With nothing wanted epoll would report errors and hang-ups still, again and again.
    watch.registered = false;
    --watches_;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch.descriptor, &event);
    return;
  }
  if (::epoll_ctl(epoll_.get(), watch.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch.descriptor, &event) != 0) {
    const int error = errno;
    watch.watched = 0;
    if (std::exchange(watch.registered, false)) --watches_;
    watch.wanted = 0;
    return watch.callback(-error);
  }
  if (!std::exchange(watch.registered, true)) ++watches_;
}

void Loop::close(std::unique_ptr<Watch> watch) {
  watch->closed = true;
  if (watch->registered) {
    epoll_event event{};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch->descriptor, &event);
    --watches_;
  }
  closed_.push_back(std::move(watch));
}

void Poll::close(Fd& descriptor) {
  if (watch_ && std::exchange(watch_->registered, false)) --watch_->loop.watches_;
  watch_.reset();
  descriptor.close();
}

void Poll::want(int events) {
  if (!watch_ || events == watch_->wanted) return;
  watch_->wanted = events;
  watch_->loop.change(*watch_);
}

void Poll::want_once(int events) {
  if (!watch_) return;
  watch_->once = true;
  want(events);
}

void Poll::GiveToLoop::operator()(Loop::Watch* watch) const noexcept {
  watch->loop.close(std::unique_ptr<Loop::Watch>(watch));
}

Timer::Timer(Loop& loop, Callback on_fire) : alarm_(new Loop::Alarm(loop, std::move(on_fire))) {}

void Timer::start(std::chrono::milliseconds delay) {
  if (!alarm_) return;
  Loop& loop = alarm_->loop;
  const auto count = std::max<std::chrono::milliseconds::rep>(delay.count(), 0);
  loop.timers_.start(*alarm_, loop.now() + static_cast<std::uint64_t>(count));
}

void Timer::GiveToLoop::operator()(Loop::Alarm* alarm) const noexcept {
  alarm->loop.close(std::unique_ptr<Loop::Alarm>(alarm));
}

}  // namespace pasvgate::net
