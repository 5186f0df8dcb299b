#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/admin_client.h"

namespace pasvgate::cli {

/// The command line of `pasvgate status`.
struct StatusOptions {
  AdminOptions admin;
  bool watch = false;
  bool json = false;
};

/// Adds the command; `options` must live as long as `app`.
CLI::App* add_status(CLI::App& app, StatusOptions& options);

/// Runs it. 0 done, 1 the gateway doesn't answer, 2 the command line can't be understood.
int status(const StatusOptions& options, bool no_color);

}  // namespace pasvgate::cli
