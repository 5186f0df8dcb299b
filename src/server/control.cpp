#include "server/control.h"

#include <uv.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <future>
#include <iterator>
#include <numeric>
#include <utility>

#include "observe/log.h"
#include "observe/shares.h"
#include "server/shared.h"
#include "server/token_file.h"
#include "server/worker.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 2s;

}  // namespace

gateway::Instant monotonic_now() { return gateway::Instant(uv_hrtime() / 1'000'000); }

Control::Control(Shared& shared, const std::atomic<bool>& ready)
    : shared_(shared),
      ready_(ready),
      started_(std::chrono::system_clock::now()),
      history_(observe::History(std::chrono::steady_clock::now())) {}

void Control::use(std::shared_ptr<const config::Config> config) {
  config_.with([&](auto& held) { held = std::move(config); });
  if (!this->config()->admin.token_file) return;
  if (const auto token = this->token(); !token)
    observe::log(config::LogLevel::Warn, "admin API", {{"why", token.error()}});
}

std::shared_ptr<const config::Config> Control::config() const {
  return config_.with([](const auto& held) { return held; });
}

template <class Answer>
std::vector<std::optional<Answer>> Control::ask(const std::function<Answer(Worker&)>& question) {
  std::vector<std::future<Answer>> answers;
  for (const auto& worker : shared_.workers) {
    auto promise = std::make_shared<std::promise<Answer>>();
    answers.push_back(promise->get_future());
    worker->post(Inspect{[promise, question](Worker& here) { promise->set_value(question(here)); }});
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::vector<std::optional<Answer>> all;
  for (auto& answer : answers) {
    auto& one = all.emplace_back();
    if (answer.wait_until(deadline) != std::future_status::ready) continue;
    try {
      one = answer.get();
    } catch (const std::future_error&) {  // NOLINT(bugprone-empty-catch): the worker has ended
    }
  }
  return all;
}

void Control::sample() {
  shared_.metrics.bans(bans().size());
  const auto totals = shared_.metrics.totals();
  const auto sessions = shared_.sessions.load();
  history_.with([&](observe::History& history) {
    history.add(std::chrono::system_clock::now(), std::chrono::steady_clock::now(), sessions, totals.downloaded,
                totals.uploaded);
  });
}

observe::Overview Control::overview() {
  const auto totals = shared_.metrics.totals();
  const auto config = this->config();
  observe::Overview now{.state = draining_ ? "draining"
                                 : ready_  ? "ready"
                                           : "starting",
                        .started = started_,
                        .workers = shared_.workers.size(),
                        .sessions = shared_.sessions,
                        .sessions_total = totals.sessions,
                        .sessions_limit = config->limits.sessions,
                        .transfers = shared_.transfers,
                        .downloaded = totals.downloaded,
                        .uploaded = totals.uploaded,
                        .ports = config->passive_ports.listen.size(),
                        .ports_leased = shared_.pool.with([](const auto& pool) { return pool.leased(); }),
                        .interval = observe::History::kInterval,
                        .history = {},
                        .refusals = shared_.refusals.newest()};
  history_.with(
      [&](const observe::History& history) { now.history.assign(history.samples().begin(), history.samples().end()); });
  return now;
}

std::pair<std::vector<observe::SessionStatus>, std::size_t> Control::sessions(std::size_t limit) {
  std::vector<std::size_t> transferring;
  std::vector<std::size_t> others;
  for (const auto& counts : ask<Worker::SessionCounts>([](Worker& worker) { return worker.session_counts(); })) {
    transferring.push_back(counts ? counts->transferring : 0);
    others.push_back(counts ? counts->others : 0);
  }
  auto shares = observe::shares(transferring, limit);
  const std::size_t room = limit - std::accumulate(shares.begin(), shares.end(), std::size_t{0});
  std::ranges::transform(shares, observe::shares(others, room), shares.begin(), std::plus{});
  std::vector<observe::SessionStatus> all;
  const auto question = [shares](Worker& worker) { return worker.status(shares[worker.index()]); };
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): as in traces()
  for (auto& part : ask<std::vector<observe::SessionStatus>>(question)) {
    if (part) std::ranges::move(*part, std::back_inserter(all));
  }
  return {std::move(all), shared_.sessions};
}

observe::Traces Control::traces(std::optional<std::uint64_t> session, const std::optional<ftp::Address>& client) {
  observe::Traces traces{.all = {}, .is_whole = true};
  const auto question = [=](Worker& worker) { return worker.traces(session, client); };
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): the analyzer takes the lambda's std::function for lost
  for (auto& part : ask<std::vector<observe::SessionTrace>>(question)) {
    traces.is_whole = traces.is_whole && part;
    if (part) std::ranges::move(*part, std::back_inserter(traces.all));
  }
  return traces;
}

config::PassivePorts Control::passive_ports() { return config()->passive_ports; }

std::vector<observe::PortStatus> Control::ports() {
  const auto range = config()->passive_ports.listen;
  return shared_.pool.with([&](const gateway::PortPool& pool) {
    std::vector<observe::PortStatus> all;
    all.reserve(pool.size());
    for (std::size_t index = 0; index < pool.size(); ++index) {
      all.push_back({static_cast<std::uint16_t>(range.low + index), pool.waiting(index)});
    }
    return all;
  });
}

std::vector<observe::BackendStatus> Control::backends() {
  std::vector<observe::BackendStatus> all;
  for (auto& one : shared_.groups.snapshot()) {
    all.push_back({std::move(one.backend), one.strategy, std::move(one.servers)});
  }
  return all;
}

std::vector<observe::Ban> Control::bans() {
  const auto now = monotonic_now();
  return shared_.bans.with([&](gateway::BanList& list) {
    std::vector<observe::Ban> all;
    for (const auto& ban : list.current(now)) {
      all.push_back({ban.network, std::chrono::system_clock::now() + (ban.until - now), ban.why});
    }
    return all;
  });
}

observe::Ordered Control::end_session(std::uint64_t session) {
  const auto answers = ask<bool>([session](Worker& worker) { return worker.end_session(session); });
  if (std::ranges::find(answers, std::optional(true)) != answers.end()) return observe::Ordered::Done;
  const bool is_late = std::ranges::any_of(answers, [](const auto& answer) { return !answer; });
  return is_late ? observe::Ordered::Late : observe::Ordered::NoSession;
}

bool Control::set_server(const std::string& backend, std::string_view server, gateway::ServerOrder order) {
  return shared_.groups.set_state(backend, server, order);
}

/// Running sessions of the network end too.
void Control::ban(const ftp::Cidr& network, std::chrono::seconds time) {
  shared_.bans.with([&](gateway::BanList& list) { list.add(network, monotonic_now() + time, "by the operator"); });
  shared_.has_bans = true;
  shared_.metrics.bans(bans().size());
  ask<bool>([network](Worker& worker) {
    worker.end_sessions_of(network);
    return true;
  });
}

bool Control::lift_ban(const ftp::Cidr& network) {
  const bool lifted = shared_.bans.with([&](gateway::BanList& list) { return list.lift(network); });
  shared_.metrics.bans(bans().size());
  return lifted;
}

/// Read each time: a secret may be replaced at any moment.
std::expected<std::string, std::string> Control::token() {
  const auto file = config()->admin.token_file;
  if (!file) return std::unexpected("changes are off; name a file with a token in admin.token_file");
  auto token = read_token(*file);
  if (!token) return std::unexpected("changes are off; the file of admin.token_file " + token.error());
  return token;
}

}  // namespace pasvgate::server
