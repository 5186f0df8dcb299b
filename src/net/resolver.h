#pragma once

#include <atomic>
#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ftp/address.h"
#include "net/loop.h"

namespace pasvgate::net {

/// The addresses of a DNS name in the resolver's order, or what was wrong.
using Resolved = std::expected<std::vector<ftp::Address>, std::string>;

/// How many look-ups of one kind may be under way at once, on all threads. A name that nobody answers for occupies a
/// thread of the pool until the resolver gives up, whoever has stopped waiting for it.
class LookupSlots {
 public:
  explicit LookupSlots(int count) : free_(count) {}
  bool take() {
    if (free_.fetch_sub(1) > 0) return true;
    give_back();
    return false;
  }
  void give_back() { free_.fetch_add(1); }

 private:
  std::atomic<int> free_;
};

/// One look-up on libuv's thread pool: the loop never waits for a resolver. Destroying it gives up, and so does
/// `timeout`.
class Lookup {
 public:
  using OnDone = std::move_only_function<void(Resolved)>;
  /// `on_done` runs once, never before the constructor has returned. With `slots` it waits for one, within `timeout`;
  /// they must outlive the loop.
  Lookup(Loop& loop, const std::string& name, std::chrono::milliseconds timeout, OnDone on_done,
         LookupSlots* slots = nullptr);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

 private:
  struct Request;
  void begin();
  void give_up();
  void finish(Resolved result);

  Loop& loop_;
  std::string name_;
  OnDone on_done_;
  LookupSlots* const slots_;
  Request* request_ = nullptr;  ///< Owned by libuv until it has called back.
  Timer timer_;
  Timer waiting_;  ///< For a slot.
};

/// The same, waiting for the answer: for start-up only.
Resolved resolve_now(const std::string& name);

}  // namespace pasvgate::net
