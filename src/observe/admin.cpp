#include "observe/admin.h"

#include <civetweb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "observe/admin_api.h"
#include "observe/drain_waiters.h"
#include "observe/log.h"
#include "page.h"

namespace pasvgate::observe {

namespace {

/// `address` for the socket calls, and its length.
std::pair<sockaddr_storage, socklen_t> socket_address(const ftp::Endpoint& address) {
  const auto octets = address.address.octets();
  sockaddr_storage storage{};
  if (address.address.family() == ftp::Family::V4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, octets.data(), octets.size());
    std::memcpy(&storage, &v4, sizeof v4);
    return {storage, sizeof v4};
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  std::memcpy(&v6.sin6_addr, octets.data(), octets.size());
  std::memcpy(&storage, &v6, sizeof v6);
  return {storage, sizeof v6};
}

/// Why nothing can listen on `address`, in words; empty when it seems that it could. The server doesn't say.
std::string listen_error(const ftp::Endpoint& address) {
  const auto [storage, size] = socket_address(address);
  const int descriptor = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = descriptor < 0 ? errno : 0;
  if (descriptor >= 0) {
    const int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, reinterpret_cast<const sockaddr*>(&storage), size) != 0 || listen(descriptor, 1) != 0) {
      error = errno;
    }
    close(descriptor);
  }
  if (error == 0) return {};
  std::string text = std::generic_category().message(error);
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

/// Connects to `address` and hangs up, without waiting for either.
void knock(const ftp::Endpoint& address) {
  const auto [storage, size] = socket_address(address);
  const int descriptor = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  // In progress or refused: either way the thread has been woken or isn't there.
  [[maybe_unused]] const int knocked = connect(descriptor, reinterpret_cast<const sockaddr*>(&storage), size);
  close(descriptor);
}

/// mg_stop waits for the listening thread, which looks whether to stop only every two seconds or when somebody
/// connects.
void stop(mg_context* server, const ftp::Endpoint& address) {
  const auto stopped = std::async(std::launch::async, mg_stop, server);
  while (stopped.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) knock(address);
}

}  // namespace

struct Admin::State {
  const Metrics& metrics;
  const std::atomic<bool>& ready;
  AdminSource& source;
  ftp::Endpoint address;
  DrainWaiters drain_waiters;
  std::atomic<bool> started = false;  ///< Until then start() reports what is wrong, and the log stays quiet.
  mg_context* server = nullptr;

  State(const ftp::Endpoint& where, const Metrics& what, const std::atomic<bool>& is_ready, AdminSource& asked)
      : metrics(what), ready(is_ready), source(asked), address(where) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    // The server's end waits for their threads, and lets them write nothing more.
    drain_waiters.end();
    drain_waiters.settle();
    if (server != nullptr) stop(server, address);
  }

  static int on_request(mg_connection* connection) noexcept;
  static int on_log(const mg_connection* connection, const char* message) noexcept;
};

namespace {

struct Response {
  int status;
  std::string_view reason;
  std::string body;
  std::string_view type = "text/plain; charset=utf-8";
  std::string more;  ///< Further header lines, each with its CRLF.
};

Response page() {
  // What peers sent is shown there: nothing but the page's own script may run, and it may load nothing.
  std::string policy = "Content-Security-Policy: default-src 'none'; connect-src 'self'; base-uri 'none'; ";
  policy.append("form-action 'none'; frame-ancestors 'none'; script-src '").append(kPageScript);
  policy.append("'; style-src '").append(kPageStyle).append("'\r\nX-Content-Type-Options: nosniff\r\n");
  return {200, "OK", std::string(kPage), "text/html; charset=utf-8", std::move(policy)};
}

Response respond(std::string_view method, std::string_view path, const Metrics& metrics, bool ready,
                 DrainWaiters& waiters, std::optional<DrainWaiters::Place>& place) {
  if (method != "GET" && method != "HEAD") {
    return {405, "Method Not Allowed", "only GET and HEAD\n", "text/plain; charset=utf-8", "Allow: GET, HEAD\r\n"};
  }
  if (path == "/") return page();
  if (path == "/metrics") return {200, "OK", metrics.scrape(), "text/plain; version=0.0.4; charset=utf-8"};
  if (path == "/healthz") return {200, "OK", "ok\n"};
  if (path == "/readyz") {
    return ready ? Response{200, "OK", "ready\n"} : Response{503, "Service Unavailable", "draining\n"};
  }
  if (path == "/drained") {
    if (place.emplace(waiters).wait() == DrainWaiters::Outcome::Over) return {200, "OK", "drained\n"};
    return {503, "Service Unavailable", "newer requests wait in its place\n"};
  }
  return {404, "Not Found", "not found\n"};
}

constexpr std::string_view kApi = "/api/v1";
constexpr std::size_t kLongestBody = 4096;

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Not Found";
  }
}

std::string_view text_of(const char* found) { return found == nullptr ? std::string_view() : std::string_view(found); }

/// Of a POST that may be made. A body that drips in must not keep one of the few threads.
std::string read_body(mg_connection* connection, const mg_request_info& request) {
  std::string body(kLongestBody, '\0');
  std::size_t size = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (request.content_length > 0 && size < body.size() && std::chrono::steady_clock::now() < deadline) {
    const int count = mg_read(connection, body.data() + size, body.size() - size);
    if (count <= 0) break;
    size += static_cast<std::size_t>(count);
  }
  body.resize(size);
  return body;
}

/// A page from elsewhere whose name was made to lead here (DNS rebinding) names itself.
bool is_named_by_address(std::string_view host) {
  if (host.empty()) return true;
  if (host.starts_with('[')) return ftp::Address::parse(host.substr(1, host.find(']') - 1)).has_value();
  host = host.substr(0, host.find(':'));
  return host == "localhost" || ftp::Address::parse(host).has_value();
}

Response respond_api(mg_connection* connection, const mg_request_info& request, std::string_view path,
                     AdminSource& source) {
  const auto authorization = text_of(mg_get_header(connection, "Authorization"));
  const bool is_post = text_of(request.request_method) == "POST";
  auto answer = is_post ? refused_change(source, authorization) : std::nullopt;
  if (!answer) {
    const std::string body = is_post ? read_body(connection, request) : std::string();
    answer = answer_api(source, {.method = text_of(request.request_method),
                                 .path = path.substr(kApi.size()),
                                 .query = text_of(request.query_string),
                                 .authorization = authorization,
                                 .body = body});
  }
  std::string more = "X-Content-Type-Options: nosniff\r\n";
  // RFC 9110 §15.5.2, §15.5.6
  if (answer->status == 401) more += "WWW-Authenticate: Bearer\r\n";
  if (answer->status == 405) more += "Allow: GET, HEAD, POST, DELETE\r\n";
  return {answer->status, reason(answer->status), std::move(answer->body), "application/json", std::move(more)};
}

void send(mg_connection* connection, const Response& response, bool with_body) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  text.append(response.reason).append("\r\nContent-Type: ").append(response.type);
  text.append("\r\nContent-Length: ").append(std::to_string(response.body.size()));
  text.append("\r\nCache-Control: no-store\r\nConnection: close\r\n").append(response.more).append("\r\n");
  if (with_body) text += response.body;
  mg_write(connection, text.data(), text.size());
}

}  // namespace

int Admin::State::on_request(mg_connection* connection) noexcept {
  const mg_request_info& request = *mg_get_request_info(connection);
  State& state = *static_cast<State*>(request.user_data);
  const std::string_view method = request.request_method;
  const std::string_view path = request.local_uri == nullptr ? "" : request.local_uri;
  const bool is_api = path.starts_with(kApi) && path.substr(kApi.size()).starts_with('/');
  const bool is_for_people = is_api || path == "/";
  std::optional<DrainWaiters::Place> place;
  const bool is_misled = is_for_people && !is_named_by_address(text_of(mg_get_header(connection, "Host")));
  const Response response = is_misled ? Response{403, "Forbidden", "ask for the address, not for a name\n"}
                            : is_api  ? respond_api(connection, request, path, state.source)
                                      : respond(method, path, state.metrics, state.ready, state.drain_waiters, place);
  send(connection, response, method != "HEAD");
  return response.status;
}

int Admin::State::on_log(const mg_connection* connection, const char* message) noexcept {
  const mg_context* server = mg_get_context(connection);
  const auto* state = server == nullptr ? nullptr : static_cast<const State*>(mg_get_user_data(server));
  if (state != nullptr && state->started) log(config::LogLevel::Warn, "admin server", {{"detail", message}});
  return 1;
}

Admin::Admin(std::unique_ptr<State> state) : state_(std::move(state)) {}

Admin::~Admin() = default;

ftp::Endpoint Admin::address() const { return state_->address; }

void Admin::drained() { state_->drain_waiters.end(); }

std::expected<std::unique_ptr<Admin>, std::string> Admin::start(const ftp::Endpoint& address, const Metrics& metrics,
                                                                const std::atomic<bool>& ready, AdminSource& source) {
  static const unsigned features = mg_init_library(0);
  static_cast<void>(features);

  const std::string where = address.text();
  if (address.address.family() == ftp::Family::V6 && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return std::unexpected("admin: can't listen on " + where +
                           ": the CivetWeb library here is built without IPv6; use an IPv4 address");
  }
  // No document root, and every request is answered by on_request: no file is ever looked for.
  const std::string threads = std::to_string(8 + DrainWaiters::kMost);
  const char* options[] = {"listening_ports",
                           where.c_str(),
                           "num_threads",
                           threads.c_str(),
                           "request_timeout_ms",
                           "10000",
                           "enable_keep_alive",
                           "no",
                           "enable_directory_listing",
                           "no",
                           "enable_auth_domain_check",
                           "no",
                           "access_control_allow_origin",
                           "",
                           nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = &State::on_request;
  callbacks.log_message = &State::on_log;

  auto state = std::make_unique<State>(address, metrics, ready, source);
  std::array<char, 256> reason{};
  mg_init_data init{&callbacks, state.get(), options};
  mg_error_data error{};
  error.text = reason.data();
  error.text_buffer_size = reason.size();
  state->server = mg_start2(&init, &error);
  if (state->server == nullptr) {
    const std::string why = listen_error(address);
    return std::unexpected("admin: can't listen on " + where + ": " + (why.empty() ? reason.data() : why));
  }
  state->started = true;
  mg_server_port port{};
  if (mg_get_server_ports(state->server, 1, &port) == 1) state->address.port = static_cast<std::uint16_t>(port.port);
  return std::unique_ptr<Admin>(new Admin(std::move(state)));
}

}  // namespace pasvgate::observe
