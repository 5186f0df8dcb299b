#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>

#include "ftp/address.h"

namespace pasvgate::cli {

/// How a gateway is asked.
struct AdminOptions {
  std::string admin;
  std::string timeout = "5";
  std::string interval;
};
/// Adds --admin, --timeout and --interval, whose default is written `interval`; `options` must live as long as
/// `command`.
void add_admin(CLI::App& command, AdminOptions& options, const std::string& interval);

struct AdminAccess {
  ftp::Endpoint server;
  std::chrono::milliseconds timeout;   ///< Of one answer.
  std::chrono::milliseconds interval;  ///< Between two looks.
};
/// What the options say. The gateway's admin server is at --admin, else PASVGATE_ADMIN as `pasvgate run` reads it, else
/// the default. The error says which of them can't be understood.
std::expected<AdminAccess, std::string> admin_access(const AdminOptions& options);

/// What didn't work, in words fit for a terminal.
struct AdminError {
  int status = 0;  ///< HTTP's; 0: no answer.
  std::string text;
};

/// Asks a running gateway.
class AdminClient {
 public:
  /// With `interrupt`, an answer isn't waited for any more once that descriptor is readable.
  explicit AdminClient(const AdminAccess& access, int interrupt = -1) : access_(access), interrupt_(interrupt) {}

  /// The JSON object that is the answer to a GET of `target`.
  [[nodiscard]] std::expected<nlohmann::ordered_json, AdminError> get(const std::string& target) const;

 private:
  AdminAccess access_;
  int interrupt_;
};

/// JSON for a script or a terminal: control characters and all outside ASCII as \uNNNN. `indent` -1: one line.
std::string json_text(const nlohmann::ordered_json& json, int indent);

}  // namespace pasvgate::cli
