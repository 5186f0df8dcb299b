#include "server/bandwidth.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>

#include "server/shared.h"

namespace pasvgate::server {
namespace {

using Bucket = Bandwidth::Bucket;
using observe::Metrics;

std::shared_ptr<Bucket> make_bucket(std::size_t rate) { return std::make_shared<Bucket>(rate, monotonic_now()); }

/// One transfer within all the limits that hold for it: a portion is reserved in each of their buckets, and read when
/// it is due in all of them.
class TransferPace final : public net::Pace {
 public:
  explicit TransferPace(Metrics& metrics) : metrics_(metrics) {}
  ~TransferPace() override { put_back(granted_ + reserved_); }
  TransferPace(const TransferPace&) = delete;
  TransferPace& operator=(const TransferPace&) = delete;

  void add(Metrics::Limit limit, std::shared_ptr<Bucket> bucket) {
    if (bucket) parts_.at(count_++) = {.limit = limit, .bucket = std::move(bucket)};
  }

  Grant ask(std::uint64_t now) override {
    const gateway::Instant at(now);
    if (granted_ > 0) return {granted_, {}};
    if (reserved_ == 0) reserve(at);
    if (at < due_) return {0, due_ - at};
    granted_ = std::exchange(reserved_, 0);
    return {granted_, {}};
  }

  void used(std::size_t bytes, std::uint64_t now) override {
    const std::size_t within = std::min(bytes, granted_);
    granted_ -= within;
    if (bytes == within) return;
    for (auto& part : parts()) {
      part.bucket->with([&](auto& bucket) { bucket.reserve(bytes - within, gateway::Instant(now)); });
    }
  }

  void give_back() override { put_back(std::exchange(granted_, 0)); }

 private:
  struct Part {
    Metrics::Limit limit{};
    std::shared_ptr<Bucket> bucket;
    bool told = false;  ///< That it has held the transfer back.
  };
  [[nodiscard]] std::span<Part> parts() { return {parts_.data(), count_}; }

  void reserve(gateway::Instant now) {
    reserved_ = std::numeric_limits<std::size_t>::max();
    for (auto& part : parts()) {
      reserved_ = std::min(reserved_, part.bucket->with([&](auto& bucket) { return bucket.portion(now); }));
    }
    due_ = now;
    Part* last = nullptr;
    for (auto& part : parts()) {
      const auto due = part.bucket->with([&](auto& bucket) { return bucket.reserve(reserved_, now); });
      if (due <= due_) continue;
      due_ = due;
      last = &part;
    }
    if (last != nullptr && !std::exchange(last->told, true)) metrics_.limit_hit(last->limit);
  }

  void put_back(std::size_t bytes) {
    if (bytes == 0) return;
    for (auto& part : parts()) part.bucket->with([&](auto& bucket) { bucket.give_back(bytes); });
  }

  Metrics& metrics_;
  std::array<Part, 4> parts_;
  std::size_t count_ = 0;
  std::size_t reserved_ = 0;  ///< In all buckets, and not before `due_`.
  std::size_t granted_ = 0;   ///< Of what was reserved before: to be used now.
  gateway::Instant due_{};
};

}  // namespace

std::unique_ptr<net::Pace> Bandwidth::pace(const config::Bandwidth& limits, std::unique_ptr<Session>& session,
                                           const std::string& listener, const std::string& backend,
                                           const std::string& user) {
  if (!session) {
    session = std::make_unique<Session>();
    if (limits.session > 0) session->own = make_bucket(limits.session);
    session->listener = shared("listener " + listener, limits.listener);
  }
  // The name may be another one by now.
  session->user = shared("user " + backend + " " + user, limits.user);
  auto made = std::make_unique<TransferPace>(metrics_);
  if (limits.transfer > 0) made->add(Metrics::Limit::BandwidthTransfer, make_bucket(limits.transfer));
  made->add(Metrics::Limit::BandwidthSession, session->own);
  made->add(Metrics::Limit::BandwidthUser, session->user);
  made->add(Metrics::Limit::BandwidthListener, session->listener);
  return made;
}

std::unique_ptr<net::Pace> Bandwidth::blind_pace(const config::Bandwidth& limits, const std::string& listener) {
  if (limits.transfer == 0 && limits.listener == 0) return nullptr;
  auto made = std::make_unique<TransferPace>(metrics_);
  if (limits.transfer > 0) made->add(Metrics::Limit::BandwidthTransfer, make_bucket(limits.transfer));
  made->add(Metrics::Limit::BandwidthListener, shared("listener " + listener, limits.listener));
  return made;
}

std::shared_ptr<Bucket> Bandwidth::shared(std::string name, std::size_t rate) {
  if (rate == 0) return nullptr;
  return known_.with([&](Known& known) {
    auto& [buckets, clean_at] = known;
    if (buckets.size() >= clean_at) {
      std::erase_if(buckets, [](const auto& one) { return one.second.expired(); });
      clean_at = std::max<std::size_t>(64, 2 * buckets.size());
    }
    auto& there = buckets[{std::move(name), rate}];
    auto bucket = there.lock();
    if (bucket) return bucket;
    there = bucket = std::make_shared<Bucket>(rate, monotonic_now(), gateway::TokenBucket::Start::Empty);
    return bucket;
  });
}

}  // namespace pasvgate::server
