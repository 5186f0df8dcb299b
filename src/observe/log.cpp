#include "observe/log.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "ftp/command.h"
#include "ftp/line.h"

namespace pasvgate::observe {
namespace {

using config::LogLevel;
using Kind = Field::Kind;

/// Where lines go. The level is the logger's own, so that a reload changes it for all threads at once.
struct Output {
  spdlog::logger logger{"pasvgate", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  std::atomic<config::LogFormat> format{config::LogFormat::Text};

  Output() {
    logger.set_pattern("%v");
    // Nobody is left to be told that the log can't be written.
    logger.set_error_handler([](const std::string&) {});
  }
};

/// Never destroyed: other threads may log while the process ends.
Output& output() {
  static Output& it = *new Output;
  return it;
}

spdlog::level::level_enum threshold(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warn:
      return spdlog::level::warn;
    case LogLevel::Error:
      return spdlog::level::err;
  }
  std::unreachable();
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warn:
      return "warn";
    case LogLevel::Error:
      return "error";
  }
  std::unreachable();
}

bool is_enabled(LogLevel level) { return output().logger.should_log(threshold(level)); }

/// "2026-11-21T10:00:00.123Z"
std::string timestamp(std::chrono::system_clock::time_point now) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     milliseconds);
}

/// Like ftp::escaped, but a backslash stays: for text that may be escaped already.
std::string escaped_once(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t end = text.find('\\');
    out += ftp::escaped(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += '\\';
    text.remove_prefix(end + 1);
  }
}

std::string escaped(const Field& field) {
  return field.kind == Kind::Escaped ? escaped_once(field.value) : ftp::escaped(field.value);
}

/// `value` as it stands, or in quotes when a reader could not tell where it ends.
std::string quoted_if_needed(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \"=") == std::string::npos) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string text_line(LogLevel level, std::string_view message, std::span<const Field> fields) {
  std::string line =
      fmt::format("{} {:<5} {}", timestamp(std::chrono::system_clock::now()), level_name(level), escaped_once(message));
  for (const Field& field : fields) {
    line += fmt::format(" {}={}", field.name, quoted_if_needed(escaped(field)));
  }
  return line;
}

/// `text` as a JSON string. What is no UTF-8 in spite of the escaping is replaced, never thrown at the caller.
std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_line(LogLevel level, std::string_view message, std::span<const Field> fields) {
  std::string line =
      fmt::format(R"({{"time":"{}","level":"{}","message":{})", timestamp(std::chrono::system_clock::now()),
                  level_name(level), json_string(escaped_once(message)));
  for (const Field& field : fields) {
    line += fmt::format(",{}:{}", json_string(field.name),
                        field.kind == Kind::Number ? field.value : json_string(escaped(field)));
  }
  return line + '}';
}

/// `level` is enabled.
void write(LogLevel level, std::string_view message, std::span<const Field> fields) {
  const bool json = output().format == config::LogFormat::Json;
  const std::string line = json ? json_line(level, message, fields) : text_line(level, message, fields);
  output().logger.log(threshold(level), spdlog::string_view_t(line));
}

std::string_view failure_name(gateway::LeaseFailure why) {
  switch (why) {
    case gateway::LeaseFailure::Exhausted:
      return "exhausted";
    case gateway::LeaseFailure::ClientLimit:
      return "client_limit";
    case gateway::LeaseFailure::NotInRange:
      return "not_in_range";
  }
  std::unreachable();
}

/// What a note looks like in the log, apart from the session it belongs to.
struct Event {
  std::string_view message;
  std::vector<Field> fields;
};

struct Level {
  LogLevel operator()(const gateway::CommandNote&) const { return LogLevel::Debug; }
  LogLevel operator()(const gateway::LoginNote&) const { return LogLevel::Info; }
  LogLevel operator()(const gateway::RewriteNote&) const { return LogLevel::Debug; }
  LogLevel operator()(const gateway::LeaseNote&) const { return LogLevel::Warn; }
  LogLevel operator()(const gateway::DataTimeoutNote&) const { return LogLevel::Info; }
  LogLevel operator()(const gateway::TransferNote&) const { return LogLevel::Info; }
  LogLevel operator()(const gateway::WarningNote&) const { return LogLevel::Warn; }
};

struct Describe {
  Event operator()(const gateway::CommandNote& command) const {
    return {"command", {{"verb", std::string(ftp::verb_name(command.verb))}, number("code", command.code)}};
  }
  Event operator()(const gateway::LoginNote& login) const {
    return {"login", {{"user", login.user}, {"result", login.ok ? "ok" : "failed"}}};
  }
  Event operator()(const gateway::RewriteNote& rewrite) const {
    return {
        "rewrite",
        {{"verb", std::string(ftp::verb_name(rewrite.verb))}, {"backend", rewrite.backend}, {"told", rewrite.client}}};
  }
  Event operator()(const gateway::LeaseNote& lease) const {
    return {"no passive port", {{"why", std::string(failure_name(lease.why))}}};
  }
  Event operator()(const gateway::DataTimeoutNote& late) const {
    return {"no data connection",
            {{"leg", std::string(leg_name(late.leg))}, {"mode", std::string(mode_name(late.mode))}}};
  }
  Event operator()(const gateway::TransferNote& transfer) const {
    Event event{"transfer",
                {{"verb", std::string(ftp::verb_name(transfer.verb))},
                 {"path", transfer.path},
                 {"direction", transfer.direction == ftp::Direction::Download ? "download" : "upload"},
                 {"result", std::string(gateway::result_name(transfer.result))},
                 number("bytes", transfer.bytes),
                 number("code", transfer.code)}};
    if (transfer.client_setup != ftp::Verb::Other) {
      event.fields.push_back({"client_setup", std::string(ftp::verb_name(transfer.client_setup))});
      event.fields.push_back({"backend_setup", std::string(ftp::verb_name(transfer.backend_setup))});
    }
    return event;
  }
  Event operator()(const gateway::WarningNote& warning) const {
    Event event{warning.what, {}};
    if (!warning.detail.empty()) event.fields.push_back({"detail", warning.detail});
    return event;
  }

  template <typename Integer>
  static Field number(std::string_view name, Integer value) {
    return {name, std::to_string(value), Kind::Number};
  }
};

}  // namespace

void open_log(const config::Log& settings) {
  output().format = settings.format;
  output().logger.set_level(threshold(settings.level));
}

void log(LogLevel level, std::string_view message, std::initializer_list<Field> fields) {
  if (is_enabled(level)) write(level, message, fields);
}

SessionLog::SessionLog(std::uint64_t id, std::string listener, ftp::Endpoint client)
    : id_(id), listener_(std::move(listener)), client_(client) {}

std::string SessionLog::id() const { return fmt::format("{:016x}", id_); }

void SessionLog::started() const {
  if (!is_enabled(LogLevel::Info)) return;
  write(LogLevel::Info, "session started",
        std::array<Field, 3>{{{"session", id()}, {"listener", listener_}, {"client", client_.text()}}});
}

void SessionLog::note(const gateway::Note& note) const {
  const LogLevel level = std::visit(Level{}, note);
  if (!is_enabled(level)) return;
  auto [message, fields] = std::visit(Describe{}, note);
  fields.insert(fields.begin(), {{"session", id()}, {"client", client_.text()}});
  write(level, message, fields);
}

void SessionLog::dialogue(std::string_view direction, std::string_view text) const {
  if (!is_enabled(LogLevel::Debug)) return;
  write(LogLevel::Debug, "dialogue",
        std::array<Field, 3>{
            {{"session", id()}, {"direction", std::string(direction)}, {"text", std::string(text), Kind::Escaped}}});
}

void SessionLog::ended(gateway::EndReason reason, std::chrono::nanoseconds duration, std::string_view detail) const {
  if (!is_enabled(LogLevel::Info)) return;
  const double seconds = std::chrono::duration<double>(duration).count();
  std::vector<Field> fields{{"session", id()},
                            {"client", client_.text()},
                            {"reason", std::string(gateway::reason_name(reason))},
                            {"seconds", fmt::format("{:.3f}", seconds), Kind::Number}};
  if (!detail.empty()) fields.push_back({"detail", std::string(detail)});
  write(LogLevel::Info, "session ended", fields);
}

}  // namespace pasvgate::observe
