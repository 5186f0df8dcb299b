#include "cli/admin_client.h"

#include <algorithm>
#include <cstdlib>

#include "cli/admin_values.h"
#include "cli/http_get.h"
#include "config/read.h"
#include "ftp/line.h"

namespace pasvgate::cli {

using nlohmann::ordered_json;

void add_admin(CLI::App& command, AdminOptions& options, const std::string& interval) {
  options.interval = interval;
  command
      .add_option("--admin", options.admin,
                  "Admin address of the gateway (default: the variable PASVGATE_ADMIN, else 127.0.0.1:9121)")
      ->type_name("ADDRESS:PORT");
  command
      .add_option("--interval", options.interval,
                  "How often to look again, in seconds or as in 500ms (default " + interval + ")")
      ->type_name("S");
  command.add_option("--timeout", options.timeout, "How long an answer may take, in seconds (default 5)")
      ->type_name("S");
}

namespace {

std::expected<ftp::Endpoint, std::string> admin_address(const std::string& option) {
  std::string name = "--admin";
  std::string text = option;
  if (text.empty()) {
    const char* variable = std::getenv("PASVGATE_ADMIN");
    name = "PASVGATE_ADMIN";
    text = variable == nullptr ? "" : variable;
  }
  if (text.empty()) text = "127.0.0.1:9121";
  if (text == "off") return std::unexpected(name + ": the gateway's admin server is off; it can't be asked");
  auto address = ftp::Endpoint::parse(text);
  if (!address || address->port == 0) {
    return std::unexpected(name + ": \"" + ftp::escaped(text) +
                           R"(" is no address with a port; write ADDRESS:PORT, as in "127.0.0.1:9121")");
  }
  // Where the gateway listens on every address, it answers here.
  if (address->address.is_unspecified()) {
    address->address = address->address.family() == ftp::Family::V4 ? ftp::Address::v4({127, 0, 0, 1})
                                                                    : ftp::Address::parse("::1").value();
  }
  return *address;
}

std::expected<std::chrono::milliseconds, std::string> time_of(const std::string& name, const std::string& text) {
  const auto time = config::parse_duration(text);
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24);
  if (time && time->count() > 0) return std::min(*time, kLongest);
  return std::unexpected(name + ": \"" + ftp::escaped(text) + "\" is no time; write seconds, as in 5, or \"500ms\"");
}

}  // namespace

std::expected<AdminAccess, std::string> admin_access(const AdminOptions& options) {
  const auto server = admin_address(options.admin);
  if (!server) return std::unexpected(server.error());
  const auto timeout = time_of("--timeout", options.timeout);
  if (!timeout) return std::unexpected(timeout.error());
  const auto interval = time_of("--interval", options.interval);
  if (!interval) return std::unexpected(interval.error());
  return AdminAccess{.server = *server, .timeout = *timeout, .interval = *interval};
}

std::expected<ordered_json, AdminError> AdminClient::get(const std::string& target) const {
  const auto reply =
      http_get({.server = access_.server, .target = target, .timeout = access_.timeout, .interrupt = interrupt_});
  const std::string where = access_.server.text();
  if (!reply) {
    return std::unexpected(AdminError{0, where + " doesn't answer: " + reply.error() +
                                             ". Does the gateway run, and is this its admin address "
                                             "(--admin, PASVGATE_ADMIN)?"});
  }
  auto answer = parse_answer(reply->body);
  if (reply->status == 200 && answer) return std::move(*answer);
  std::string text = where + target.substr(0, target.find('?')) + ": ";
  if (reply->status == 200)
    return std::unexpected(AdminError{0, text + answer.error() + "; is this a gateway's admin address?"});
  const std::string why = answer ? error_of(*answer) : std::string();
  text += "HTTP status " + std::to_string(reply->status);
  text += why.empty() ? "; is this a gateway's admin address?" : ", " + why;
  return std::unexpected(AdminError{reply->status, std::move(text)});
}

std::string json_text(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace pasvgate::cli
