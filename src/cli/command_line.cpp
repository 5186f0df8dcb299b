#include "cli/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "cli/command_model.h"
#include "cli/describe_app.h"
#include "cli/drain_command.h"
#include "cli/firewall.h"
#include "cli/probe_command.h"
#include "cli/status_command.h"
#include "cli/terminal.h"
#include "cli/trace_command.h"
#include "config/read.h"
#include "config/slice.h"
#include "net/signals.h"
#include "observe/log.h"
#include "server/privileges.h"
#include "server/service.h"
#include "server/tls_contexts.h"

namespace pasvgate::cli {
namespace {

using Lines = std::vector<std::string>;

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::expected<std::string, std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected(path + ": can't be opened");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return std::unexpected(path + ": can't be read");
  return text;
}

Lines describe_all(const config::Issues& issues, const std::string& file) {
  Lines lines;
  for (const auto& issue : issues) lines.push_back(config::describe(issue, file));
  return lines;
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size()) == 0 ? name.data() : "";
}

/// The configuration of a run: a file if there is one, then the environment, then the flags; of what gateways share,
/// this one's part.
std::expected<config::Config, Lines> load(const std::string& path, const config::Flags& flags) {
  const auto all_flags = config::with_environment(flags, variable);
  std::string text = "{}";
  if (!path.empty()) {
    auto read = read_file(path);
    if (!read) return std::unexpected(Lines{read.error()});
    text = *std::move(read);
  }
  auto config = path.empty() ? config::apply_flags({}, all_flags) : config::read_json(text, all_flags, read_file);
  if (!config) return std::unexpected(describe_all(config.error(), path));
  auto own = config::own_slice(*std::move(config), host_name());
  if (!own) {
    own.error().where = config::place_of(own.error().where, all_flags);
    return std::unexpected(describe_all({own.error()}, path));
  }
  return *std::move(own);
}

void print(const Lines& lines) {
  for (const auto& line : lines) std::cerr << line << '\n';
}

int run(const std::string& path, const config::Flags& flags) {
  // These two mean no end, and wait until there is something to drain or reload.
  net::hold_signals(std::array{SIGUSR1, SIGHUP});
  // And to process 1 an end is nothing as long as nobody waits for it.
  if (::getpid() == 1) net::hold_signals(std::array{SIGTERM, SIGINT});
  const auto read = [path, flags] { return load(path, flags); };
  auto config = read();
  if (!config) {
    print(config.error());
    return 1;
  }
  server::prepare_to_give_up(*config);
  server::Service service(std::move(*config), read);
  if (const auto started = service.start(); !started) {
    observe::close_log();
    print(started.error());
    return 1;
  }
  service.run();
  observe::close_log();
  return 0;
}

/// The file alone: the environment of whoever looks at it is not the gateway's.
std::expected<config::Config, Lines> load_file(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return std::unexpected(Lines{text.error()});
  auto config = config::read_json(*text, {}, read_file);
  if (!config) return std::unexpected(describe_all(config.error(), path));
  return *config;
}

int check(const std::string& path) {
  const auto config = load_file(path);
  if (!config) {
    print(config.error());
    return 1;
  }
  if (const auto tls = server::make_tls(*config); !tls) {
    for (const auto& error : tls.error()) std::cerr << path << ": " << error << '\n';
    return 1;
  }
  std::cout << path << ": ok\n";
  return 0;
}

/// A fleet's Services are printed together, the rules of a host for its own ports.
std::expected<config::Config, Lines> with_slice(config::Config config, const std::string& path, FirewallFormat format,
                                                std::optional<unsigned> index) {
  auto& slice = config.passive_ports.slice;
  if (!slice) {
    if (!index) return config;
    return std::unexpected(Lines{path + ": there is no passive_ports.slice; leave out --slice"});
  }
  if (index && *index >= slice->of) {
    return std::unexpected(Lines{"--slice: " + std::to_string(*index) + " is none of " + std::to_string(slice->of) +
                                 " slices; the last is " + std::to_string(slice->of - 1)});
  }
  if (index) slice->index = static_cast<std::uint16_t>(*index);
  if (!index && format == FirewallFormat::Kubernetes) return config;
  if (!slice->index) {
    return std::unexpected(
        Lines{path + R"(: /passive_ports/slice/index: "hostname"; say whose rules these are with --slice INDEX)"});
  }
  config.passive_ports = config::slice_at(std::move(config.passive_ports), *slice->index);
  return config;
}

int firewall(const std::string& path, FirewallFormat format, std::optional<unsigned> slice) {
  auto config = load_file(path);
  if (config) config = with_slice(*std::move(config), path, format, slice);
  if (!config) {
    print(config.error());
    return 1;
  }
  const Firewall firewall = openings(*config);
  if (!firewall.errors.empty()) {
    for (const auto& error : firewall.errors) std::cerr << path << ": " << error << '\n';
    return 1;
  }
  std::cout << write_firewall(firewall, *config, format);
  // JSON has no comments.
  if (format == FirewallFormat::Aws) print(firewall.notes);
  return 0;
}

void add_run_flags(CLI::App& command, std::string& path, config::Flags& flags) {
  constexpr const char* kFile = "FILE";
  constexpr const char* kPorts = "LOW-HIGH";
  constexpr const char* kAddress = "ADDRESS:PORT";
  const auto add = [&](const char* name, auto& into, const char* value, const char* description) {
    command.add_option(name, into, description)->type_name(value);
  };
  command.add_option("CONFIG", path, "Configuration file (JSON, comments allowed)");
  add("--listen", flags.listen, kAddress, "Public control address, as 0.0.0.0:21 or [::]:21; may be repeated");
  add("--backend", flags.backend, "HOST[:PORT]",
      "FTP server, as 192.168.1.10:21 or a name; may be repeated, tried in order");
  add("--advertise", flags.advertise, "ADDRESS",
      "Address or DNS name that clients are told (default: the one they dialled); once a family");
  add("--passive-ports", flags.passive_ports, kPorts, "Public passive ports to listen on, as 50000-50099");
  add("--passive-ports-advertise", flags.passive_ports_advertise, kPorts,
      "What clients are told instead, when a NAT or NodePort maps the ports; same size");
  add("--passive-ports-slice", flags.passive_ports_slice, "INDEX/OF",
      "Which of equal parts of them is this gateway's, as 0/3; hostname/3: the number that the host's name ends in");
  add("--data-source", flags.data_source, "exact|any|/BITS",
      "Whose data connections are taken: exact (the client's address), /24, /24,/64, any");
  add("--admin", flags.admin, "ADDRESS:PORT|off", "Address of metrics and health, or off (default 127.0.0.1:9121)");
  add("--workers", flags.workers, "N", "Threads; 0 is one for each core");
  add("--user", flags.user, "NAME|UID", "User that the process becomes when its ports are bound");
  add("--seccomp", flags.seccomp, "true|false", "Whether the process forbids itself needless system calls");
  add("--listen-implicit", flags.listen_implicit, kAddress,
      "Public control address with TLS from the first byte, as 0.0.0.0:990; may be repeated");
  add("--tls", flags.tls, "off|optional|required|implicit", "TLS with clients");
  add("--tls-cert", flags.tls_cert, kFile, "File with the certificate and its chain (PEM)");
  add("--tls-key", flags.tls_key, kFile, "File with the private key (PEM)");
  add("--backend-tls", flags.backend_tls, "off|explicit|implicit", "TLS with the backend");
  add("--backend-tls-ca", flags.backend_tls_ca, "FILE|none",
      "File of the CAs that vouch for the backend, or none (default: the system's)");
  add("--log-format", flags.log_format, "text|json", "What log lines look like");
  add("--log-level", flags.log_level, "debug|info|warn|error", "The least important lines that are written");
  command.footer(
      "Each flag is also an environment variable: PASVGATE_LISTEN, PASVGATE_BACKEND and so on.\n"
      "A flag wins over the environment, the environment over the file.");
}

/// For the build: completions and manual pages out of the same command line that is parsed.
std::string document(const CLI::App& app, std::string_view form) {
  if (form == "bash") return bash_completion(describe_app(app));
  if (form == "zsh") return zsh_completion(describe_app(app));
  if (form == "fish") return fish_completion(describe_app(app));
  if (form == "man") return man_page(describe_app(app));
  return config_man_page();
}

int dispatch(int argc, char** argv) {
  CLI::App app{"pasvgate: a NAT-aware FTP gateway", "pasvgate"};
  app.set_version_flag("--version", "pasvgate " PASVGATE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // --no-color is understood behind a command too.
  std::string run_path;
  std::string check_path;
  config::Flags flags;
  auto* run_command = app.add_subcommand("run", "Run the gateway in the foreground");
  add_run_flags(*run_command, run_path, flags);
  auto* check_command = app.add_subcommand("check", "Show every error of a configuration file");
  check_command->add_option("CONFIG", check_path, "Configuration file")->required();
  bool no_color = false;
  app.add_flag("--no-color", no_color, "No color on a terminal; so does the variable NO_COLOR");
  ProbeOptions probe_options;
  auto* probe_command = add_probe(app, probe_options);
  StatusOptions status_options;
  auto* status_command = add_status(app, status_options);
  TraceOptions trace_options;
  auto* trace_command = add_trace(app, trace_options);
  DrainOptions drain_options;
  auto* drain_command = add_drain(app, drain_options);
  std::string firewall_path;
  std::string firewall_format;
  auto* firewall_command = app.add_subcommand("firewall", "Print the firewall rules that a configuration file needs");
  firewall_command->add_option("CONFIG", firewall_path, "Configuration file")->required();
  firewall_command
      ->add_option("--format", firewall_format,
                   "nft, iptables (both families in one file), kubernetes (a Service), aws (a security group's rules)")
      ->type_name("nft|iptables|kubernetes|aws")
      ->required()
      ->check(CLI::IsMember({"nft", "iptables", "kubernetes", "aws"}).description(""));
  std::optional<unsigned> firewall_slice;
  firewall_command
      ->add_option("--slice", firewall_slice,
                   "The rules of the gateway with this index, where passive_ports.slice shares the ports")
      ->type_name("INDEX");
  std::string form;
  auto* generate_command = app.add_subcommand("generate", "Print completions and manual pages")->group("");
  generate_command->add_option("FORM", form)
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish", "man", "man-config"}));
  auto* schema_command = app.add_subcommand("schema", "Print the JSON schema of the configuration file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run_command->parsed()) {
    server::refuse_new_privileges();
    if (no_color || !allows_color()) observe::set_log_color(observe::LogColor::Never);
    return run(run_path, flags);
  }
  if (check_command->parsed()) return check(check_path);
  if (probe_command->parsed()) return probe(probe_options, no_color);
  if (status_command->parsed()) return status(status_options, no_color);
  if (trace_command->parsed()) return trace(trace_options, no_color);
  if (drain_command->parsed()) return drain(drain_options);
  if (const auto format = parse_firewall_format(firewall_format)) {
    return firewall(firewall_path, *format, firewall_slice);
  }
  if (generate_command->parsed()) std::cout << document(app, form);
  if (schema_command->parsed()) std::cout << config::schema() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return dispatch(argc, argv);
  } catch (const std::exception& error) {
    observe::close_log();
    std::cerr << "pasvgate: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace pasvgate::cli
