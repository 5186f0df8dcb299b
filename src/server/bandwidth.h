#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "config/config.h"
#include "gateway/token_bucket.h"
#include "net/guarded.h"
#include "net/pace.h"
#include "observe/metrics.h"

namespace pasvgate::server {

/// The limits of config::Bandwidth, as the paces of relays. All workers share one; thread-safe.
class Bandwidth {
 public:
  using Bucket = net::Guarded<gateway::TokenBucket>;
  /// What a session has of it from its first transfer on, so that the next one finds the buckets as this one left them.
  struct Session {
    std::shared_ptr<Bucket> own;
    std::shared_ptr<Bucket> user;
    std::shared_ptr<Bucket> listener;
  };
  explicit Bandwidth(observe::Metrics& metrics) : metrics_(metrics) {}

  /// Of a transfer that begins now; `session` is made when it is needed. `user` is a gateway::user_key.
  std::unique_ptr<net::Pace> pace(const config::Bandwidth& limits, std::unique_ptr<Session>& session,
                                  const std::string& listener, const std::string& backend, const std::string& user);
  /// Of one that passes through encrypted: nobody knows whose it is. None where no limit asks for it.
  std::unique_ptr<net::Pace> blind_pace(const config::Bandwidth& limits, const std::string& listener);

 private:
  /// By what they are for, and by their rate: after a reload sessions keep the limits that they began with.
  using Key = std::pair<std::string, std::size_t>;
  struct Known {
    std::map<Key, std::weak_ptr<Bucket>> buckets;
    std::size_t clean_at = 64;  ///< Buckets; then those that nobody has any more go.
  };
  std::shared_ptr<Bucket> shared(std::string name, std::size_t rate);

  observe::Metrics& metrics_;
  net::Guarded<Known> known_;
};

}  // namespace pasvgate::server
