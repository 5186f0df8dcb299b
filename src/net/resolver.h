#pragma once

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

/// One look-up on libuv's thread pool: the loop never waits for a resolver. Destroying it gives up, and so does
/// `timeout`.
class Lookup {
 public:
  using OnDone = std::move_only_function<void(Resolved)>;
  /// `on_done` runs once, never before the constructor has returned.
  Lookup(Loop& loop, const std::string& name, std::chrono::milliseconds timeout, OnDone on_done);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

 private:
  struct Request;
  void give_up();
  void finish(Resolved result);

  std::string name_;
  OnDone on_done_;
  Request* request_;  ///< Owned by libuv until it has called back.
  Timer timer_;
};

/// The same, waiting for the answer: for start-up only.
Resolved resolve_now(const std::string& name);

}  // namespace pasvgate::net
