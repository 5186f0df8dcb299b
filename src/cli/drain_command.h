#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace pasvgate::cli {

/// The command line of `pasvgate drain`.
struct DrainOptions {
  int pid = 1;  ///< A container's only program.
  std::string after;
};

/// Adds the command; `options` must live as long as `app`.
CLI::App* add_drain(CLI::App& app, DrainOptions& options);

/// Runs it: SIGUSR1, and the wait for the process's end. 0 it has ended, or, as process 1, drains; 1 it can't be told;
/// 2 the command line can't be understood.
int drain(const DrainOptions& options);

}  // namespace pasvgate::cli
