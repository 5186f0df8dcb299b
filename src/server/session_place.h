#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace pasvgate::server {

/// One of the sessions that `limits.sessions` allows: counted from the accepted connection on, and given back when it
/// goes, whatever becomes of the connection.
class SessionPlace {
 public:
  explicit SessionPlace(std::atomic<std::size_t>& taken) : taken_(&taken), others_(taken.fetch_add(1)) {}
  SessionPlace(SessionPlace&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)), others_(other.others_) {}
  SessionPlace& operator=(SessionPlace&&) = delete;
  ~SessionPlace() {
    if (taken_ != nullptr) taken_->fetch_sub(1);
  }
  /// That were taken before this one.
  [[nodiscard]] std::size_t others() const { return others_; }
  /// Whoever calls this gives it back.
  void release() { taken_ = nullptr; }

 private:
  std::atomic<std::size_t>* taken_;
  std::size_t others_;
};

}  // namespace pasvgate::server
