#include <algorithm>

#include "cli/command_model.h"
#include "config/keys.h"

namespace pasvgate::cli {
namespace {

// Of the last change of these pages' form; a page wants a date, and a build must not put its own in.
constexpr std::string_view kDate = "2026-11-21";

/// `text` so that roff prints it as it is: hyphens that can be copied, no escape, no request at a line's beginning.
std::string roff(std::string_view text) {
  std::string out;
  bool at_begin = true;
  for (const char byte : text) {
    if (at_begin && (byte == '.' || byte == '\'')) out += "\\&";
    at_begin = byte == '\n';
    if (byte == '\\')
      out += "\\e";
    else if (byte == '-')
      out += "\\-";
    else
      out += byte;
  }
  return out;
}

/// Text of several lines; each is a line of its own.
std::string lines(std::string_view text) {
  std::string out = roff(text);
  for (std::size_t at = out.find('\n'); at != std::string::npos; at = out.find('\n', at + 5)) {
    out.replace(at, 1, "\n.br\n");
  }
  return out + "\n";
}

std::string header(std::string_view name, std::string_view section, std::string_view title) {
  std::string text = ".TH ";
  text.append(name).append(" ").append(section).append(" ").append(kDate);
  return text.append(" \"pasvgate " PASVGATE_VERSION "\" \"").append(title).append("\"\n");
}

/// "pasvgate run [OPTION]... [CONFIG]"
std::string usage(const CommandModel& command) {
  std::string text = ".B pasvgate " + roff(command.name) + "\n";
  std::string rest = command.options.empty() ? "" : "[OPTION]...";
  for (const auto& one : command.positionals) {
    rest += (rest.empty() ? "" : " ") + (one.required ? one.name : "[" + one.name + "]");
  }
  for (const auto& option : command.options) {
    if (option.required) rest += " " + option.name + " " + option.value;
  }
  return text + (rest.empty() ? "" : roff(rest) + "\n");
}

std::string option_entry(const OptionModel& option) {
  std::string text = ".TP\n.B " + roff(option.name);
  if (!option.value.empty() && option.value != option.name) text += " " + roff(option.value);
  return text + "\n" + lines(option.description);
}

std::string signals_and_codes() {
  return ".SH SIGNALS\n"
         ".TP\n.B SIGTERM, SIGINT\nDrain: no new sessions, idle ones get 421, transfers finish within drain_timeout. A "
         "second one ends at once.\n"
         ".TP\n.B SIGUSR1\nDrain, as often as it comes; what drain sends.\n"
         ".TP\n.B SIGHUP\nRead the configuration again and open log files anew. A broken configuration is refused, the "
         "old one stays.\n"
         ".SH EXIT STATUS\n"
         ".TP\n.B 0\nDone.\n"
         ".TP\n.B 1\nThe configuration or the start failed; probe has findings; drain found nobody to tell.\n"
         ".TP\n.B 2\nThe command line can\\(aqt be understood; probe couldn\\(aqt test.\n"
         ".SH ENVIRONMENT\n"
         ".TP\n.B NO_COLOR\nSet to anything but nothing: no color on terminals.\n"
         ".SH SEE ALSO\n.BR pasvgate.json (5)\n";
}

/// "/listeners/*/address" is "listeners.*.address".
std::string dotted(std::string_view pointer) {
  std::string name(pointer.substr(1));
  std::ranges::replace(name, '/', '.');
  return name;
}

}  // namespace

std::string man_page(const CommandModel& program) {
  std::string text = header("PASVGATE", "1", "User Commands");
  text += ".SH NAME\npasvgate \\- NAT\\-aware FTP gateway\n.SH SYNOPSIS\n";
  for (std::size_t i = 0; i < program.commands.size(); ++i) {
    text.append(i == 0 ? "" : ".br\n").append(usage(program.commands[i]));
  }
  text +=
      ".SH DESCRIPTION\nStands between FTP servers on private addresses and the internet, relays the control channel,\n"
      "rewrites every address that FTP carries inside its text, and maps each data port through its own pool\n"
      "of public ports.\n.SH OPTIONS\n";
  for (const auto& option : program.options) text += option_entry(option);
  text += ".SH COMMANDS\n";
  for (const auto& command : program.commands) {
    text.append(".SS ").append(roff(command.name)).append("\n").append(lines(command.description));
    for (const auto& one : command.positionals) text += option_entry(one);
    for (const auto& option : command.options) text += option_entry(option);
    if (!command.footer.empty()) text.append(".PP\n").append(lines(command.footer));
  }
  return text + signals_and_codes();
}

std::string config_man_page() {
  std::string text = header("PASVGATE.JSON", "5", "File Formats");
  text +=
      ".SH NAME\npasvgate.json \\- configuration of pasvgate\n.SH DESCRIPTION\nOne JSON object; // and /* */ comments "
      "are allowed, unknown keys are not.\nIn a name * is a place in a list or a name of your choice.\nA duration is a "
      "number with a unit, \"500ms\", \"30s\", \"5m\" or \"1h\"; a bare number is seconds.\n.PP\n"
      ".B pasvgate check\nshows every mistake of a file at once.\n.SH KEYS\n";
  for (const config::KeyRow& row : config::key_rows()) {
    text.append(".TP\n.B ").append(roff(dotted(row.pointer))).append("\n").append(lines(row.description));
    text.append("Value: ").append(roff(config::allowed(row))).append(".\n");
    text.append("Default: ").append(row.fallback.empty() ? "none, required" : roff(row.fallback)).append(".\n");
  }
  return text +
         ".SH EXAMPLES\nThe least that runs:\n.PP\n.nf\n{\n  \"listeners\": [{\"address\": \"0.0.0.0:21\"}],\n"
         "  \"backends\": {\"default\": {\"servers\": [\"192.168.1.10:21\"]}}\n}\n.fi\n.SH SEE ALSO\n.BR pasvgate "
         "(1)\n";
}

}  // namespace pasvgate::cli
