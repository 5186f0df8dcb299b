#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "config/config.h"
#include "gateway/note.h"

/// The process's log on stderr: one event a line, text for people or JSON lines for machines. Thread-safe.
/// Everything a peer sent is escaped here; secrets can't arrive (see ftp::Command::masked).
namespace pasvgate::observe {

void open_log(const config::Log& settings);  ///< May be called again on reload.

struct Field {
  enum class Kind : std::uint8_t {
    Text,     ///< Raw; escaped on output.
    Escaped,  ///< As Text, but a backslash stays: the value may be escaped already.
    Number    ///< A decimal number of ours: no quotes in JSON.
  };
  std::string_view name;
  std::string value;
  Kind kind = Kind::Text;
};

/// `2026-11-21T10:00:00.123Z info  session started session=7f3a listener=public client=192.0.2.5:4242`: the message,
/// then name=value, in quotes when the value has a blank, a quote or "=" or is empty; in JSON
/// {"time":…,"level":"info","message":"session started","session":"7f3a",…}. The fields are built even when `level` is
/// not logged: callers on a hot path use SessionLog, which isn't so.
void log(config::LogLevel level, std::string_view message, std::initializer_list<Field> fields = {});

/// The log lines of one session: start, login, transfer, end, warnings, and at debug each command's reply.
class SessionLog {
 public:
  SessionLog(std::uint64_t id, std::string listener, ftp::Endpoint client);
  void started() const;
  void note(const gateway::Note& note) const;
  /// At debug level only; `text` is a masked command or a reply line.
  void dialogue(std::string_view direction, std::string_view text) const;
  void ended(gateway::EndReason reason, std::chrono::nanoseconds duration, std::string_view detail) const;
  /// Sixteen hex digits.
  [[nodiscard]] std::string id() const;

 private:
  std::uint64_t id_;
  std::string listener_;
  ftp::Endpoint client_;
};

}  // namespace pasvgate::observe
