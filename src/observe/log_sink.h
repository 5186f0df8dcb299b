#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "config/config.h"

namespace pasvgate::observe {

/// Where lines go in the end. Used by one thread, which may be held up in `write`; nobody else waits for it.
class LogSink {
 public:
  LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;
  virtual ~LogSink() = default;
  /// Writes `line`, which ends in a newline. False: it is lost (a full disk, a pipe that nobody reads).
  virtual bool write(config::LogLevel level, std::string_view line) = 0;
  /// Opens a file of the same name anew: another program has moved the old one away.
  virtual void reopen() {}
};

/// How a file is kept small.
struct Rotation {
  std::size_t max_size = 0;  ///< Bytes; 0: never.
  std::size_t keep = 0;      ///< Old files, PATH.1 being the youngest.
};

/// A file that is appended to; or a FIFO or a device, which is never waited for and never turned.
std::expected<std::unique_ptr<LogSink>, std::string> open_file_sink(const std::string& path, Rotation rotation);
/// stdout, stderr, stderr with the priorities that systemd's journal reads, or syslog.
std::unique_ptr<LogSink> make_target_sink(config::LogTarget target);

}  // namespace pasvgate::observe
