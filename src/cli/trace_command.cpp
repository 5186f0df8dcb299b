#include "cli/trace_command.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include "cli/admin_client.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "cli/trace_report.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kNotFound = 404;

/// Whose dialogue is asked for.
struct Subject {
  std::string target;                     ///< Of the request.
  std::string none;                       ///< What to say when nothing runs.
  bool is_client = false;                 ///< All sessions of a client.
  std::optional<ftp::Endpoint> endpoint;  ///< Of them, the one that comes from here.
};

std::optional<Subject> subject_of(const std::string& text) {
  const auto endpoint = ftp::Endpoint::parse(text);
  const auto address = endpoint ? endpoint->address : ftp::Address::parse(text);
  if (address) {
    return Subject{.target = "/api/v1/trace?client=" + address->text(),
                   .none = "no session of " + (endpoint ? endpoint->text() : address->text()) + " is running",
                   .is_client = true,
                   .endpoint = endpoint};
  }
  const bool is_id = !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
  if (!is_id) return std::nullopt;
  return Subject{.target = "/api/v1/sessions/" + text + "/trace", .none = "no session " + text + " is running"};
}

/// The sessions of an answer, each an object with its lines.
std::vector<ordered_json> sessions_of(ordered_json answer, const Subject& subject) {
  if (!subject.is_client) return {std::move(answer)};
  std::vector<ordered_json> sessions;
  for (auto& session : answer["sessions"]) {
    if (subject.endpoint && ftp::Endpoint::parse(trace_of(session).client) != subject.endpoint) continue;
    sessions.push_back(std::move(session));
  }
  return sessions;
}

/// New lines of the last look as JSON, each with its session.
std::string json_lines(const std::vector<ordered_json>& sessions, const std::vector<SessionTrace>& traces,
                       const std::vector<std::size_t>& firsts) {
  std::string out;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    for (std::size_t at = firsts[i]; at < traces[i].lines.size(); ++at) {
      ordered_json line{{"session", traces[i].id}, {"client", traces[i].client}};
      const auto& answered = sessions[i]["lines"][at];
      if (answered.is_object()) line.update(answered);
      out += json_text(line, -1);
    }
  }
  return out;
}

class Trace {
 public:
  /// With `interrupts`, a signal ends a look without a word.
  Trace(const AdminAccess& access, Subject subject, const TraceOptions& options, Color color,
        const Interrupts* interrupts = nullptr)
      : client_(access, interrupts == nullptr ? -1 : interrupts->descriptor()),
        subject_(std::move(subject)),
        options_(options),
        follower_(color),
        interrupts_(interrupts) {}

  /// One look: what is new goes to stdout. The exit code where this was the last one.
  std::optional<int> look() {
    auto answer = client_.get(subject_.target);
    if (!answer && interrupts_ != nullptr && interrupts_->is_waiting()) return std::nullopt;
    const bool is_gone = !answer && answer.error().status == kNotFound;
    if (!answer && !is_gone) return fail(answer.error().text);
    const auto sessions = is_gone ? std::vector<ordered_json>() : sessions_of(std::move(*answer), subject_);
    if (sessions.empty() && !follower_.has_sessions()) return fail(subject_.none);
    if (options_.json && !options_.follow) {
      return print(json_text(subject_.is_client ? ordered_json{{"sessions", sessions}} : sessions.front(), 2));
    }
    std::vector<SessionTrace> traces;
    traces.reserve(sessions.size());
    for (const auto& session : sessions) traces.push_back(trace_of(session));
    const std::string text = follower_.look(traces);
    const int printed = print(options_.json ? json_lines(sessions, traces, follower_.firsts()) : text);
    return printed == 0 && options_.follow && follower_.has_sessions() ? std::nullopt : std::optional<int>(printed);
  }

 private:
  static int fail(const std::string& text) {
    std::cerr << text << '\n';
    return 1;
  }
  static int print(const std::string& text) { return write_out(text) ? 0 : 1; }

  AdminClient client_;
  Subject subject_;
  const TraceOptions& options_;
  TraceFollower follower_;
  const Interrupts* interrupts_;
};

}  // namespace

CLI::App* add_trace(CLI::App& app, TraceOptions& options) {
  auto* command =
      app.add_subcommand("trace", "Show the dialogue of a running session, and what was changed in it and why");
  command
      ->add_option("SESSION|CLIENT-ADDRESS", options.subject,
                   "Id of a session, or the address of a client: all of its sessions, with a port that one")
      ->required();
  command->add_flag("--follow", options.follow, "Go on with new lines until the session has ended, or Ctrl-C");
  command->add_flag("--json", options.json, "The admin API's answer; with --follow one object for each line");
  add_admin(*command, options.admin, "500ms");
  command->footer("Exit code: 0 done, 1 no such session, or the gateway doesn't answer.");
  return command;
}

int trace(const TraceOptions& options, bool no_color) {
  const auto access = admin_access(options.admin);
  auto subject = subject_of(options.subject);
  if (!access || !subject) {
    std::cerr << (access ? "neither a session's id nor an address; write it as in 00c0ffee01000001, 192.0.2.7 or "
                           "[2001:db8::7]:51234"
                         : access.error())
              << '\n';
    return 2;
  }
  const Color color = color_for(STDOUT_FILENO, no_color);
  if (!options.follow) return Trace(*access, std::move(*subject), options, color).look().value_or(0);
  const Interrupts interrupts;
  Trace trace(*access, std::move(*subject), options, color, &interrupts);
  for (;;) {
    if (const auto done = trace.look()) return *done;
    const auto wish = interrupts.wait(access->interval);
    if (wish == Interrupts::Wish::End) return 0;
    if (wish == Interrupts::Wish::Pause) stop_process();
  }
}

}  // namespace pasvgate::cli
