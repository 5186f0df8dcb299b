#include <algorithm>

#include "cli/command_model.h"

namespace pasvgate::cli {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string option_names(const CommandModel& command) {
  std::vector<std::string> names;
  names.reserve(command.options.size());
  for (const auto& option : command.options) names.push_back(option.name);
  return joined(names);
}

std::string command_names(const CommandModel& program) {
  std::vector<std::string> names;
  names.reserve(program.commands.size());
  for (const auto& command : program.commands) names.push_back(command.name);
  return joined(names);
}

bool takes_file(const CommandModel& command) { return std::ranges::any_of(command.positionals, &OptionModel::is_file); }

/// Inside single quotes of any shell: no quote, no newline.
std::string quotable(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    if (byte == '\'')
      out += "’";
    else
      out += byte == '\n' ? ' ' : byte;
  }
  return out;
}

/// _arguments reads these in a specification; brackets end its description.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char byte : quotable(text)) {
    if (byte == '[' || byte == ']' || byte == ':' || byte == '\\') out += '\\';
    out += byte;
  }
  return out;
}

/// ":VALUE:(a b)", ":VALUE:_files".
std::string zsh_value(const OptionModel& option) {
  if (option.value.empty()) return "";
  std::string text = ":" + zsh_text(option.value) + ":";
  const auto choices = option.choices();
  if (choices.empty()) return text += option.is_file() ? "_files" : " ";
  if (option.is_file()) return text.append("{compadd ").append(joined(choices)) + "; _files}";
  return text.append("(").append(joined(choices)) + ")";
}

std::string zsh_specification(const OptionModel& option) {
  std::string text = option.repeated ? "'*" : "'";
  return text.append(option.name)
             .append("[")
             .append(zsh_text(option.description))
             .append("]")
             .append(zsh_value(option)) +
         "'";
}

std::string fish_option(const OptionModel& option, const std::string& condition) {
  std::string text = "complete -c pasvgate " + condition + " -l " + option.name.substr(2);
  if (const auto choices = option.choices(); !choices.empty()) {
    text += (option.is_file() ? " -r -F -a '" : " -x -a '") + joined(choices) + "'";
  } else if (!option.value.empty()) {
    text += option.is_file() ? " -r -F" : " -x";
  }
  return text + " -d '" + quotable(option.description) + "'\n";
}

}  // namespace

std::vector<std::string> OptionModel::choices() const {
  std::vector<std::string> all;
  if (value.find('|') == std::string::npos) return all;
  for (std::size_t begin = 0; begin <= value.size();) {
    const std::size_t end = std::min(value.find('|', begin), value.size());
    const std::string one = value.substr(begin, end - begin);
    // "ADDRESS:PORT|off": what is in capitals stands for something.
    if (!std::ranges::any_of(one, [](char byte) { return byte >= 'A' && byte <= 'Z'; })) all.push_back(one);
    begin = end + 1;
  }
  return all;
}

std::string bash_completion(const CommandModel& program) {
  std::string values;
  std::string words;
  for (const auto& command : program.commands) {
    for (const auto& option : command.options) {
      if (option.value.empty()) continue;
      values += "    \"" + command.name + " " + option.name + "\") ";
      if (const auto choices = option.choices(); !choices.empty())
        values += "words='" + joined(choices) + (option.is_file() ? "'; files=yes ;;\n" : "' ;;\n");
      else
        values += option.is_file() ? "files=yes ;;\n" : "return ;;\n";
    }
    words += "    " + command.name + ") options='" + option_names(command) + " " + option_names(program) + "'";
    words += takes_file(command) ? "; files=yes ;;\n" : " ;;\n";
  }
  return "# bash completion for pasvgate\n"
         "_pasvgate() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words= options= files= i\n"
         "  COMPREPLY=()\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    case ${COMP_WORDS[i]} in\n"
         "    -*) ;;\n"
         "    *) command=${COMP_WORDS[i]}; break ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$command $prev\" in\n" +
         values +
         "  *)\n"
         "    case $command in\n"
         "    '') words='" +
         command_names(program) + "'; options='" + option_names(program) + "' ;;\n" + words +
         "    esac\n"
         "    case $cur in -*) words=$options files= ;; esac\n"
         "    ;;\n"
         "  esac\n"
         "  if [ -n \"$files\" ]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
         "  fi\n"
         "  if [ -n \"$words\" ]; then\n"
         "    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
         "  fi\n"
         "}\n"
         "complete -F _pasvgate pasvgate\n";
}

std::string zsh_completion(const CommandModel& program) {
  std::string commands;
  std::string cases;
  std::string own;
  for (const auto& option : program.options) own.append(" \\\n      ").append(zsh_specification(option));
  for (const auto& command : program.commands) {
    commands.append("      '").append(command.name).append(":").append(zsh_text(command.description)).append("'\n");
    cases += "    " + command.name + ")\n      _arguments";
    for (const auto& option : command.options) cases.append(" \\\n        ").append(zsh_specification(option));
    for (const auto& positional : command.positionals) {
      cases += " \\\n        ':" + zsh_text(positional.name) + ":" + (positional.is_file() ? "_files'" : " '");
    }
    cases += own + "\n      ;;\n";
  }
  return "#compdef pasvgate\n"
         "_pasvgate() {\n"
         "  local context state state_descr line\n"
         "  typeset -A opt_args\n"
         "  _arguments -C" +
         own +
         " \\\n      '1: :->command' '*::: :->arguments'\n"
         "  case $state in\n"
         "  command)\n"
         "    local -a commands=(\n" +
         commands +
         "    )\n"
         "    _describe command commands\n"
         "    ;;\n"
         "  arguments)\n"
         "    case $line[1] in\n" +
         cases +
         "    esac\n"
         "    ;;\n"
         "  esac\n"
         "}\n"
         // Autoloaded, the file is the function; sourced, it only defines it.
         "if [ \"$funcstack[1]\" = _pasvgate ]; then _pasvgate \"$@\"; else compdef _pasvgate pasvgate; fi\n";
}

std::string fish_completion(const CommandModel& program) {
  std::string text = "# fish completion for pasvgate\ncomplete -c pasvgate -f\n";
  for (const auto& option : program.options) text += fish_option(option, "");
  const std::string none = "-n 'not __fish_seen_subcommand_from " + command_names(program) + "'";
  for (const auto& command : program.commands) {
    text.append("complete -c pasvgate ").append(none).append(" -a ").append(command.name);
    text.append(" -d '").append(quotable(command.description)).append("'\n");
    const std::string seen = "-n '__fish_seen_subcommand_from " + command.name + "'";
    for (const auto& option : command.options) text += fish_option(option, seen);
    if (takes_file(command)) text.append("complete -c pasvgate ").append(seen).append(" -F\n");
  }
  return text;
}

}  // namespace pasvgate::cli
