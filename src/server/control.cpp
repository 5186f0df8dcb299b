#include "server/control.h"

#include <uv.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <future>
#include <iterator>
#include <utility>

#include "server/shared.h"
#include "server/worker.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 2s;
constexpr std::size_t kSamples = 180;  // Fifteen minutes.
constexpr std::size_t kLongestToken = 4096;

}  // namespace

gateway::Instant monotonic_now() { return gateway::Instant(uv_hrtime() / 1'000'000); }

Control::Control(Shared& shared, const std::atomic<bool>& ready)
    : shared_(shared), ready_(ready), started_(std::chrono::system_clock::now()) {}

void Control::use(std::shared_ptr<const config::Config> config) {
  config_.with([&](auto& held) { held = std::move(config); });
}

std::shared_ptr<const config::Config> Control::config() const {
  return config_.with([](const auto& held) { return held; });
}

template <class Answer>
std::vector<Answer> Control::ask(const std::function<Answer(Worker&)>& question) {
  std::vector<std::future<Answer>> answers;
  for (const auto& worker : shared_.workers) {
    auto promise = std::make_shared<std::promise<Answer>>();
    answers.push_back(promise->get_future());
    worker->post(Inspect{[promise, question](Worker& here) { promise->set_value(question(here)); }});
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::vector<Answer> all;
  for (auto& answer : answers) {
    if (answer.wait_until(deadline) != std::future_status::ready) continue;
    try {
      all.push_back(answer.get());
    } catch (const std::future_error&) {  // NOLINT(bugprone-empty-catch): the worker has ended
    }
  }
  return all;
}

void Control::sample() {
  shared_.metrics.bans(bans().size());
  const auto totals = shared_.metrics.totals();
  const auto sessions = shared_.sessions.load();
  history_.with([&](History& history) {
    const auto rate = [](std::uint64_t now, std::uint64_t before) {
      return static_cast<double>(now - before) / std::chrono::duration<double>(kInterval).count();
    };
    history.samples.push_back({.time = std::chrono::system_clock::now(),
                               .sessions = sessions,
                               .download = rate(totals.downloaded, history.downloaded),
                               .upload = rate(totals.uploaded, history.uploaded)});
    if (history.samples.size() > kSamples) history.samples.pop_front();
    history.downloaded = totals.downloaded;
    history.uploaded = totals.uploaded;
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
                        .interval = kInterval,
                        .history = {},
                        .refusals = shared_.refusals.newest()};
  history_.with([&](const History& history) { now.history.assign(history.samples.begin(), history.samples.end()); });
  return now;
}

std::pair<std::vector<observe::SessionStatus>, std::size_t> Control::sessions(std::size_t limit) {
  std::vector<observe::SessionStatus> all;
  for (auto& part :
       ask<std::vector<observe::SessionStatus>>([limit](Worker& worker) { return worker.status(limit); })) {
    std::ranges::move(part, std::back_inserter(all));
  }
  if (all.size() > limit) all.resize(limit);
  return {std::move(all), shared_.sessions};
}

std::vector<observe::SessionTrace> Control::traces(std::optional<std::uint64_t> session,
                                                   const std::optional<ftp::Address>& client) {
  std::vector<observe::SessionTrace> all;
  const auto question = [=](Worker& worker) { return worker.traces(session, client); };
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): the analyzer takes the lambda's std::function for lost
  for (auto& part : ask<std::vector<observe::SessionTrace>>(question)) std::ranges::move(part, std::back_inserter(all));
  return all;
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

bool Control::end_session(std::uint64_t session) {
  return std::ranges::any_of(ask<bool>([session](Worker& worker) { return worker.end_session(session); }),
                             std::identity{});
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
  std::ifstream in(*file, std::ios::binary);
  std::string token(kLongestToken, '\0');
  in.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(in.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.empty()) return std::unexpected("changes are off; the file of admin.token_file can't be read or is empty");
  return token;
}

}  // namespace pasvgate::server
