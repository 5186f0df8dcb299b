#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "ftp/command.h"

/// Which commands of a client a policy lets through.
namespace pasvgate::gateway {

struct CommandRefusal {
  std::string_view key;  ///< Of the configuration: "policy.read_only", …
  std::string reply;     ///< 550 for `read_only`, 502 for what the lists refuse.
};

/// Nothing for a command that may go on. Where something is refused, so is a command whose name holds bytes that no
/// command has: a server that overlooks them would carry it out.
std::optional<CommandRefusal> refused_command(const ftp::Command& command, const config::Policy& policy);

/// Whether a line of FEAT ("MFMT", "MLST type*;size*;", "UTF8") may be told.
bool may_be_offered(std::string_view feature, const config::Policy& policy);

}  // namespace pasvgate::gateway
