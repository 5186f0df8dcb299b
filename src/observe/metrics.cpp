#include "observe/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <sys/resource.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <sstream>
#include <system_error>
#include <utility>
#include <variant>

#include "observe/log.h"
#include "observe/metric_sets.h"

namespace pasvgate::observe {
namespace {

/// Success and failure as a label: what "failed" means is said in each metric's help.
enum class Outcome : std::uint8_t { Ok, Failed };

Outcome outcome(bool ok) { return ok ? Outcome::Ok : Outcome::Failed; }

// Label values of the enums that have no name function of their own, in the order of the enumerators.
constexpr std::array<std::string_view, 2> kOutcomes{"ok", "failed"};
constexpr std::array<std::string_view, 2> kDirections{"download", "upload"};
constexpr std::array<std::string_view, 4> kDataResults{"ok", "refused", "timeout", "failed"};
constexpr std::array<std::string_view, 3> kRejections{"no_lease", "session_gone", "not_backend"};
constexpr std::array<std::string_view, 5> kProxyHeaders{"ok", "own", "malformed", "timeout", "closed"};
constexpr std::array<std::string_view, 6> kLeaseEvents{"taken",   "accepted",  "expired",
                                                       "dropped", "exhausted", "client_limit"};
constexpr auto kLimits = std::to_array<std::string_view>(
    {"sessions", "descriptors", "destination", "ban", "bandwidth_transfer", "bandwidth_session", "bandwidth_user",
     "bandwidth_listener", "clients", "sessions_per_client", "sessions_per_user", "connections_per_second",
     "commands_per_second", "failed_logins", "policy"});

constexpr std::size_t kVerbs = std::to_underlying(ftp::Verb::Other) + std::size_t{1};
constexpr std::size_t kEndReasons = std::to_underlying(gateway::EndReason::Refused) + std::size_t{1};
constexpr std::size_t kTransferResults = std::to_underlying(gateway::TransferNote::Result::Stalled) + std::size_t{1};

double seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

struct Metrics::State {
  using Result = gateway::TransferNote::Result;

  Registry registry;

  Counter& sessions = counters(registry, "sessions_total", "Client sessions that were started.").Add({});
  Gauge& sessions_active = gauges(registry, "sessions_active", "Client sessions that are open now.").Add({});
  Histogram& session_duration = histogram(registry, "session_duration_seconds", "How long sessions lasted, in seconds.",
                                          {0.1, 1, 5, 15, 60, 300, 900, 3600, 14'400, 86'400});
  CounterSet<gateway::EndReason, kEndReasons> sessions_ended{
      counters(registry, "sessions_ended_total", "Client sessions that ended, by the reason."), "reason",
      names<kEndReasons>(&gateway::reason_name)};
  CounterSet<Outcome, 2> logins{counters(registry, "logins_total", "Logins that the backend answered, by the result."),
                                "result", kOutcomes};

  prometheus::Family<Counter>& command_family =
      counters(registry, "commands_total",
               "Commands that got their final reply, by verb and result, where a reply of 400 and above is a failure.");
  std::array<CounterSet<ftp::Verb, kVerbs>, 2> commands{
      CounterSet<ftp::Verb, kVerbs>{command_family, "command", names<kVerbs>(&ftp::verb_name), {{"result", "ok"}}},
      CounterSet<ftp::Verb, kVerbs>{command_family, "command", names<kVerbs>(&ftp::verb_name), {{"result", "failed"}}}};

  prometheus::Family<Counter>& rewrite_family =
      counters(registry, "rewrites_total",
               "Set-ups of a data channel whose address was rewritten, by the verb with which the client asked.");
  Counter& rewrites_pasv = rewrite_family.Add({{"verb", "PASV"}});
  Counter& rewrites_epsv = rewrite_family.Add({{"verb", "EPSV"}});
  Counter& rewrites_port = rewrite_family.Add({{"verb", "PORT"}});
  Counter& rewrites_eprt = rewrite_family.Add({{"verb", "EPRT"}});

  prometheus::Family<Counter>& data_family =
      counters(registry, "data_connections_total", "Data connections that were tried, by leg, mode and result.");
  using ByMode = std::array<CounterSet<DataResult, 4>, 2>;
  ByMode data_of(std::string_view leg) {
    const auto of = [&](std::string_view mode) {
      return CounterSet<DataResult, 4>{
          data_family, "result", kDataResults, {{"leg", std::string(leg)}, {"mode", std::string(mode)}}};
    };
    return {of("passive"), of("active")};
  }
  std::array<ByMode, 2> data_connections{data_of("client"), data_of("backend")};  ///< By leg, then by mode.
  CounterSet<Rejected, 3> data_rejected{
      counters(registry, "data_rejected_total",
               "Data connections that were closed because no session waited for them, by the reason."),
      "reason", kRejections};

  CounterSet<ProxyHeader, 5> proxy_headers{
      counters(
          registry, "proxy_headers_total",
          "Connections that had to begin with a PROXY header, by the result: ok has the client's address, own leaves "
          "the connection's."),
      "result", kProxyHeaders};

  CounterSet<ftp::Direction, 2> transfer_bytes{
      counters(registry, "transfer_bytes_total", "Payload bytes that were relayed, by the direction of the transfer."),
      "direction", kDirections};
  Histogram& transfer_duration =
      histogram(registry, "transfer_duration_seconds", "How long transfers lasted, in seconds.",
                {0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200});
  prometheus::Family<Counter>& transfer_family =
      counters(registry, "transfers_total", "Transfers that ended, by direction and result.");
  std::array<CounterSet<Result, kTransferResults>, 2> transfers{
      CounterSet<Result, kTransferResults>{
          transfer_family, "result", names<kTransferResults>(&gateway::result_name), {{"direction", "download"}}},
      CounterSet<Result, kTransferResults>{
          transfer_family, "result", names<kTransferResults>(&gateway::result_name), {{"direction", "upload"}}}};

  CounterSet<ftp::Direction, 2> false_completions{
      counters(registry, "false_completions_total",
               "Transfers that the backend called complete and that weren't, so that the client was told 426, by "
               "direction."),
      "direction", kDirections};

  Gauge& ports_leased =
      gauges(registry, "ports_leased", "Leases of passive ports that are held now, each waiting for its client.")
          .Add({});
  Gauge& ports_size = gauges(registry, "ports_size", "Passive ports that the pool has.").Add({});
  CounterSet<LeaseEvent, 6> leases{
      counters(
          registry, "port_leases_total",
          "What happened to leases of passive ports: taken is accepted, expired, dropped and those held now, while "
          "exhausted and client_limit were never taken."),
      "result", kLeaseEvents};

  prometheus::Family<Counter>& tls_handshakes =
      counters(registry, "tls_handshakes_total",
               "TLS handshakes of control and data connections, by leg, version, result and whether a session was "
               "resumed.");
  prometheus::Family<Gauge>& certificate_expiry =
      gauges(registry, "tls_certificate_expiry_timestamp_seconds",
             "When the certificate in this file expires, in seconds since 1970.");
  std::map<std::string, Gauge*> certificates;  ///< By file: those of `certificate_expiry`.

  ByServer<Gauge> backend_up{
      gauges(registry, "backend_up",
             "Whether the server takes new sessions (1), or is down, in drain or in maintenance (0).")};
  ByServer<Gauge> backend_sessions{gauges(registry, "backend_sessions_active",
                                          "Sessions that are connected to the server now, or are being connected.")};
  prometheus::Family<Counter>& check_family =
      counters(registry, "backend_checks_total", "Health checks of servers that ended, by the result.");
  std::array<ByServer<Counter>, 3> backend_checks{ByServer<Counter>{check_family, {{"result", "ok"}}},
                                                  ByServer<Counter>{check_family, {{"result", "failed"}}},
                                                  ByServer<Counter>{check_family, {{"result", "timeout"}}}};
  Histogram& backend_connect = histogram(registry, "backend_connect_duration_seconds",
                                         "How long control connections to a backend took to be made, in seconds.",
                                         {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5});

  prometheus::Family<Histogram>& worker_turns =
      prometheus::BuildHistogram()
          .Name("pasvgate_worker_turn_seconds")
          .Help(
              "How long the turns of a worker's loop took, in seconds: so long do its other sessions wait. Without "
              "what the kernel gave to other threads meanwhile.")
          .Register(registry);

  CounterSet<Limit, kLimits.size()> limits{
      counters(registry, "limits_hit_total",
               "How often a client was turned away or slowed down, or a command refused, by the limit or policy; for "
               "those of bandwidth the transfers that they held back."),
      "limit", kLimits};
  Gauge& bans = gauges(registry, "bans_active", "Networks whose clients are kept out now.").Add({});
  CounterSet<Outcome, 2> reloads{
      counters(registry, "config_reloads_total", "Reloads of the configuration, by the result."), "result", kOutcomes};
  Gauge& last_reload =
      gauges(registry, "config_last_reload_success_timestamp_seconds",
             "When the configuration was last loaded with success, in seconds since the epoch, or 0 for never.")
          .Add({});
  Counter& log_lines_dropped =
      counters(registry, "log_lines_dropped_total",
               "Lines of the log and of the transfer log that couldn't be written, or not fast enough.")
          .Add({});
  std::mutex log_mutex;
  std::uint64_t log_lines_counted = 0;

  Gauge& open_descriptors = prometheus::BuildGauge()
                                .Name("process_open_fds")
                                .Help("Number of open file descriptors.")
                                .Register(registry)
                                .Add({});
  Gauge& most_descriptors = prometheus::BuildGauge()
                                .Name("process_max_fds")
                                .Help("Maximum number of open file descriptors.")
                                .Register(registry)
                                .Add({});

  /// What is asked for at each scrape instead of being counted.
  void look() {
    const std::lock_guard lock(log_mutex);
    const std::uint64_t dropped = dropped_log_lines();
    log_lines_dropped.Increment(static_cast<double>(dropped - std::exchange(log_lines_counted, dropped)));
    std::error_code unknown;
    std::size_t open = 0;
    for (std::filesystem::directory_iterator it("/proc/self/fd", unknown), end; it != end; it.increment(unknown))
      ++open;
    open_descriptors.Set(static_cast<double>(open));
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) most_descriptors.Set(static_cast<double>(limit.rlim_cur));
  }

  Gauge& build_info = gauges(registry, "build_info", "The version of the gateway as a label, always with the value 1.")
                          .Add({{"version", PASVGATE_VERSION}});
};

Metrics::Metrics() : state_(std::make_unique<State>()) { state_->build_info.Set(1); }

Metrics::~Metrics() = default;

void Metrics::session_started() {
  state_->sessions.Increment();
  state_->sessions_active.Increment();
}

void Metrics::session_ended(gateway::EndReason reason, std::chrono::nanoseconds duration) {
  state_->sessions_ended[reason].Increment();
  state_->sessions_active.Decrement();
  state_->session_duration.Observe(seconds(duration));
}

void Metrics::note(const gateway::Note& note) {
  struct Count {
    State& state;
    void operator()(const gateway::CommandNote& command) const {
      const Outcome result = outcome(command.code < 400);
      state.commands[std::to_underlying(result)][command.verb].Increment();
    }
    void operator()(const gateway::LoginNote& login) const { state.logins[outcome(login.ok)].Increment(); }
    void operator()(const gateway::PolicyNote&) const { state.limits[Limit::Policy].Increment(); }
    void operator()(const gateway::RewriteNote& rewrite) const {
      switch (rewrite.verb) {
        case ftp::Verb::Epsv:
          return state.rewrites_epsv.Increment();
        case ftp::Verb::Port:
          return state.rewrites_port.Increment();
        case ftp::Verb::Eprt:
          return state.rewrites_eprt.Increment();
        default:
          return state.rewrites_pasv.Increment();
      }
    }
    void operator()(const gateway::DataTimeoutNote& late) const {
      state.data_connections[std::to_underlying(late.leg)][std::to_underlying(late.mode)][DataResult::Timeout]
          .Increment();
    }
    void operator()(const gateway::TransferNote& transfer) const {
      state.transfers[std::to_underlying(transfer.direction)][transfer.result].Increment();
      if (transfer.contradicted) state.false_completions[transfer.direction].Increment();
    }
    // Counted where it happens, by lease(): once here too would be twice.
    void operator()(const gateway::LeaseNote&) const {}
    void operator()(const gateway::WarningNote&) const {}
  };
  std::visit(Count{*state_}, note);
}

void Metrics::data_connection(gateway::Leg leg, gateway::Mode mode, DataResult result) {
  state_->data_connections[std::to_underlying(leg)][std::to_underlying(mode)][result].Increment();
}

void Metrics::tls_handshake(gateway::Leg leg, std::string_view version, bool resumed) {
  state_->tls_handshakes
      .Add({{"leg", std::string(gateway::leg_name(leg))},
            {"version", std::string(version)},
            {"result", version.empty() ? "failed" : "ok"},
            {"resumed", resumed ? "true" : "false"}})
      .Increment();
}

void Metrics::certificate_expiries(const std::map<std::string, std::int64_t>& files) {
  std::map<std::string, Gauge*> now;
  for (const auto& [file, when] : files) {
    now[file] = &state_->certificate_expiry.Add({{"certificate", file}});
    now[file]->Set(static_cast<double>(when));
  }
  for (const auto& [file, gauge] : std::exchange(state_->certificates, now)) {
    if (!now.contains(file)) state_->certificate_expiry.Remove(gauge);
  }
}

void Metrics::data_rejected(Rejected reason) { state_->data_rejected[reason].Increment(); }

void Metrics::proxy_header(ProxyHeader result) { state_->proxy_headers[result].Increment(); }

void Metrics::transfer_bytes(ftp::Direction direction, std::uint64_t bytes) {
  state_->transfer_bytes[direction].Increment(static_cast<double>(bytes));
}

void Metrics::transfer_duration(std::chrono::nanoseconds duration) {
  state_->transfer_duration.Observe(seconds(duration));
}

void Metrics::lease(LeaseEvent event) { state_->leases[event].Increment(); }

void Metrics::ports_leased(std::int64_t change) { state_->ports_leased.Increment(static_cast<double>(change)); }

void Metrics::ports_size(std::size_t size) { state_->ports_size.Set(static_cast<double>(size)); }

void Metrics::backend_up(std::string_view backend, std::string_view server, bool up) {
  state_->backend_up.of(backend, server).Set(up ? 1 : 0);
}

void Metrics::backend_sessions(std::string_view backend, std::string_view server, std::size_t count) {
  state_->backend_sessions.of(backend, server).Set(static_cast<double>(count));
}

void Metrics::backend_check(std::string_view backend, std::string_view server, CheckResult result) {
  state_->backend_checks[std::to_underlying(result)].of(backend, server).Increment();
}

void Metrics::server_gone(std::string_view backend, std::string_view server) {
  state_->backend_up.remove(backend, server);
  state_->backend_sessions.remove(backend, server);
  for (auto& checks : state_->backend_checks) checks.remove(backend, server);
}

void Metrics::backend_connected(std::chrono::nanoseconds duration) {
  state_->backend_connect.Observe(seconds(duration));
}

Metrics::TurnObserver Metrics::worker_turns(unsigned worker) {
  static const Histogram::BucketBoundaries bounds{0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1};
  Histogram& turns = state_->worker_turns.Add({{"worker", std::to_string(worker)}}, bounds);
  return [&turns](std::chrono::nanoseconds took) { turns.Observe(seconds(took)); };
}

void Metrics::limit_hit(Limit limit) { state_->limits[limit].Increment(); }

void Metrics::bans(std::size_t active) { state_->bans.Set(static_cast<double>(active)); }

void Metrics::config_reload(bool ok, std::chrono::system_clock::time_point now) {
  state_->reloads[outcome(ok)].Increment();
  if (ok) state_->last_reload.Set(seconds(now.time_since_epoch()));
}

Metrics::Totals Metrics::totals() const {
  const auto whole = [](const Counter& counter) { return static_cast<std::uint64_t>(counter.Value()); };
  return {.sessions = whole(state_->sessions),
          .downloaded = whole(state_->transfer_bytes[ftp::Direction::Download]),
          .uploaded = whole(state_->transfer_bytes[ftp::Direction::Upload])};
}

std::string Metrics::scrape() const {
  state_->look();
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, state_->registry.Collect());
  return std::move(text).str();
}

}  // namespace pasvgate::observe
