#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ftp/address.h"
#include "net/handle.h"

namespace pasvgate::net {

/// The addresses of a DNS name in the resolver's order, or what was wrong.
using Resolved = std::expected<std::vector<ftp::Address>, std::string>;

/// One look-up on libuv's thread pool: the loop never waits for a resolver. Destroying it gives up.
class Lookup {
 public:
  using OnDone = std::move_only_function<void(Resolved)>;
  Lookup(Loop& loop, const std::string& name, OnDone on_done);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

 private:
  struct Request;
  Request* request_;
};

/// The same, waiting for the answer: for start-up only.
Resolved resolve_now(const std::string& name);

}  // namespace pasvgate::net
