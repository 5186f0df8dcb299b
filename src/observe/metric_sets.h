#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

/// What metrics.cpp makes its metrics of: families with our prefix, and sets of metrics by label.
namespace pasvgate::observe {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

/// The values of a label whose name function is `name`, for the first `N` enumerators.
template <std::size_t N, typename Enum>
std::array<std::string_view, N> names(std::string_view (*name)(Enum)) {
  std::array<std::string_view, N> values;
  for (std::size_t i = 0; i < N; ++i) values[i] = name(static_cast<Enum>(i));
  return values;
}

/// One counter for each value of an enum. All exist from the start, so that a rate sees the first event too.
template <typename Enum, std::size_t N>
class CounterSet {
 public:
  CounterSet(prometheus::Family<Counter>& family, const std::string& label,
             const std::array<std::string_view, N>& values, const Labels& others = {}) {
    for (std::size_t i = 0; i < N; ++i) {
      Labels labels = others;
      labels.emplace(label, values[i]);
      counters_[i] = &family.Add(labels);
    }
  }
  Counter& operator[](Enum value) const { return *counters_[static_cast<std::size_t>(value)]; }

 private:
  std::array<Counter*, N> counters_;
};

/// One metric for each server of a backend: the configuration bounds their number, and ServerGroup::kMostRecords that
/// of a name's records.
template <typename Metric>
class ByServer {
 public:
  explicit ByServer(prometheus::Family<Metric>& family, Labels others = {})
      : family_(family), others_(std::move(others)) {}

  Metric& of(std::string_view backend, std::string_view server) {
    const std::lock_guard lock(mutex_);
    auto& metric = metrics_[{std::string(backend), std::string(server)}];
    if (metric == nullptr) {
      Labels labels = others_;
      labels.emplace("backend", backend);
      labels.emplace("server", server);
      metric = &family_.Add(labels);
    }
    return *metric;
  }
  void remove(std::string_view backend, std::string_view server) {
    const std::lock_guard lock(mutex_);
    const auto found = metrics_.find({std::string(backend), std::string(server)});
    if (found == metrics_.end()) return;
    family_.Remove(found->second);
    metrics_.erase(found);
  }

 private:
  prometheus::Family<Metric>& family_;
  const Labels others_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Metric*> metrics_;
};

inline prometheus::Family<Counter>& counters(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name("pasvgate_" + name).Help(help).Register(registry);
}

inline prometheus::Family<Gauge>& gauges(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name("pasvgate_" + name).Help(help).Register(registry);
}

inline Histogram& histogram(Registry& registry, const std::string& name, const std::string& help,
                            const Histogram::BucketBoundaries& seconds) {
  return prometheus::BuildHistogram().Name("pasvgate_" + name).Help(help).Register(registry).Add({}, seconds);
}

}  // namespace pasvgate::observe
