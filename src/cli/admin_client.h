#pragma once

#include <CLI/CLI.hpp>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>

#include "ftp/address.h"

namespace pasvgate::cli {

/// Adds --admin, which `admin_address` reads.
void add_admin(CLI::App& command, std::string& admin);
/// Where the gateway's admin server is: --admin, else PASVGATE_ADMIN as `pasvgate run` reads it, else the default.
/// The error says which of them is no address.
std::expected<ftp::Endpoint, std::string> admin_address(const std::string& option);

/// What didn't work, in words fit for a terminal.
struct AdminError {
  int status = 0;  ///< HTTP's; 0: no answer.
  std::string text;
};

/// Asks a running gateway.
class AdminClient {
 public:
  /// With `interrupt`, an answer isn't waited for any more once that descriptor is readable.
  explicit AdminClient(ftp::Endpoint server, int interrupt = -1) : server_(server), interrupt_(interrupt) {}

  /// The JSON object that is the answer to a GET of `target`.
  [[nodiscard]] std::expected<nlohmann::ordered_json, AdminError> get(const std::string& target) const;

 private:
  ftp::Endpoint server_;
  int interrupt_;
};

/// JSON for a script or a terminal: control characters and all outside ASCII as \uNNNN. `indent` -1: one line.
std::string json_text(const nlohmann::ordered_json& json, int indent);

}  // namespace pasvgate::cli
