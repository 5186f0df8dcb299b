#include "observe/log.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "ftp/command.h"
#include "observe/line_writer.h"
#include "observe/log_sink.h"
#include "observe/trace_words.h"
#include "observe/transfer_log.h"

namespace pasvgate::observe {
namespace {

using config::LogLevel;
using Kind = Field::Kind;

// A disk or a reader that is stuck must not keep the process from its end.
constexpr std::chrono::milliseconds kLastPatience{1000};

/// Makes the one line of the log that says what isn't there.
std::string dropped_line(std::uint64_t count);

/// Where lines go, and what a reload changes for all threads at once.
struct Output {
  LineWriter& writer = *new LineWriter(dropped_line);
  LineWriter& transfers = *new LineWriter([](std::uint64_t) { return std::string(); });
  std::atomic<LogLevel> level{LogLevel::Info};
  std::atomic<config::LogFormat> format{config::LogFormat::Text};
  std::atomic<bool> colored{false};
  std::atomic<bool> has_transfers{false};
  std::atomic<config::TransferFormat> transfers_format{config::TransferFormat::Xferlog};

  Output() { writer.use(make_target_sink(config::LogTarget::Stderr)); }
};

// Set before there is an output, whose threads come when the process has given up its privileges.
std::atomic<LogColor> chosen_color{LogColor::OnTerminal};

/// Never destroyed: other threads may log while the process ends.
Output& output() {
  static Output& it = *new Output;
  return it;
}

bool is_enabled(LogLevel level) { return level >= output().level.load(std::memory_order_relaxed); }

std::string make_line(LogLevel level, std::string_view message, std::span<const Field> fields) {
  const auto now = std::chrono::system_clock::now();
  if (output().format == config::LogFormat::Json) return json_line(now, level, message, fields) + "\n";
  const LogColor color = output().colored ? LogColor::OnTerminal : LogColor::Never;
  return text_line(now, level, message, fields, color) + "\n";
}

std::string dropped_line(std::uint64_t count) {
  const std::array<Field, 1> fields{{{"lines", std::to_string(count), Kind::Number}}};
  return make_line(LogLevel::Warn, "log lines were dropped", fields);
}

/// `level` is enabled.
void write(LogLevel level, std::string_view message, std::span<const Field> fields) {
  output().writer.write(level, make_line(level, message, fields));
}

/// What a note looks like in the log, apart from the session it belongs to.
struct Event {
  std::string_view message;
  std::vector<Field> fields;
};

struct Level {
  LogLevel operator()(const gateway::CommandNote&) const { return LogLevel::Debug; }
  LogLevel operator()(const gateway::LoginNote&) const { return LogLevel::Info; }
  LogLevel operator()(const gateway::PolicyNote&) const { return LogLevel::Info; }
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
    return {"login", {{"user", ftp::masked_user(login.user)}, {"result", login.ok ? "ok" : "failed"}}};
  }
  Event operator()(const gateway::PolicyNote& refused) const {
    return {"command refused", {{"command", refused.command}, {"key", std::string(refused.key)}}};
  }
  Event operator()(const gateway::RewriteNote& rewrite) const {
    return {
        "rewrite",
        {{"verb", std::string(ftp::verb_name(rewrite.verb))}, {"backend", rewrite.backend}, {"told", rewrite.client}}};
  }
  Event operator()(const gateway::LeaseNote& lease) const {
    return {"no passive port", {{"why", std::string(gateway::failure_name(lease.why))}}};
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
    if (!warning.detail.empty()) event.fields.push_back({"detail", ftp::masked_reply(warning.detail)});
    return event;
  }

  template <typename Integer>
  static Field number(std::string_view name, Integer value) {
    return {name, std::to_string(value), Kind::Number};
  }
};

std::chrono::milliseconds age(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since);
}

/// Of a reply. PORT and EPRT are answered with 200.
int code_of(std::string_view line) {
  return static_cast<int>(ftp::parse_decimal(line.substr(0, 3), 999).value_or(200));
}

/// Ends that somebody may have to look into. What a scanner brings about isn't one.
bool is_error(gateway::EndReason reason) {
  using enum gateway::EndReason;
  return reason == BackendClosed || reason == GreetingTimeout || reason == ReplyTimeout;
}

}  // namespace

std::expected<void, std::string> open_log(const config::Log& settings) {
  const Rotation rotation{settings.max_size, settings.keep};
  std::unique_ptr<LogSink> sink;
  std::unique_ptr<LogSink> transfers;
  if (settings.file) {
    auto opened = open_file_sink(*settings.file, rotation);
    if (!opened) return std::unexpected("/log/file: " + opened.error());
    sink = std::move(*opened);
  } else {
    sink = make_target_sink(settings.target);
  }
  if (settings.transfers) {
    auto opened = open_file_sink(*settings.transfers, rotation);
    if (!opened) return std::unexpected("/log/transfers: " + opened.error());
    transfers = std::move(*opened);
  }
  const bool to_stdout = settings.target == config::LogTarget::Stdout;
  const bool is_terminal = !settings.file && (to_stdout || settings.target == config::LogTarget::Stderr) &&
                           ::isatty(to_stdout ? STDOUT_FILENO : STDERR_FILENO) == 1;
  Output& out = output();
  out.colored = is_terminal && chosen_color == LogColor::OnTerminal;
  out.format = settings.format;
  out.level = settings.level;
  out.writer.use(std::move(sink));
  out.transfers_format = settings.transfers_format;
  out.has_transfers = transfers != nullptr;
  if (transfers) out.transfers.use(std::move(transfers));
  return {};
}

void reopen_log() {
  output().writer.reopen();
  output().transfers.reopen();
}

void close_log() {
  output().writer.flush(kLastPatience);
  output().transfers.flush(kLastPatience);
}

std::uint64_t dropped_log_lines() { return output().writer.dropped() + output().transfers.dropped(); }

void set_log_color(LogColor color) { chosen_color = color; }

void log(LogLevel level, std::string_view message, std::initializer_list<Field> fields) {
  if (is_enabled(level)) write(level, message, fields);
}

SessionLog::SessionLog(std::uint64_t id, std::string_view listener, ftp::Endpoint client)
    : id_(id), listener_(listener), client_(client) {}

std::string SessionLog::id() const { return fmt::format("{:016x}", id_); }

void SessionLog::started() const {
  if (!is_enabled(LogLevel::Info)) return;
  write(LogLevel::Info, "session started",
        std::array<Field, 3>{{{"session", id()}, {"listener", std::string(listener_)}, {"client", client_.text()}}});
}

void SessionLog::note(const gateway::Note& note) {
  if (const auto text = trace_words(note); !text.empty()) trace_.add(age(started_), Speaker::Gateway, text);
  // An answer that no backend gave, or gave otherwise.
  if (const auto* answered = std::get_if<gateway::CommandNote>(&note)) {
    if (answered->code != shown_code_) {
      const auto verb = std::string(ftp::verb_name(answered->verb));
      trace_.add(age(started_), Speaker::Gateway,
                 "told the client " + std::to_string(answered->code) + " (" + verb + ")");
    }
    shown_code_ = 0;
  }
  if (const auto* rewrite = std::get_if<gateway::RewriteNote>(&note)) shown_code_ = code_of(rewrite->client);
  if (const auto* transfer = std::get_if<gateway::TransferNote>(&note)) shown_code_ = transfer->code;
  const LogLevel level = std::visit(Level{}, note);
  if (!is_enabled(level)) return;
  auto [message, fields] = std::visit(Describe{}, note);
  fields.insert(fields.begin(), {{"session", id()}, {"client", client_.text()}});
  write(level, message, fields);
}

void SessionLog::dialogue(Speaker from, std::string_view said) {
  const std::string text = from == Speaker::Backend ? ftp::masked_reply(said) : std::string(said);
  trace_.add(age(started_), from, text);
  if (from == Speaker::Backend) shown_code_ = code_of(text);
  if (!is_enabled(LogLevel::Debug)) return;
  const std::string_view direction = from == Speaker::Client ? ">" : from == Speaker::Backend ? "<" : "!";
  write(LogLevel::Debug, "dialogue",
        std::array<Field, 3>{{{"session", id()}, {"direction", std::string(direction)}, {"text", text}}});
}

void SessionLog::transfer(const gateway::TransferNote& note, std::string_view user,
                          std::chrono::nanoseconds duration) const {
  Output& out = output();
  if (!out.has_transfers || !is_for_transfer_log(note)) return;
  const std::string session = id();
  const std::string shown_user = ftp::masked_user(user);
  const TransferRecord record{.note = note,
                              .ended = std::chrono::system_clock::now(),
                              .duration = duration,
                              .client = client_.address,
                              .user = shown_user,
                              .session = session,
                              .listener = listener_};
  const bool json = out.transfers_format == config::TransferFormat::Json;
  out.transfers.write(LogLevel::Info, (json ? json_transfer_line(record) : xferlog_line(record)) + "\n");
}

void SessionLog::ended(gateway::EndReason reason, std::chrono::nanoseconds duration, std::string_view user) const {
  if (!is_enabled(LogLevel::Info)) return;
  if (is_error(reason)) {
    for (const auto& line : trace_.lines()) {
      write(LogLevel::Info, "trace",
            std::array<Field, 4>{
                {{"session", id()},
                 {"at", fmt::format("{:.3f}", std::chrono::duration<double>(line.age).count()), Kind::Number},
                 {"from", std::string(speaker_name(line.from))},
                 {"text", line.text}}});
    }
  }
  const double seconds = std::chrono::duration<double>(duration).count();
  std::vector<Field> fields{{"session", id()},
                            {"client", client_.text()},
                            {"reason", std::string(gateway::reason_name(reason))},
                            {"seconds", fmt::format("{:.3f}", seconds), Kind::Number}};
  if (!user.empty()) fields.push_back({"user", ftp::masked_user(user)});
  write(LogLevel::Info, "session ended", fields);
}

}  // namespace pasvgate::observe
