#include "gateway/command_policy.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "config/policy.h"
#include "ftp/reply.h"

namespace pasvgate::gateway {
namespace {

// What only reads, or changes nothing but the session. A list of what may be done, since servers have more commands
// that write than anybody knows.
constexpr auto kReading = std::to_array<std::string_view>(
    {"ABOR", "ACCT", "AUTH", "AVBL", "CCC",  "CDUP", "CLNT", "CSID",  "CWD",     "DSIZ",   "EPRT", "EPSV", "FEAT",
     "HASH", "HELP", "HOST", "LANG", "LIST", "MD5",  "MDTM", "MLSD",  "MLST",    "MODE",   "NLST", "NOOP", "OPTS",
     "PASS", "PASV", "PBSZ", "PORT", "PROT", "PWD",  "QUIT", "RANG",  "REIN",    "REST",   "RETR", "SIZE", "STAT",
     "STRU", "SYST", "TYPE", "USER", "XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256", "XSHA512"});
// Features of FEAT that are no commands.
constexpr std::array<std::string_view, 2> kNoCommands{"TVFS", "UTF8"};
// They carry a command in a form that can't be read here (RFC 2228 §3).
constexpr std::array<std::string_view, 3> kWrapped{"CONF", "ENC", "MIC"};

char upper(char byte) { return byte >= 'a' && byte <= 'z' ? static_cast<char>(byte - 'a' + 'A') : byte; }

bool holds(const auto& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

/// Nothing but letters, digits and what P@SW and the like have.
bool is_plain(std::string_view word) {
  return std::ranges::all_of(word, [](char byte) {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           std::string_view("@-_.").contains(byte);
  });
}

/// The argument's first, in upper case.
std::string first_word(std::string_view argument) {
  argument.remove_prefix(std::min(argument.find_first_not_of(" \t"), argument.size()));
  std::string word(argument.substr(0, argument.find_first_of(" \t")));
  std::ranges::transform(word, word.begin(), upper);
  return word;
}

/// "MDTM 20261121190000 name" sets the time of a file (vsftpd, Pure-FTPd, Serv-U).
bool sets_time(std::string_view argument) {
  argument.remove_prefix(std::min(argument.find_first_not_of(" \t"), argument.size()));
  const std::size_t end = argument.find_first_of(" \t");
  if (end == std::string_view::npos || argument.find_first_not_of(" \t", end) == std::string_view::npos) return false;
  return argument.find_first_not_of("0123456789") >= 12;  // with hours and minutes; a name may begin with a date
}

bool reads_only(std::string_view verb, const ftp::Command& command) {
  if (verb == "SITE") return first_word(command.argument) == "HELP";
  if (verb == "MDTM" && sets_time(command.argument)) return false;
  return holds(kReading, verb);
}

bool is_denied(std::string_view verb, std::string_view word, const config::Policy& policy) {
  const auto& denied = policy.denied_commands;
  if (denied.empty()) return false;
  const bool has_words = std::ranges::any_of(
      denied, [&](const config::CommandName& name) { return name.verb == verb && !name.word.empty(); });
  return config::lists(denied, verb, word) || holds(kWrapped, verb) || (has_words && !is_plain(word));
}

}  // namespace

std::optional<CommandRefusal> refused_command(const ftp::Command& command, const config::Policy& policy) {
  if (!policy.limits_commands()) return std::nullopt;
  const std::string verb = ftp::canonical_verb(command.name);
  const std::string word = first_word(command.argument);
  if (policy.read_only && !reads_only(verb, command)) {
    return CommandRefusal{"policy.read_only", ftp::write_reply(550, "Only reading is allowed here.")};
  }
  const auto refuse = [](std::string_view key) {
    return CommandRefusal{key, ftp::write_reply(502, "This command isn't allowed here.")};
  };
  if (is_denied(verb, word, policy)) return refuse("policy.denied_commands");
  if (!policy.commands.empty() && !config::lists(policy.commands, verb, word)) return refuse("policy.commands");
  if (!is_plain(command.name)) return refuse("policy.denied_commands");
  return std::nullopt;
}

bool may_be_offered(std::string_view feature, const config::Policy& policy) {
  // "MLST*;" and the like: facts without a blank before them.
  const auto command = ftp::Command::parse(feature.substr(0, feature.find(';')));
  const std::string verb = ftp::canonical_verb(command.name);
  if (holds(kNoCommands, verb)) return true;
  if (refused_command(command, policy)) return false;
  // It stands for both (RFC 3659 §7.8).
  return verb != "MLST" || !refused_command(ftp::Command::parse("MLSD"), policy);
}

}  // namespace pasvgate::gateway
