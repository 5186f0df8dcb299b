#include "observe/line_writer.h"

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace pasvgate::observe {
namespace {

// Some seconds of a busy gateway at debug level.
constexpr std::size_t kMostLines = 10'000;
constexpr std::size_t kMostBytes = 4'000'000;

}  // namespace

LineWriter::LineWriter(OnDropped on_dropped) : on_dropped_(std::move(on_dropped)) {
  // Signals are for the service's thread.
  sigset_t all{};
  sigset_t before{};
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this] { run(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void LineWriter::use(std::unique_ptr<LogSink> sink) { add({.sink = std::move(sink)}); }

void LineWriter::reopen() { add({}); }

void LineWriter::write(config::LogLevel level, std::string line) { add({.level = level, .text = std::move(line)}); }

void LineWriter::add(Entry entry) {
  const std::lock_guard lock(mutex_);
  const bool is_line = !entry.text.empty();
  if (is_line && (entries_.size() >= kMostLines || bytes_ + entry.text.size() > kMostBytes)) {
    ++dropped_;
    return;
  }
  bytes_ += entry.text.size();
  entries_.push_back(std::move(entry));
  wake_.notify_one();
}

void LineWriter::flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, patience, [this] { return entries_.empty() && !busy_; });
}

void LineWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !entries_.empty(); });
    busy_ = true;
    std::deque<Entry> entries = std::exchange(entries_, {});
    bytes_ = 0;
    lock.unlock();
    for (Entry& entry : entries) carry_out(entry);
    lock.lock();
    busy_ = false;
    if (entries_.empty()) idle_.notify_all();
  }
}

void LineWriter::carry_out(Entry& entry) {
  if (entry.sink) {
    sink_ = std::move(entry.sink);
  } else if (entry.text.empty()) {
    if (sink_) sink_->reopen();
  } else if (!write_out(entry)) {
    ++dropped_;
  }
}

bool LineWriter::write_out(const Entry& line) {
  if (!sink_) return false;
  if (const std::uint64_t lost = dropped_ - told_; lost != 0) {
    const std::string text = on_dropped_(lost);
    if (!text.empty() && sink_->write(config::LogLevel::Warn, text)) told_ += lost;
  }
  return sink_->write(line.level, line.text);
}

}  // namespace pasvgate::observe
