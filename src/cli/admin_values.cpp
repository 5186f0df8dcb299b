#include "cli/admin_values.h"

#include <nlohmann/json.hpp>

#include "ftp/line.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kDeepest = 16;

const ordered_json& member(const ordered_json& object, const char* key) {
  static const ordered_json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string text(const ordered_json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_string() ? ftp::escaped(value.get_ref<const std::string&>()) : std::string();
}

/// Of a text in which the gateway has escaped what needed it: its backslashes are those of \xNN.
std::string escaped_text(const ordered_json& object, const char* key) {
  const auto& value = member(object, key);
  std::string out;
  for (std::string_view rest = value.is_string() ? value.get_ref<const std::string&>() : std::string_view();;) {
    const std::size_t end = rest.find('\\');
    out += ftp::escaped(rest.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += '\\';
    rest.remove_prefix(end + 1);
  }
}

double number(const ordered_json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_number() ? value.get<double>() : 0;
}

std::uint64_t count(const ordered_json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

bool flag(const ordered_json& object, const char* key) {
  const auto& value = member(object, key);
  return value.is_boolean() && value.get<bool>();
}

/// The elements of an array; none where there is no array.
const ordered_json& list(const ordered_json& object, const char* key) {
  static const ordered_json kEmpty = ordered_json::array();
  const auto& value = member(object, key);
  return value.is_array() ? value : kEmpty;
}

}  // namespace

std::expected<ordered_json, std::string> parse_answer(std::string_view body) {
  // Whatever walks through JSON calls itself for each level.
  bool is_too_deep = false;
  const auto depth_check = [&](int depth, ordered_json::parse_event_t /*event*/, ordered_json& /*parsed*/) {
    is_too_deep = is_too_deep || depth > kDeepest;
    return !is_too_deep;
  };
  auto answer = ordered_json::parse(body, depth_check, false);
  if (answer.is_discarded() || is_too_deep || !answer.is_object())
    return std::unexpected("the answer is no JSON object");
  return answer;
}

GatewayStatus status_of(const ordered_json& json) {
  const auto& sessions = member(json, "sessions");
  const auto& bytes = member(json, "bytes");
  const auto& history = member(json, "history");
  GatewayStatus status{.version = text(json, "version"),
                       .state = text(json, "state"),
                       .started = number(json, "started"),
                       .now = number(json, "now"),
                       .workers = count(json, "workers"),
                       .sessions = count(sessions, "active"),
                       .sessions_total = count(sessions, "total"),
                       .session_limit = count(sessions, "limit"),
                       .transfers = count(member(json, "transfers"), "active"),
                       .downloaded = number(bytes, "download"),
                       .uploaded = number(bytes, "upload"),
                       .ports = count(member(json, "ports"), "size"),
                       .ports_leased = count(member(json, "ports"), "leased"),
                       .sample_interval = number(history, "interval")};
  for (const auto& sample : list(history, "samples")) {
    status.samples.push_back({number(sample, "sessions"), number(sample, "download"), number(sample, "upload")});
  }
  for (const auto& refusal : list(json, "refusals")) {
    status.refusals.push_back(
        {number(refusal, "time"), text(refusal, "client"), text(refusal, "what"), text(refusal, "why")});
  }
  return status;
}

std::vector<RunningTransfer> transfers_of(const ordered_json& json) {
  std::vector<RunningTransfer> transfers;
  for (const auto& session : list(json, "sessions")) {
    const auto& transfer = member(session, "transfer");
    if (!transfer.is_object()) continue;
    transfers.push_back({.session = text(session, "id"),
                         .client = text(session, "client"),
                         .user = text(session, "user"),
                         .backend = text(session, "backend"),
                         .command = text(transfer, "command"),
                         .file = text(transfer, "file"),
                         .is_upload = text(transfer, "direction") == "upload",
                         .bytes = number(transfer, "bytes"),
                         .age = number(transfer, "age"),
                         .rate = number(transfer, "rate")});
  }
  return transfers;
}

PortsInUse ports_of(const ordered_json& json) {
  PortsInUse ports{.listen = text(json, "listen"), .advertise = text(json, "advertise")};
  for (const auto& port : list(json, "ports")) {
    const auto leases = count(port, "leases");
    ports.leases += leases;
    if (leases > 0) ++ports.in_use;
  }
  return ports;
}

std::vector<ServerHealth> servers_of(const ordered_json& json) {
  std::vector<ServerHealth> servers;
  for (const auto& backend : list(json, "backends")) {
    for (const auto& server : list(backend, "servers")) {
      servers.push_back({.backend = text(backend, "name"),
                         .server = text(server, "server"),
                         .host = text(server, "host"),
                         .state = text(server, "state"),
                         .why = text(server, "why"),
                         .sessions = count(server, "sessions"),
                         .max_sessions = count(server, "max_sessions"),
                         .is_backup = flag(server, "backup")});
    }
  }
  return servers;
}

SessionTrace trace_of(const ordered_json& json) {
  SessionTrace trace{.id = text(json, "id"), .client = text(json, "client"), .lines = {}};
  for (const auto& line : list(json, "lines")) {
    trace.lines.push_back({number(line, "age"), text(line, "from"), escaped_text(line, "text")});
  }
  return trace;
}

std::string error_of(const ordered_json& answer) { return text(answer, "error"); }

}  // namespace pasvgate::cli
