#include "server/worker.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>
#include <utility>

#include "observe/log.h"
#include "server/destination.h"
#include "server/session_driver.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kReadBuffer = std::size_t{64} * 1024;
// Without descriptors accept fails at once, again and again: so it isn't tried for a while.
constexpr auto kAcceptPause = 100ms;

// Session ids are random in their upper half, so that those of two runs of the process don't meet in a log.
std::uint64_t first_session_id(unsigned worker) {
  std::random_device entropy;
  return (static_cast<std::uint64_t>(entropy()) << 32U) | (static_cast<std::uint64_t>(worker) << 24U);
}

/// The last word to a client that gets no session: in clear, as a greeting would be. Where TLS comes first there is
/// nothing that it could read.
void say(const net::Accepted& client, const config::Listener& listener, std::string_view whole) {
  if (listener.tls == config::ClientTls::Implicit) return;
  ::send(client.socket.get(), whole.data(), whole.size(), MSG_NOSIGNAL);
}

}  // namespace

Shared::Shared(const config::Config& config, PortSockets reserved, unsigned worker_count, std::uint64_t seed)
    : pool(config.passive_ports, config.limits.leases_per_client, worker_count, seed),
      port_sockets(std::move(reserved)) {}

Shared::~Shared() = default;

Worker::Worker(unsigned index, Shared& shared, std::function<void()> on_empty)
    : index_(index),
      shared_(shared),
      on_empty_(std::move(on_empty)),
      mailbox_(loop_, [this](Message message) { std::visit([this](auto& one) { on(std::move(one)); }, message); }),
      next_turn_(loop_, [this] { bury(); }),
      accept_pause_(loop_, [this] { resume_accepting(); }),
      read_buffer_(kReadBuffer),
      random_(std::random_device{}()),
      proxied_sessions_(loop_, shared.metrics),
      proxied_data_(loop_, shared.metrics),
      blind_transfers_(loop_, pipes_, shared.metrics,
                       [this](const ftp::Address& client, int change) { blind_changed(client, change); }),
      range_turn_(loop_, [this] { sync_some_ports(); }),
      pauses_(loop_),
      strays_(loop_),
      shut_ports_(loop_),
      destinations_(loop_),
      not_backend_(loop_),
      next_session_(first_session_id(index)) {
  loop_.on_turn(shared.metrics.worker_turns(index));
}

Worker::~Worker() = default;

void Worker::start() {
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::join() { thread_.join(); }

// Listeners, sessions.

void Worker::on(NewConfig message) {
  config_ = std::move(message.config);
  tls_ = std::move(message.tls);
  std::erase_if(listeners_, [&](const auto& open) {
    return std::ranges::none_of(config_->listeners,
                                [&](const config::Listener& kept) { return kept.address == open->settings.address; });
  });
  for (auto& open : listeners_) {
    for (const auto& kept : config_->listeners) {
      if (kept.address == open->settings.address) open->settings = kept;
    }
    prepare(*open);
  }
  for (auto& added : message.added) open_listener(std::move(added));
}

void Worker::open_listener(ListenerSocket added) {
  auto open = std::make_unique<OpenListener>(std::move(added.listener), std::move(added.socket), net::Poll{});
  open->poll = net::Poll(loop_, open->socket.get(), [this, here = open.get()](int events) {
    // Without memory to watch it, it would be deaf for ever.
    events < 0 ? pause_accepting(kUnwatched) : accept_sessions(*here);
  });
  if (!accepting_paused_) open->poll.want(UV_READABLE);
  prepare(*open);
  listeners_.push_back(std::move(open));
}

void Worker::prepare(const OpenListener& listener) const {
  if (listener.settings.mode != config::ListenerMode::Transparent) return;
  const auto made = net::make_transparent(listener.socket);
  if (made || index_ != 0) return;
  observe::log(config::LogLevel::Info, "transparent for nftables' redirect only, not for tproxy",
               {{"listener", listener.settings.name}, {"error", made.error().text()}});
}

void Worker::accept_sessions(OpenListener& listener) {
  for (int count = 0; count < kAcceptsPerTurn; ++count) {
    auto accepted = net::accept_tcp(listener.socket);
    if (accepted) {
      admit(std::move(*accepted), listener.settings);
      continue;
    }
    if (accepted.error().is_ours()) pause_accepting(kNoDescriptors);
    // ECONNABORTED and its like: that client is gone, the next one is not.
    if (accepted.error().code == EAGAIN || accepted.error().is_ours()) return;
  }
}

void Worker::admit(net::Accepted client, const config::Listener& listener) {
  SessionPlace place(shared_.sessions);
  if (place.others() >= config_->limits.sessions) {
    shared_.metrics.limit_hit(observe::Metrics::Limit::Sessions);
    shared_.refusals.add(client.peer.address, "session", "limits.sessions is reached");
    return say(client, listener, "421 Too many sessions, try again later.\r\n");
  }
  if (!may_go_on(client, listener)) return;
  if (!ftp::holds(listener.proxy_from, client.peer.address)) {
    return start_session(std::move(client), listener, config_, tls_, std::move(place));
  }
  // A reload meanwhile may take the listener away; the session is still one of the configuration that it came to.
  proxied_sessions_.take(
      std::move(client), config_->timeouts.proxy_header,
      [this, listener, config = config_, tls = tls_, place = std::move(place)](net::Accepted told) mutable {
        start_session(std::move(told), listener, config, tls, std::move(place));
      });
}

/// The client of a transparent listener has dialled another server: is it one that it may reach?
bool Worker::may_go_on(net::Accepted& client, const config::Listener& listener) {
  if (listener.mode != config::ListenerMode::Transparent) return true;
  const auto destination = destination_of(client.socket, listener, *config_);
  if (destination) {
    client.told = *destination;
    return true;
  }
  const auto& [to, why] = destination.error();
  shared_.metrics.limit_hit(observe::Metrics::Limit::Destination);
  shared_.refusals.add(client.peer.address, "destination " + to.text(), std::string(why));
  if (const std::size_t count = destinations_.count(); count != 0) {
    observe::log(config::LogLevel::Warn, "destination refused",
                 {{"client", client.peer.text()},
                  {"destination", to.text()},
                  {"why", std::string(why)},
                  {"count", std::to_string(count), observe::Field::Kind::Number}});
  }
  say(client, listener, "421 This server can't be reached from here.\r\n");
  return false;
}

void Worker::start_session(net::Accepted client, const config::Listener& listener,
                           const std::shared_ptr<const config::Config>& config,
                           const std::shared_ptr<const TlsContexts>& tls, SessionPlace place) {
  auto client_place = ClientPlace::take(shared_, client.peer.address, listener.policy, config->limits);
  if (!client_place) return turn_away(client, listener, client_place.error());
  const std::uint64_t id = next_session_++;
  auto session =
      std::make_unique<SessionDriver>(*this, id, std::move(client), std::move(*client_place), listener, config, tls);
  auto& here = *session;
  sessions_.emplace(id, std::move(session));
  place.release();  // `bury` gives it back
  here.begin();
}

void Worker::turn_away(const net::Accepted& client, const config::Listener& listener, const TurnedAway& why) {
  shared_.metrics.limit_hit(why.limit);
  shared_.refusals.add(client.peer.address, "session", std::string(why.why));
  say(client, listener, why.told);
}

void Worker::pause_accepting(std::string_view why) {
  if (accepting_paused_) return;
  accepting_paused_ = true;
  shared_.metrics.limit_hit(observe::Metrics::Limit::Descriptors);
  // It may come again with every pause.
  if (const std::size_t count = pauses_.count(); count != 0) {
    observe::log(config::LogLevel::Error, why, {{"count", std::to_string(count), observe::Field::Kind::Number}});
  }
  for (auto& listener : listeners_) listener->poll.want(0);
  for (auto& [index, port] : ports_) {
    for (auto& poll : port.polls) poll.want(0);
  }
  accept_pause_.start(kAcceptPause);
}

void Worker::resume_accepting() {
  accepting_paused_ = false;
  for (auto& listener : listeners_) listener->poll.want(UV_READABLE);
  for (auto& [index, port] : ports_) await_data(port);
}

void Worker::retire(std::uint64_t session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  dead_sessions_.push_back(std::move(found->second));
  sessions_.erase(found);
  next_turn_.start(net::kNextTurn);
}

void Worker::retire(std::unique_ptr<net::Relay> relay) {
  dead_relays_.push_back(std::move(relay));
  next_turn_.start(net::kNextTurn);
}

void Worker::retire(std::unique_ptr<net::Stream> stream) {
  dead_streams_.push_back(std::move(stream));
  next_turn_.start(net::kNextTurn);
}

void Worker::bury() {
  dead_relays_.clear();
  dead_streams_.clear();
  shared_.sessions.fetch_sub(dead_sessions_.size());
  std::exchange(dead_sessions_, {}).clear();
  dead_relays_.clear();
  end_if_empty();
}

void Worker::on(const DrainSessions&) {
  draining_ = true;
  listeners_.clear();
  proxied_sessions_.clear();
  std::vector<SessionDriver*> all;
  all.reserve(sessions_.size());
  for (auto& [id, session] : sessions_) all.push_back(session.get());
  for (auto* session : all) session->drain();
  end_if_empty();
}

void Worker::end_if_empty() {
  if (draining_ && sessions_.empty() && dead_sessions_.empty() && blind_transfers_.empty()) on_empty_();
}

void Worker::on(const StopNow& message) {
  draining_ = false;
  stopping_ = true;
  listeners_.clear();
  proxied_sessions_.clear();
  proxied_data_.clear();
  blind_transfers_.clear();
  std::vector<SessionDriver*> all;
  all.reserve(sessions_.size());
  for (auto& [id, session] : sessions_) all.push_back(session.get());
  for (auto* session : all) session->kill();
  bury();
  ports_.clear();
  accept_pause_.close();
  next_turn_.close();
  range_turn_.close();
  range_syncs_.clear();
  mailbox_.close();
  message.done->count_down();
}

}  // namespace pasvgate::server
