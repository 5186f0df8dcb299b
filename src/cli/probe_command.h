#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace pasvgate::cli {

/// The command line of `pasvgate probe`.
struct ProbeOptions {
  std::string target;
  std::string user;
  std::string password_file;
  std::string tls = "auto";
  std::string tls_ca;
  std::string timeout = "5";
  bool active = false;
  bool json = false;
};

/// Adds the command; `options` must live as long as `app`.
CLI::App* add_probe(CLI::App& app, ProbeOptions& options);

/// Runs it. 0 nothing found, 1 findings, 2 it couldn't be tested.
int probe(const ProbeOptions& options, bool no_color);

}  // namespace pasvgate::cli
