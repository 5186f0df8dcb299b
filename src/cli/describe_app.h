#pragma once

#include <CLI/CLI.hpp>

#include "cli/command_model.h"

namespace pasvgate::cli {

/// The command line as CLI11 parses it, without its hidden commands.
CommandModel describe_app(const CLI::App& app);

}  // namespace pasvgate::cli
