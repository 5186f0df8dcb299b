#include "server/service.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <latch>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

constexpr std::array kSignals{SIGTERM, SIGINT, SIGHUP, SIGUSR1};
constexpr int kControlBacklog = 4096;
constexpr auto kLastPatience = 2s;
// Its two legs and those of a transfer; more are for pipes.
constexpr std::size_t kDescriptorsOfSession = 4;
using config::LogLevel;

std::uint64_t seed() {
  std::random_device entropy;
  return (static_cast<std::uint64_t>(entropy()) << 32U) | entropy();
}

/// Where the pool listens: on every address that a listener has.
std::vector<ftp::Address> pool_addresses(const config::Config& config) {
  std::set<ftp::Address> addresses;
  for (const auto& listener : config.listeners) addresses.insert(listener.address.address);
  // A wildcard takes in every address of its family.
  const bool any_v4 = addresses.contains(ftp::Address{});
  const bool any_v6 = addresses.contains(ftp::Address::v6({}));
  std::erase_if(addresses, [&](const ftp::Address& one) {
    return !one.is_unspecified() && (one.family() == ftp::Family::V4 ? any_v4 : any_v6);
  });
  return {addresses.begin(), addresses.end()};
}

}  // namespace

Service::Service(config::Config config, Reader reader)
    : config_(std::make_shared<const config::Config>(std::move(config))),
      reader_(std::move(reader)),
      mailbox_(loop_, [this](WorkerEmpty) { worker_empty(); }),
      drain_timer_(loop_, [this] { stop(); }),
      resolve_timer_(loop_, [this] { resolve_advertised(); }),
      tls_timer_(loop_, [this] { look_at_certificates(); }),
      notify_(loop_),
      sample_timer_(loop_, [this] { sample(); }) {}

Service::~Service() = default;

std::expected<void, std::vector<std::string>> Service::start() {
  // Before anybody is told that we are ready: what comes meanwhile waits for the loop.
  const auto on_signal = [this](int number) {
    if (number == SIGHUP) return reload();
    if (!draining_) drain();
    // Who asks for a drain alone may ask twice, as hooks do, and one that ends us comes behind them.
    if (number != SIGUSR1 && std::exchange(told_to_end_, true)) stop();
  };
  signals_ = net::Signals(loop_, kSignals, on_signal);

  const unsigned workers = config_->workers == 0 ? available_cores() : config_->workers;
  auto opened = open_listeners(config_->listeners, workers);
  auto ports = PortSockets::reserve(config_->passive_ports.listen, pool_addresses(*config_));
  tls_fingerprint_ = tls_fingerprint(*config_);
  auto tls = make_tls(*config_);
  std::vector<std::string> errors;
  if (!opened) errors = opened.error();
  if (!tls) errors.insert(errors.end(), tls.error().begin(), tls.error().end());
  if (!ports) {
    for (const auto& error : ports.error()) errors.push_back("/passive_ports/listen: " + error.text());
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  net::make_room_for(kDescriptorsOfSession * config_->limits.sessions);
  if (const auto confined = confine(); !confined) return std::unexpected(std::vector{confined.error()});

  shared_ = std::make_unique<Shared>(*config_, std::move(*ports), workers, seed());
  use_tls(std::move(*tls));
  shared_->groups.configure(*config_);
  shared_->metrics.ports_size(config_->passive_ports.listen.size());
  // Before the admin server, which asks them.
  for (unsigned index = 0; index < workers; ++index) {
    shared_->workers.push_back(std::make_unique<Worker>(index, *shared_, [this] { mailbox_.post({}); }));
  }
  control_ = std::make_unique<Control>(*shared_, ready_);
  control_->use(config_);
  if (const auto& address = config_->admin.address) {
    auto admin = observe::Admin::start(*address, shared_->metrics, ready_, *control_);
    if (!admin) return std::unexpected(std::vector{"/admin/address: " + admin.error()});
    admin_ = std::move(*admin);
  }
  for (const auto& name : advertised_names()) name_resolved(name, net::resolve_now(name));
  std::string listening;
  for (const auto& one : *opened) {
    if (!listening.empty()) listening += ',';
    listening += one.listener.address.text();
  }
  if (privileges_.changed) try_reload();
  send_config(std::move(*opened));
  for (auto& worker : shared_->workers) worker->start();
  resolve_timer_.start(config_->advertise.resolve_interval);
  backend_names_ = std::make_unique<BackendNames>(loop_, shared_->groups, *config_);
  health_checker_ = std::make_unique<HealthChecker>(loop_, shared_->groups);
  health_checker_->use(config_, tls_);
  tls_timer_.start(config_->tls.reload_interval);
  sample_timer_.start(observe::History::kInterval);
  shared_->metrics.config_reload(true, std::chrono::system_clock::now());
  ready_ = true;
  notify_.ready();
  observe::log(LogLevel::Info, "ready",
               {{"listen", listening},
                {"passive_ports", config_->passive_ports.listen.text()},
                {"workers", std::to_string(workers)},
                {"admin", admin_ ? admin_->address().text() : "off"},
                {"user", privileges_.user},
                {"capabilities", privileges_.kept.value_or("all")},
                {"seccomp", privileges_.has_filter ? "on" : "off"},
                {"version", PASVGATE_VERSION}});
  if (!privileges_.kept) observe::log(LogLevel::Info, "runs as root; the key user names somebody else");
  return {};
}

/// Logs are opened as whoever we are then: their rotation has to work too, and root writes into no folder of others.
std::expected<void, std::string> Service::confine() {
  auto given_up = give_up_privileges(*config_);
  if (!given_up) return std::unexpected(given_up.error());
  privileges_ = std::move(*given_up);
  return observe::open_log(config_->log);
}

/// What a reload reads was read as root until now, and the first renewal of a certificate is late to say so.
void Service::try_reload() const {
  const auto warn = [this](const std::vector<std::string>& errors) {
    for (const auto& error : errors) {
      observe::log(LogLevel::Warn, "reloads will be refused", {{"user", privileges_.user}, {"error", error}});
    }
  };
  const auto again = reader_();
  if (!again) return warn(again.error());
  if (const auto tls = make_tls(*again); !tls) warn(tls.error());
}

std::expected<std::vector<Service::Opened>, std::vector<std::string>> Service::open_listeners(
    const std::vector<config::Listener>& listeners, std::size_t workers) const {
  std::vector<Opened> all;
  std::vector<std::string> errors;
  for (const auto& listener : listeners) {
    const auto report = [&](const net::Error& error) {
      errors.push_back("listener \"" + listener.name + "\": " + error.text());
    };
    // SO_REUSEPORT would let us share the port with a second pasvgate without a word: so the address is first bound
    // alone.
    auto probe = net::bind_tcp(listener.address, net::Share::Alone);
    if (!probe) {
      report(probe.error());
      continue;
    }
    Opened opened{listener, {}};
    opened.listener.address = net::local_endpoint(*probe).value_or(listener.address);  // the kernel chooses for port 0
    probe->close();
    for (std::size_t index = 0; index < workers; ++index) {
      auto socket = net::bind_tcp(opened.listener.address, net::Share::AmongWorkers);
      if (socket) {
        net::tune_control(*socket);
        if (const auto listening = net::start_listening(*socket, kControlBacklog); !listening) {
          report(listening.error());
          break;
        }
        opened.sockets.push_back(std::move(*socket));
      } else {
        report(socket.error());
        break;
      }
    }
    all.push_back(std::move(opened));
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return all;
}

void Service::send_config(std::vector<Opened> opened) {
  auto next = std::make_shared<config::Config>(*config_);
  // The kernel's choice for port 0 becomes part of the configuration, so that a reload knows the listener again.
  for (auto& listener : next->listeners) {
    for (const auto& one : opened) {
      if (one.listener.name == listener.name) listener = one.listener;
    }
  }
  config_ = next;
  control_->use(config_);
  for (std::size_t index = 0; index < shared_->workers.size(); ++index) {
    NewConfig message{config_, tls_, {}};
    for (auto& one : opened) message.added.push_back({one.listener, std::move(one.sockets[index])});
    shared_->workers[index]->post(std::move(message));
  }
}

void Service::run() {
  loop_.run();
  admin_.reset();
  observe::log(LogLevel::Info, "stopped");
}

void Service::reload() {
  if (draining_) return;
  // logrotate says so too, whatever becomes of the configuration.
  observe::reopen_log();
  notify_.reloading();
  const auto refuse = [this](const std::vector<std::string>& errors) {
    for (const auto& error : errors) {
      observe::log(LogLevel::Error, "reload refused, the old configuration stays", {{"error", error}});
    }
    shared_->metrics.config_reload(false, std::chrono::system_clock::now());
    notify_.ready();
  };
  auto next = reader_();
  if (!next) return refuse(next.error());
  for (auto& listener : next->listeners) {
    if (listener.address.port != 0) continue;
    for (const auto& old : config_->listeners) {
      if (old.name == listener.name && old.address.address == listener.address.address) {
        listener.address = old.address;
      }
    }
  }
  if (const auto refused = change_refused(*next); !refused.empty()) return refuse(refused);
  std::vector<config::Listener> added;
  for (const auto& listener : next->listeners) {
    const bool known =
        std::ranges::any_of(config_->listeners, [&](const auto& old) { return old.address == listener.address; });
    if (!known) added.push_back(listener);
  }
  auto opened = open_listeners(added, shared_->workers.size());
  if (!opened) return refuse(opened.error());
  const auto fingerprint = tls_fingerprint(*next);
  auto tls = make_tls(*next);
  if (!tls) return refuse(tls.error());
  if (const auto log = observe::open_log(next->log); !log) return refuse({log.error()});

  tls_fingerprint_ = fingerprint;
  use_tls(std::move(*tls));
  config_ = std::make_shared<const config::Config>(std::move(*next));
  shared_->without_epsv.with([](auto& backends) { backends.clear(); });
  // Servers before the listeners that lead to them.
  shared_->groups.configure(*config_);
  backend_names_ = std::make_unique<BackendNames>(loop_, shared_->groups, *config_);
  health_checker_->use(config_, tls_);
  send_config(std::move(*opened));
  resolve_advertised();
  shared_->metrics.config_reload(true, std::chrono::system_clock::now());
  notify_.ready();
  observe::log(LogLevel::Info, "configuration reloaded");
}

/// What can't change while the process runs, because sockets and threads hang on it.
std::vector<std::string> Service::change_refused(const config::Config& next) const {
  std::vector<std::string> errors;
  const auto need_restart = [&](bool changed, const std::string& key) {
    if (changed) errors.push_back(key + ": can't change while running; restart to change it");
  };
  need_restart(next.workers != config_->workers, "/workers");
  need_restart(next.user != config_->user, "/user");
  need_restart(next.seccomp != config_->seccomp, "/seccomp");
  need_restart(next.admin.address != config_->admin.address, "/admin/address");
  need_restart(next.passive_ports.listen != config_->passive_ports.listen, "/passive_ports/listen");
  need_restart(next.passive_ports.advertise != config_->passive_ports.advertise, "/passive_ports/advertise");
  need_restart(next.passive_ports.mapping != config_->passive_ports.mapping, "/passive_ports/mapping");
  need_restart(next.passive_ports.data_source != config_->passive_ports.data_source, "/passive_ports/data_source");
  need_restart(next.limits.leases_per_client != config_->limits.leases_per_client, "/limits/leases_per_client");
  need_restart(pool_addresses(next) != pool_addresses(*config_),
               "/listeners (a new address needs passive ports of its own)");
  return errors;
}

void Service::drain() {
  draining_ = true;
  control_->draining();
  ready_ = false;
  notify_.stopping();
  observe::log(LogLevel::Info, "draining", {{"timeout", config::write_duration(config_->drain_timeout)}});
  backend_names_.reset();
  health_checker_.reset();
  drain_timer_.start(config_->drain_timeout);
  for (auto& worker : shared_->workers) worker->post(DrainSessions{});
}

void Service::worker_empty() {
  const auto has_blind = [](const gateway::PortPool& pool) { return pool.has_blind_transfers(); };
  if (draining_ && shared_->sessions == 0 && !shared_->pool.with(has_blind)) stop();
}

void Service::stop() {
  if (std::exchange(stopped_, true)) return;
  const auto ended = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(shared_->workers.size()));
  for (auto& worker : shared_->workers) worker->post(StopNow{ended});
  ended->wait();
  if (admin_) admin_->drained();
  // Nothing is left but look-ups that may hang.
  last_wait_ = std::make_unique<LastWait>(kLastPatience);
  for (auto& worker : shared_->workers) worker->join();
  mailbox_.close();
  signals_.close();
  drain_timer_.close();
  resolve_timer_.close();
  tls_timer_.close();
  sample_timer_.close();
  lookups_.clear();
  backend_names_.reset();
  health_checker_.reset();
  notify_.close();
}

void Service::sample() {
  sample_timer_.start(observe::History::kInterval);
  control_->sample();
}

void Service::use_tls(std::shared_ptr<const TlsContexts> tls) {
  tls_ = std::move(tls);
  shared_->metrics.certificate_expiries(tls_->listeners ? tls_->listeners->expiries()
                                                        : std::map<std::string, std::int64_t>{});
}

/// A Kubernetes secret changes by a symlink, a renewal by a rename: the files are looked at, not watched.
void Service::look_at_certificates() {
  tls_timer_.start(config_->tls.reload_interval);
  auto fingerprint = tls_fingerprint(*config_);
  if (fingerprint == tls_fingerprint_) return;
  tls_fingerprint_ = std::move(fingerprint);
  auto tls = make_tls(*config_);
  if (!tls) {
    for (const auto& error : tls.error()) {
      observe::log(LogLevel::Error, "changed certificates refused, the old ones stay", {{"error", error}});
    }
    return;
  }
  use_tls(std::move(*tls));
  if (health_checker_) health_checker_->use(config_, tls_);
  send_config({});
  observe::log(LogLevel::Info, "certificates reloaded");
}

std::vector<std::string> Service::advertised_names() const {
  std::set<std::string> names;
  if (!config_->advertise.address.name.empty()) names.insert(config_->advertise.address.name);
  for (const auto& rule : config_->advertise.rules) {
    if (!rule.to.name.empty()) names.insert(rule.to.name);
  }
  return {names.begin(), names.end()};
}

void Service::resolve_advertised() {
  lookups_.clear();
  for (const auto& name : advertised_names()) {
    lookups_.push_back(
        std::make_unique<net::Lookup>(loop_, name, config_->advertise.resolve_interval,
                                      [this, name](const net::Resolved& found) { name_resolved(name, found); }));
  }
  resolve_timer_.start(config_->advertise.resolve_interval);
}

/// The last good answer is kept: a resolver that is down must not stop transfers.
void Service::name_resolved(const std::string& name, const net::Resolved& found) {
  std::string error = found ? "no IPv4 address" : found.error();
  if (found) {
    for (const auto& address : *found) {
      if (address.family() != ftp::Family::V4) continue;
      shared_->advertised_names.with([&](auto& names) { names[name] = address; });
      return;
    }
  }
  observe::log(LogLevel::Warn, "advertised name doesn't resolve", {{"name", name}, {"error", std::move(error)}});
}

}  // namespace pasvgate::server
