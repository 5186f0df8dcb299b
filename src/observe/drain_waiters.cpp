#include "observe/drain_waiters.h"

#include <chrono>

namespace pasvgate::observe {

DrainWaiters::Place::Place(DrainWaiters& waiters) : waiters_(waiters) {
  const std::scoped_lock lock(waiters_.mutex_);
  number_ = ++waiters_.newest_;
  ++waiters_.places_;
  waiters_.changed_.notify_all();
}

DrainWaiters::Place::~Place() {
  const std::scoped_lock lock(waiters_.mutex_);
  --waiters_.places_;
  waiters_.changed_.notify_all();
}

DrainWaiters::Outcome DrainWaiters::Place::wait() {
  std::unique_lock lock(waiters_.mutex_);
  waiters_.changed_.wait(lock, [&] { return waiters_.over_ || waiters_.newest_ - number_ >= kMost; });
  return waiters_.over_ ? Outcome::Over : Outcome::Displaced;
}

void DrainWaiters::end() {
  const std::scoped_lock lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

void DrainWaiters::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(1), [&] { return places_ == 0; });
}

}  // namespace pasvgate::observe
