#include "cli/probe_command.h"

#include <unistd.h>

#include <fstream>
#include <iostream>

#include "cli/probe_client.h"
#include "cli/terminal.h"
#include "config/read.h"

namespace pasvgate::cli {
namespace {

constexpr int kUntested = 2;

/// The first line of a file: a password is not for the command line, where everybody on the machine sees it.
std::expected<std::string, std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::unexpected(path + ": can't be read");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::expected<ProbeRequest, std::string> request_of(const ProbeOptions& options) {
  ProbeRequest request{.target = options.target,
                       .user = options.user,
                       .password = {},
                       .tls = parse_probe_tls(options.tls).value_or(ProbeTls::Auto),
                       .tls_ca = options.tls_ca == "none" ? "" : options.tls_ca,
                       .any_certificate = options.tls_ca == "none",
                       .active = options.active};
  const auto timeout = config::parse_duration(options.timeout);
  if (!timeout || timeout->count() == 0) {
    return std::unexpected("--timeout: \"" + options.timeout + "\" is no time; write seconds, as in 5, or \"500ms\"");
  }
  request.timeout = *timeout;
  if (request.user.find_first_of("\r\n") != std::string::npos) return std::unexpected("--user: one line only");
  if (options.password_file.empty()) return request;
  auto password = first_line(options.password_file);
  if (!password) return std::unexpected("--password-file: " + password.error());
  request.password = std::move(*password);
  return request;
}

}  // namespace

CLI::App* add_probe(CLI::App& app, ProbeOptions& options) {
  auto* command = app.add_subcommand("probe", "Act as a client and say what works from here and what doesn't");
  command->add_option("HOST[:PORT]", options.target, "Server to test; the port is 21, with --tls implicit 990")
      ->required();
  command->add_option("--user", options.user, "User to log in as; without it anonymous is tried")->type_name("NAME");
  command->add_option("--password-file", options.password_file, "File whose first line is the password")
      ->type_name("FILE");
  command
      ->add_option("--tls", options.tls,
                   "TLS; auto, the default, is explicit where the server offers it, and implicit on port 990")
      ->type_name("off|explicit|implicit|auto")
      ->check(CLI::IsMember({"off", "explicit", "implicit", "auto"}).description(""));
  command
      ->add_option(
          "--tls-ca", options.tls_ca,
          "File of the CAs to trust (default: the system's); a server with a wrong certificate gets no password, "
          "but with none it does")
      ->type_name("FILE|none");
  command
      ->add_option("--timeout", options.timeout,
                   "How long each step may take, in seconds (default 5); all of them twelve times that")
      ->type_name("S");
  command->add_flag("--active", options.active, "Try active mode too");
  command->add_flag("--json", options.json, "Facts and findings as JSON");
  command->footer("Exit code: 0 nothing found, 1 findings, 2 it couldn't be tested.");
  return command;
}

int probe(const ProbeOptions& options, bool no_color) {
  auto request = request_of(options);
  if (!request) {
    std::cerr << request.error() << '\n';
    return kUntested;
  }
  StepLine steps;
  request->on_step = [&](std::string_view step) { steps.show(options.target + ": " + std::string(step)); };
  const auto facts = ProbeClient(std::move(*request)).run();
  steps.clear();
  if (!facts) {
    std::cerr << facts.error() << '\n';
    return kUntested;
  }
  const Verdict verdict = judge(*facts);
  std::cout << (options.json ? probe_json(*facts, verdict)
                             : probe_text(*facts, verdict, color_for(STDOUT_FILENO, no_color)));
  return verdict.exit_code();
}

}  // namespace pasvgate::cli
