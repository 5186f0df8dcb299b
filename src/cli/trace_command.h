#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/admin_client.h"

namespace pasvgate::cli {

/// The command line of `pasvgate trace`.
struct TraceOptions {
  std::string subject;  ///< A session's id, or a client's ADDRESS or ADDRESS:PORT.
  AdminOptions admin;
  bool follow = false;
  bool json = false;
};

/// Adds the command; `options` must live as long as `app`.
CLI::App* add_trace(CLI::App& app, TraceOptions& options);

/// Runs it. 0 done, 1 no such session or no answer, 2 the command line can't be understood.
int trace(const TraceOptions& options, bool no_color);

}  // namespace pasvgate::cli
