#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "ftp/address.h"
#include "net/guarded.h"
#include "observe/status.h"

namespace pasvgate::server {

/// The last ones whom the gateway turned away, for the status page. Thread-safe.
class Refusals {
 public:
  void add(const ftp::Address& client, std::string what, std::string why) {
    refusals_.with([&](auto& list) {
      list.push_front({std::chrono::system_clock::now(), client.text(), std::move(what), std::move(why)});
      if (list.size() > kMost) list.pop_back();
    });
  }
  [[nodiscard]] std::vector<observe::Refusal> newest() const {
    return refusals_.with([](const auto& list) { return std::vector<observe::Refusal>(list.begin(), list.end()); });
  }

 private:
  static constexpr std::size_t kMost = 50;
  net::Guarded<std::deque<observe::Refusal>> refusals_;
};

}  // namespace pasvgate::server
