#pragma once

#include <string>
#include <vector>

/// The command line as values: what completions and the manual page are written from, so that they can't say anything
/// else than --help.
namespace pasvgate::cli {

struct OptionModel {
  std::string name;         ///< "--tls"; for a positional "CONFIG".
  std::string value;        ///< "FILE", "off|optional", as --help shows it; empty for a flag.
  std::string description;  ///< One sentence or more.
  bool required = false;
  bool repeated = false;

  /// What the value may be, where that is a short list: "off|optional" is two choices.
  [[nodiscard]] std::vector<std::string> choices() const;
  /// "FILE|none" is one too.
  [[nodiscard]] bool is_file() const { return value == "FILE" || value == "CONFIG" || value.starts_with("FILE|"); }
};

struct CommandModel {
  std::string name;
  std::string description;
  std::string footer;
  std::vector<OptionModel> positionals;
  std::vector<OptionModel> options;
  std::vector<CommandModel> commands;
};

// Shells' completion scripts.
std::string bash_completion(const CommandModel& program);
std::string zsh_completion(const CommandModel& program);
std::string fish_completion(const CommandModel& program);

/// pasvgate(1), for man or mandoc.
std::string man_page(const CommandModel& program);
/// pasvgate.json(5), from the table of the configuration's keys.
std::string config_man_page();

}  // namespace pasvgate::cli
