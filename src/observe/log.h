#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <string>
#include <string_view>

#include "config/config.h"
#include "gateway/note.h"
#include "observe/log_line.h"
#include "observe/status.h"
#include "observe/trace.h"

/// The process's log: one event a line, text for people or JSON lines for machines. Thread-safe. A thread of its own
/// writes (LineWriter): whoever logs never waits, and lines that can't be written are dropped and counted. Everything a
/// peer sent is escaped (log_line.h), and no password of a login arrives (ftp::Command::masked, ftp::masked_user).
namespace pasvgate::observe {

/// May be called again on reload. The error is a file that can't be opened; then all stays as it was.
std::expected<void, std::string> open_log(const config::Log& settings);
/// Opens files anew, which another program may have moved away.
void reopen_log();
/// Waits for what was logged to be written, but not for ever.
void close_log();
/// Of the log and of the transfer log, since the start.
std::uint64_t dropped_log_lines();
void set_log_color(LogColor color);  ///< Before open_log.

/// The fields are built even when `level` is not logged: callers on a hot path use SessionLog, which isn't so.
void log(config::LogLevel level, std::string_view message, std::initializer_list<Field> fields = {});

/// The log lines of one session: start, login, transfer, end, warnings, and at debug each command's reply.
class SessionLog {
 public:
  /// `listener` outlives it.
  SessionLog(std::uint64_t id, std::string_view listener, ftp::Endpoint client);
  void started() const;
  void note(const gateway::Note& note);
  /// Goes into the trace, and at debug level into the log; a masked command, or a reply line.
  void dialogue(Speaker from, std::string_view said);
  /// A line of the transfer log, where there is one. `duration` is the data connection's.
  void transfer(const gateway::TransferNote& note, std::string_view user, std::chrono::nanoseconds duration) const;
  void ended(gateway::EndReason reason, std::chrono::nanoseconds duration, std::string_view user) const;
  [[nodiscard]] SessionTrace trace() const { return {id(), client_.text(), trace_.lines()}; }
  /// Sixteen hex digits.
  [[nodiscard]] std::string id() const;

 private:
  std::uint64_t id_;
  std::string_view listener_;
  ftp::Endpoint client_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  int shown_code_ = 0;  ///< Of the last reply that the trace shows.
  Trace trace_;
};

}  // namespace pasvgate::observe
