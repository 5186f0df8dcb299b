#pragma once

#include <chrono>
#include <thread>

namespace pasvgate::server {

/// Ends the process, with 0, when it hasn't ended by itself `patience` later: a look-up in getaddrinfo can't be taken
/// back, and the loop that it is for and libuv's threads wait for it as long as the resolver likes. All else is over
/// by then. Destroying it calls that off.
class LastWait {
 public:
  explicit LastWait(std::chrono::milliseconds patience);

 private:
  std::jthread thread_;
};

}  // namespace pasvgate::server
