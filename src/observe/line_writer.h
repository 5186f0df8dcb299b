#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "observe/log_sink.h"

namespace pasvgate::observe {

/// A thread that writes lines, and a bounded queue to it: whoever logs never waits for a disk or a reader. When the
/// queue is full, or the sink can't write, lines are dropped and counted. Thread-safe. Never destroyed: its thread may
/// be held up in a write for ever, and ends with the process.
class LineWriter {
 public:
  /// Makes the line that says how many were dropped; empty for a log whose format has no room for it.
  using OnDropped = std::function<std::string(std::uint64_t)>;
  explicit LineWriter(OnDropped on_dropped);
  ~LineWriter() = delete;

  /// For the lines that are written from now on; those before still go to the old one.
  void use(std::unique_ptr<LogSink> sink);
  void reopen();
  /// `line` ends in a newline.
  void write(config::LogLevel level, std::string line);
  /// Waits until all is written, `patience` at most.
  void flush(std::chrono::milliseconds patience);
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  /// In the order of the calls: a line, another sink, or neither, which opens the sink anew.
  struct Entry {
    config::LogLevel level = config::LogLevel::Info;
    std::string text;
    std::unique_ptr<LogSink> sink;
  };
  void add(Entry entry);
  void run();
  void carry_out(Entry& entry);
  bool write_out(const Entry& line);

  OnDropped on_dropped_;
  std::atomic<std::uint64_t> dropped_ = 0;
  std::uint64_t told_ = 0;         ///< Of `dropped_`; the thread's own.
  std::unique_ptr<LogSink> sink_;  ///< The thread's own.

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  // Behind the mutex:
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
  bool busy_ = false;
};

}  // namespace pasvgate::observe
