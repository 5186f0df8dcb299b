#include "cli/status_command.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <optional>

#include "cli/admin_client.h"
#include "cli/interrupts.h"
#include "cli/status_report.h"
#include "cli/terminal.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

int fail(const std::string& text) {
  std::cerr << text << '\n';
  return 1;
}

/// The four answers, each under its name.
std::expected<ordered_json, AdminError> ask(const AdminClient& client) {
  ordered_json all;
  for (const std::string name : {"status", "sessions", "ports", "backends"}) {
    auto answer = client.get("/api/v1/" + name + (name == "sessions" ? "?limit=500" : ""));
    if (!answer) return answer;
    all[name] = std::move(*answer);
  }
  return all;
}

std::string shown(const ordered_json& all, const StatusOptions& options, bool no_color) {
  // Watched, one object a line.
  if (options.json) return json_text(all, options.watch ? -1 : 2);
  const GatewayView view{.status = status_of(all["status"]),
                         .transfers = transfers_of(all["sessions"]),
                         .ports = ports_of(all["ports"]),
                         .servers = servers_of(all["backends"])};
  const TerminalSize size = terminal_size();
  return status_text(view, {.width = size.width,
                            .height = options.watch ? size.height : 0,
                            .color = color_for(STDOUT_FILENO, no_color),
                            .glyphs = glyphs_for_locale()});
}

/// Until a signal ends it. A gateway that has answered may go away for a while, as in a restart.
class Watch {
 public:
  Watch(const AdminAccess& access, const StatusOptions& options, bool no_color)
      : options_(options), no_color_(no_color), interval_(access.interval), client_(access, interrupts_.descriptor()) {}

  int run() {
    for (;;) {
      const auto all = ask(client_);
      // A signal isn't the gateway's fault.
      if (!all && !has_answered_ && !interrupts_.is_waiting()) return fail(all.error().text);
      if (all && !show(shown(*all, options_, no_color_))) return 1;
      if (!all && !interrupts_.is_waiting()) complain(all.error().text);
      const auto wish = interrupts_.wait(interval_);
      if (wish == Interrupts::Wish::End) return 0;
      if (wish == Interrupts::Wish::Pause) pause();
    }
  }

 private:
  bool show(const std::string& text) {
    has_answered_ = true;
    if (options_.json) return write_out(text);
    if (!screen_) screen_.emplace();
    return screen_->show(text);
  }
  void complain(const std::string& text) {
    if (screen_ && screen_->is_terminal()) {
      screen_->show(text + "\n");
    } else {
      std::cerr << text << '\n';
    }
  }
  void pause() {
    if (screen_) {
      screen_->pause();
    } else {
      stop_process();
    }
  }

  const StatusOptions& options_;
  bool no_color_;
  std::chrono::milliseconds interval_;
  bool has_answered_ = false;
  Interrupts interrupts_;
  AdminClient client_;
  std::optional<Screen> screen_;
};

}  // namespace

CLI::App* add_status(CLI::App& app, StatusOptions& options) {
  auto* command =
      app.add_subcommand("status", "Show what a running gateway carries: sessions, transfers, ports, servers");
  command->add_flag("--watch", options.watch, "Again and again until Ctrl-C");
  command->add_flag("--json", options.json, "The admin API's answers as one JSON object; with --watch one a line");
  add_admin(*command, options.admin, "2");
  command->footer("Exit code: 0 done, 1 the gateway doesn't answer.");
  return command;
}

int status(const StatusOptions& options, bool no_color) {
  const auto access = admin_access(options.admin);
  if (!access) {
    std::cerr << access.error() << '\n';
    return 2;
  }
  if (options.watch) return Watch(*access, options, no_color).run();
  const auto all = ask(AdminClient(*access));
  if (!all) return fail(all.error().text);
  return write_out(shown(*all, options, no_color)) ? 0 : 1;
}

}  // namespace pasvgate::cli
