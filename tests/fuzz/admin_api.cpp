#include "observe/admin_api.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/admin_values.h"
#include "require.h"

// Requests of strangers to the admin API, answers with what strangers wrote, and what the commands make of any answer.
using namespace pasvgate;
using namespace pasvgate::observe;

namespace {

constexpr std::string_view kToken = "right";

/// A gateway whose names and files are what peers chose.
class Hostile : public AdminSource {
 public:
  explicit Hostile(std::string_view text) : text_(text) {}

  Overview overview() override { return {.state = "ready", .refusals = {{{}, text_, text_, text_}}}; }
  std::pair<std::vector<SessionStatus>, std::size_t> sessions(std::size_t limit) override {
    require(limit <= 20'000);
    const TransferStatus transfer{ftp::Direction::Upload, text_, text_, 1, {}};
    return {{{text_, text_, text_, text_, text_, text_, "idle", {}, text_, text_, transfer}}, 1};
  }
  Traces traces(std::optional<std::uint64_t> session, const std::optional<ftp::Address>&) override {
    if (session && *session % 2 == 1) return {.all = {}, .is_whole = *session % 3 == 0};
    return {.all = {{text_, text_, {{std::chrono::milliseconds{1}, Speaker::Client, text_}}}}, .is_whole = true};
  }
  config::PassivePorts passive_ports() override { return {}; }
  std::vector<PortStatus> ports() override { return {{50'000, 1}}; }
  std::vector<BackendStatus> backends() override { return {{text_, config::Strategy::First, {}}}; }
  std::vector<Ban> bans() override { return {{*ftp::Cidr::parse("192.0.2.0/24"), {}, text_}}; }

  Ordered end_session(std::uint64_t session) override {
    changed_ = true;
    return static_cast<Ordered>(session % 3);
  }
  bool set_server(const std::string&, std::string_view, gateway::ServerOrder) override { return changed_ = true; }
  void ban(const ftp::Cidr& network, std::chrono::seconds time) override {
    require(ftp::Cidr::parse(network.text()) == network && time.count() > 0);
    changed_ = true;
  }
  bool lift_ban(const ftp::Cidr&) override { return changed_ = true; }
  std::expected<std::string, std::string> token() override { return std::string(kToken); }

  [[nodiscard]] bool has_changed() const { return changed_; }

 private:
  std::string text_;
  bool changed_ = false;
};

/// Takes a line off the front.
std::string_view cut(std::string_view& bytes) {
  const auto end = std::min(bytes.find('\n'), bytes.size());
  const auto line = bytes.substr(0, end);
  bytes.remove_prefix(std::min(end + 1, bytes.size()));
  return line;
}

bool is_fit_for_a_terminal(std::string_view text) {
  return std::ranges::none_of(text, [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F; });
}

/// What `pasvgate status` and `pasvgate trace` read, from whoever answers.
void check_values(std::string_view body) {
  const auto answer = cli::parse_answer(body);
  if (!answer) return require(!answer.error().empty());
  const auto status = cli::status_of(*answer);
  require(is_fit_for_a_terminal(status.version) && is_fit_for_a_terminal(status.state));
  for (const auto& refusal : status.refusals) require(is_fit_for_a_terminal(refusal.what + refusal.why));
  for (const auto& moving : cli::transfers_of(*answer)) {
    require(is_fit_for_a_terminal(moving.user + moving.file + moving.command + moving.client));
  }
  for (const auto& server : cli::servers_of(*answer)) require(is_fit_for_a_terminal(server.why + server.host));
  require(is_fit_for_a_terminal(cli::ports_of(*answer).listen));
  for (const auto& line : cli::trace_of(*answer).lines) require(is_fit_for_a_terminal(line.from + line.text));
  require(is_fit_for_a_terminal(cli::error_of(*answer)));
}

}  // namespace

/// The input: method, path, query, Authorization, and the body behind them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string_view rest = bytes;
  Hostile source(bytes.substr(0, 100));
  ApiRequest request{
      .method = cut(rest), .path = cut(rest), .query = cut(rest), .authorization = cut(rest), .body = rest};
  const ApiResponse response = answer_api(source, request);
  constexpr std::array kStatus{200, 204, 400, 401, 403, 404, 405, 503};
  require(std::ranges::find(kStatus, response.status) != kStatus.end());
  require(response.body.empty() == (response.status == 204));
  require(response.body.empty() || nlohmann::json::accept(response.body));
  if (source.has_changed()) require(request.authorization == "Bearer " + std::string(kToken));
  check_values(response.body);
  check_values(rest);
  return 0;
}
