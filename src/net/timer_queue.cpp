#include "net/timer_queue.h"

#include <algorithm>
#include <utility>

namespace pasvgate::net {
namespace {

constexpr std::size_t kChildren = 4;

}  // namespace

void TimerQueue::start(Entry& entry, std::uint64_t due) {
  if (!std::exchange(entry.armed_, true)) ++armed_;
  entry.fires_ = false;
  entry.due_ = due;
  if (entry.place_ == Entry::kNowhere) {
    heap_.emplace_back();
    rise(heap_.size() - 1, {due, &entry});
  } else if (due < heap_[entry.place_].at) {
    rise(entry.place_, {due, &entry});
  }
}

void TimerQueue::stop(Entry& entry) {
  if (std::exchange(entry.armed_, false)) --armed_;
  entry.fires_ = false;
}

void TimerQueue::remove(Entry& entry) {
  stop(entry);
  if (entry.place_ != Entry::kNowhere) take_out(entry.place_);
}

std::optional<std::uint64_t> TimerQueue::next() const {
  return armed_ == 0 ? std::nullopt : std::optional(heap_.front().at);
}

void TimerQueue::take_due(std::uint64_t now, std::vector<Entry*>& due) {
  while (!heap_.empty() && heap_.front().at <= now) {
    Entry& first = *heap_.front().entry;
    if (first.armed_ && first.due_ > heap_.front().at) {
      sink(0, {first.due_, &first});
      continue;
    }
    take_out(0);
    if (!first.armed_) continue;
    stop(first);
    first.fires_ = true;
    due.push_back(&first);
  }
}

bool TimerQueue::fire(Entry& entry) { return std::exchange(entry.fires_, false); }

void TimerQueue::put(std::size_t place, Node node) {
  node.entry->place_ = static_cast<std::uint32_t>(place);
  heap_[place] = node;
}

void TimerQueue::rise(std::size_t place, Node node) {
  while (place > 0) {
    const std::size_t parent = (place - 1) / kChildren;
    if (heap_[parent].at <= node.at) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, node);
}

void TimerQueue::sink(std::size_t place, Node node) {
  for (;;) {
    const std::size_t first = place * kChildren + 1;
    if (first >= heap_.size()) break;
    const auto begin = heap_.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(kChildren, heap_.size() - first));
    const auto least =
        std::min_element(begin, end, [](const Node& one, const Node& other) { return one.at < other.at; });
    if (least->at >= node.at) break;
    put(place, *least);
    place = static_cast<std::size_t>(least - heap_.begin());
  }
  put(place, node);
}

void TimerQueue::take_out(std::size_t place) {
  heap_[place].entry->place_ = Entry::kNowhere;
  const Node last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  const bool rises = place > 0 && last.at < heap_[(place - 1) / kChildren].at;
  rises ? rise(place, last) : sink(place, last);
}

}  // namespace pasvgate::net
