#include "observe/admin_api.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "config/config.h"
#include "config/keys.h"
#include "ftp/command.h"
#include "ftp/line.h"

namespace pasvgate::observe {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::size_t kSessions = 500;
constexpr std::size_t kMostSessions = 20'000;
constexpr std::chrono::seconds kLongestBan = 365 * 24h;

double unix_seconds(UnixTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

// What peers sent may be no UTF-8.
ApiResponse ok(const json& value) { return {200, value.dump(-1, ' ', false, json::error_handler_t::replace)}; }
ApiResponse error(int status, std::string why) {
  return {status, json{{"error", std::move(why)}}.dump(-1, ' ', false, json::error_handler_t::replace)};
}

json or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

json to_json(const Overview& now) {
  json history = json::array();
  for (const auto& one : now.history) {
    history.push_back({{"time", unix_seconds(one.time)},
                       {"sessions", one.sessions},
                       {"download", one.download},
                       {"upload", one.upload}});
  }
  json refusals = json::array();
  for (const auto& one : now.refusals) {
    refusals.push_back(
        {{"time", unix_seconds(one.time)}, {"client", one.client}, {"what", one.what}, {"why", one.why}});
  }
  return {{"version", PASVGATE_VERSION},
          {"state", now.state},
          {"started", unix_seconds(now.started)},
          {"now", unix_seconds(std::chrono::system_clock::now())},
          {"workers", now.workers},
          {"sessions", {{"active", now.sessions}, {"total", now.sessions_total}, {"limit", now.sessions_limit}}},
          {"transfers", {{"active", now.transfers}}},
          {"bytes", {{"download", now.downloaded}, {"upload", now.uploaded}}},
          {"ports", {{"size", now.ports}, {"leased", now.ports_leased}}},
          {"history", {{"interval", now.interval.count()}, {"samples", std::move(history)}}},
          {"refusals", std::move(refusals)}};
}

json to_json(const SessionStatus& session) {
  json transfer = nullptr;
  if (const auto& moving = session.transfer) {
    const double age = moving->age.count();
    transfer = {{"direction", moving->direction == ftp::Direction::Download ? "download" : "upload"},
                {"command", moving->command},
                {"file", moving->path},
                {"bytes", moving->bytes},
                {"age", age},
                {"rate", age > 0 ? static_cast<double>(moving->bytes) / age : 0}};
  }
  return {{"id", session.id},
          {"client", session.client},
          {"listener", session.listener},
          {"user", ftp::masked_user(session.user)},
          {"backend", session.backend},
          {"server", session.server},
          {"state", session.state},
          {"age", session.age.count()},
          {"tls", {{"client", or_null(session.client_tls)}, {"backend", or_null(session.backend_tls)}}},
          {"transfer", std::move(transfer)}};
}

json to_json(const SessionTrace& trace) {
  json lines = json::array();
  for (const auto& line : trace.lines) {
    lines.push_back({{"age", std::chrono::duration<double>(line.age).count()},
                     {"from", speaker_name(line.from)},
                     {"text", ftp::escaped(line.text)}});
  }
  return {{"id", trace.id}, {"client", trace.client}, {"lines", std::move(lines)}};
}

json to_json(const BackendStatus& backend) {
  json servers = json::array();
  for (const auto& server : backend.servers) {
    servers.push_back({{"server", server.server},
                       {"host", server.host},
                       {"state", gateway::state_name(server.state)},
                       {"why", server.why},
                       {"weight", server.weight},
                       {"backup", server.backup},
                       {"max_sessions", server.max_sessions},
                       {"sessions", server.sessions}});
  }
  return {{"name", backend.name},
          {"strategy", config::key_row("/backends/*/strategy").choices.at(std::to_underlying(backend.strategy))},
          {"servers", std::move(servers)}};
}

template <class Items>
json list(const Items& items) {
  json all = json::array();
  for (const auto& item : items) all.push_back(to_json(item));
  return all;
}

std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) return one.substr(name.size() + 1);
  }
  return std::nullopt;
}

/// All of `text`.
template <class Number>
std::optional<Number> number(std::string_view text, int base) {
  Number value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Takes as long whatever is wrong.
bool same(std::string_view one, std::string_view other) {
  unsigned difference = one.size() == other.size() ? 0 : 1;
  for (std::size_t i = 0; i < one.size(); ++i) {
    difference |= static_cast<unsigned char>(one[i]) ^ static_cast<unsigned char>(other[i % other.size()]);
  }
  return difference == 0;
}

/// RFC 6750 §2.1; a scheme's name is of either case (RFC 9110 §11.1).
std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer";
  const auto lower = [](char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte; };
  const auto scheme = authorization.substr(0, authorization.find(' '));
  if (!std::ranges::equal(scheme, kBearer, {}, lower)) return std::nullopt;
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

ApiResponse sessions(AdminSource& source, std::string_view query) {
  std::size_t limit = kSessions;
  if (const auto asked = parameter(query, "limit")) {
    const auto given = number<std::size_t>(*asked, 10);
    if (!given || *given > kMostSessions) {
      return error(400, "limit must be a number up to " + std::to_string(kMostSessions));
    }
    limit = *given;
  }
  const auto [found, total] = source.sessions(limit);
  return ok({{"total", total}, {"sessions", list(found)}});
}

ApiResponse ports(AdminSource& source) {
  const auto settings = source.passive_ports();
  json all = json::array();
  for (const auto& port : source.ports()) all.push_back({{"port", port.port}, {"leases", port.leases}});
  return ok({{"listen", settings.listen.text()},
             {"advertise", settings.advertise.value_or(settings.listen).text()},
             {"mapping", settings.mapping == config::PortMapping::Same ? "same" : "pool"},
             {"ports", std::move(all)}});
}

ApiResponse bans(AdminSource& source) {
  json all = json::array();
  for (const auto& ban : source.bans()) {
    all.push_back({{"network", ban.network.text()}, {"until", unix_seconds(ban.until)}, {"why", ban.why}});
  }
  return ok({{"bans", std::move(all)}});
}

const char* const kNoSession = "no session of that id runs";
ApiResponse late() { return error(503, "a worker didn't answer in time; ask again"); }

ApiResponse trace_of_client(AdminSource& source, std::string_view query) {
  const auto client = ftp::Address::parse(parameter(query, "client").value_or(""));
  if (!client) return error(400, "client must be an address, as in ?client=192.0.2.7");
  const auto traces = source.traces({}, client);
  if (traces.all.empty() && !traces.is_whole) return late();
  return ok({{"sessions", list(traces.all)}});
}

ApiResponse trace_of_session(AdminSource& source, std::string_view id) {
  const auto session = number<std::uint64_t>(id, 16);
  if (!session) return error(404, kNoSession);
  const auto traces = source.traces(session, {});
  if (!traces.all.empty()) return ok(to_json(traces.all.front()));
  return traces.is_whole ? error(404, kNoSession) : late();
}

ApiResponse get(AdminSource& source, const ApiRequest& request) {
  const auto path = request.path;
  if (path == "/status") return ok(to_json(source.overview()));
  if (path == "/sessions") return sessions(source, request.query);
  if (path == "/ports") return ports(source);
  if (path == "/backends") return ok({{"backends", list(source.backends())}});
  if (path == "/bans") return bans(source);
  if (path == "/trace") return trace_of_client(source, request.query);
  constexpr std::string_view kSession = "/sessions/";
  constexpr std::string_view kTrace = "/trace";
  if (path.starts_with(kSession) && path.ends_with(kTrace)) {
    return trace_of_session(source, path.substr(kSession.size(), path.size() - kSession.size() - kTrace.size()));
  }
  return error(404, "no such path; conf/openapi.json lists them");
}

}  // namespace

std::optional<ApiResponse> refused_change(AdminSource& source, std::string_view authorization) {
  const auto token = source.token();
  if (!token) return error(403, token.error());
  const auto given = bearer_token(authorization);
  if (given && same(*given, *token)) return std::nullopt;
  return error(401, "a change needs \"Authorization: Bearer\" and the token of admin.token_file");
}

namespace {

ApiResponse set_server(AdminSource& source, std::string_view path, const json& body) {
  constexpr std::string_view kServers = "/servers/";
  const auto at = path.find(kServers);
  if (at == std::string_view::npos) return error(404, "no such path; conf/openapi.json lists them");
  const auto state = body.is_object() ? body.value("state", json()) : json();
  using enum gateway::ServerOrder;
  const auto order = state == "up"            ? std::optional(Up)
                     : state == "drain"       ? std::optional(Drain)
                     : state == "maintenance" ? std::optional(Maintenance)
                                              : std::nullopt;
  if (!order) return error(400, R"(state must be "up", "drain" or "maintenance")");
  const bool found = source.set_server(std::string(path.substr(0, at)), path.substr(at + kServers.size()), *order);
  return found ? ApiResponse{204, {}} : error(404, "no such backend or server; /api/v1/backends lists them");
}

ApiResponse ban(AdminSource& source, const json& body) {
  const auto text = body.is_object() ? body.value("network", json()) : json();
  const auto time = body.is_object() ? body.value("seconds", json()) : json();
  const auto where = text.is_string() ? ftp::Cidr::parse(text.get_ref<const std::string&>()) : std::nullopt;
  if (!where) return error(400, R"(network must be an address or a network, as in "192.0.2.0/24")");
  const auto seconds = time.is_number_unsigned() ? time.get<std::uint64_t>() : 0;
  if (seconds == 0 || seconds > static_cast<std::uint64_t>(kLongestBan.count())) {
    return error(400, "seconds must be a whole number from 1 to " + std::to_string(kLongestBan.count()));
  }
  source.ban(*where, std::chrono::seconds(static_cast<std::int64_t>(seconds)));
  return {204, {}};
}

ApiResponse end_session(AdminSource& source, std::uint64_t id) {
  switch (source.end_session(id)) {
    case Ordered::Done:
      return {204, {}};
    case Ordered::NoSession:
      return error(404, kNoSession);
    case Ordered::Late:
      return late();
  }
  std::unreachable();
}

ApiResponse change(AdminSource& source, const ApiRequest& request) {
  if (auto refusal = refused_change(source, request.authorization)) return std::move(*refusal);
  constexpr std::string_view kSession = "/sessions/";
  constexpr std::string_view kBackend = "/backends/";
  constexpr std::string_view kBan = "/bans/";
  const auto path = request.path;
  if (request.method == "DELETE") {
    if (path.starts_with(kSession)) {
      const auto id = number<std::uint64_t>(path.substr(kSession.size()), 16);
      return id ? end_session(source, *id) : error(404, kNoSession);
    }
    if (path.starts_with(kBan)) {
      const auto where = ftp::Cidr::parse(path.substr(kBan.size()));
      return where && source.lift_ban(*where) ? ApiResponse{204, {}}
                                              : error(404, "no such ban; /api/v1/bans lists them");
    }
  } else {
    const json body = json::parse(request.body, nullptr, false);
    if (path == "/bans") return ban(source, body);
    if (path.starts_with(kBackend)) return set_server(source, path.substr(kBackend.size()), body);
  }
  return error(404, "no such path; conf/openapi.json lists them");
}

}  // namespace

ApiResponse answer_api(AdminSource& source, const ApiRequest& request) {
  if (request.method == "GET" || request.method == "HEAD") return get(source, request);
  if (request.method == "POST" || request.method == "DELETE") return change(source, request);
  return error(405, "only GET, HEAD, POST and DELETE");
}

}  // namespace pasvgate::observe
