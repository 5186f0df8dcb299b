#include "server/session_driver.h"

#include <algorithm>
#include <utility>

#include "gateway/advertise.h"
#include "server/worker.h"

// The way in: sockets, timers and the port pool become events. The way out, the actions, is in session_actions.cpp.
namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

// A peer that doesn't read stops the reading from the other one at this many queued bytes.
constexpr std::size_t kQueueLimit = std::size_t{64} * 1024;

gateway::SessionOptions options(const config::Config& config, const config::Backend& backend,
                                const ftp::Address& client, bool lacks_epsv) {
  return {.limits = config.limits,
          .timeouts = config.timeouts,
          .data_address = backend.data_address,
          .trusted_data = backend.trusted_data,
          .allow_low_data_ports = backend.allow_low_data_ports,
          .client_family = client.family(),
          .backend_lacks_epsv = lacks_epsv};
}

ftp::Address dialled_address(const net::Fd& socket) {
  const auto local = net::local_endpoint(socket);
  return local ? local->address : ftp::Address{};
}

}  // namespace

class SessionDriver::Turn {
 public:
  explicit Turn(SessionDriver& driver) : driver_(driver) { ++driver_.depth_; }
  ~Turn() {
    if (driver_.depth_ == 1) driver_.finish_turn();
    --driver_.depth_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  SessionDriver& driver_;
};

SessionDriver::SessionDriver(Worker& worker, std::uint64_t id, net::Accepted client, const config::Listener& listener,
                             std::shared_ptr<const config::Config> config)
    : worker_(worker),
      id_(id),
      config_(std::move(config)),
      listener_(listener),
      backend_settings_(config_->backends.at(listener.backend)),
      client_address_(client.peer),
      dialled_(dialled_address(client.socket)),
      started_(uv_hrtime()),
      session_(
          options(*config_, backend_settings_, client.peer.address,
                  worker.shared().without_epsv.with([&](const auto& set) { return set.contains(listener.backend); }))),
      log_(id, listener.name, client.peer),
      client_{.stream = nullptr, .framer = ftp::LineFramer(config_->limits.line_bytes, ftp::Telnet::Decode)},
      backend_{.stream = nullptr, .framer = ftp::LineFramer(config_->limits.line_bytes, ftp::Telnet::Verbatim)},
      timer_(worker.loop().uv(),
             [this] {
               const Turn turn(*this);
               handle(gateway::TimerFired{});
             }),
      lease_timer_(worker.loop().uv(), [this] { lease_timed_out(); }) {
  net::tune_control(client.socket);
  client_.stream = std::make_unique<net::Stream>(worker.loop(), std::move(client.socket), worker.read_buffer(), *this);
}

SessionDriver::~SessionDriver() {
  release_data(true);
  worker_.shared().metrics.session_ended(ended_.value_or(gateway::EndReason::Drained),
                                         std::chrono::nanoseconds(uv_hrtime() - started_));
}

void SessionDriver::begin() {
  worker_.shared().metrics.session_started();
  log_.started();
  const Turn turn(*this);
  session_.begin(actions_);
  for (auto& action : std::exchange(actions_, {})) {
    std::visit([this](const auto& one) { execute(one); }, action);
  }
}

void SessionDriver::drain() {
  const Turn turn(*this);
  handle(gateway::Drain{});
}

void SessionDriver::kill() {
  const Turn turn(*this);
  if (!ended_) execute(gateway::End{gateway::EndReason::Drained});
  if (!closing_) close_session();
  close_client();
}

/// Gives the event to the session and does what it orders; events that the doing brings come after it.
void SessionDriver::handle(const gateway::Event& event) {
  if (ended_) return;
  if (handling_) {
    later_.push_back(event);
    return;
  }
  handling_ = true;
  const auto run = [this](const gateway::Event& one) {
    session_.handle(one, actions_);
    for (const auto& action : actions_) std::visit([this](const auto& order) { execute(order); }, action);
    actions_.clear();
  };
  run(event);
  while (!later_.empty()) {
    for (const auto& one : std::exchange(later_, {})) {
      if (!ended_) run(one);
    }
  }
  handling_ = false;
}

void SessionDriver::on_bytes(net::Stream& stream, std::string_view bytes) {
  const Turn turn(*this);
  take_lines(&stream == client_.stream.get() ? client_ : backend_, bytes);
}

void SessionDriver::take_lines(Leg& leg, std::string_view bytes) {
  while (!leg.is_paused() && !ended_) {
    const auto line = leg.framer.next(bytes);
    if (!line) break;
    if (&leg == &client_) {
      log_.dialogue(">",
                    line->fault == ftp::LineFault::None ? ftp::Command::parse(line->text).masked() : "(unusable line)");
      handle(gateway::ClientLine{line->text, line->fault, line->interrupt});
    } else {
      log_.dialogue("<", line->text);
      handle(gateway::BackendLine{line->text, line->fault});
    }
    // Between two lines, so that a peer that doesn't read stops a reply of megabytes.
    flow_control();
  }
  if (!bytes.empty() && !ended_) leg.unread.append(bytes);
}

void SessionDriver::take_unread() {
  unread_waits_ = false;
  for (Leg* leg : {&client_, &backend_}) {
    if (leg->is_paused() || ended_) continue;
    if (!leg->unread.empty()) take_lines(*leg, std::exchange(leg->unread, {}));
    if (leg->closed_unread && leg->unread.empty() && !leg->is_paused()) {
      leg->closed_unread = false;
      if (leg == &client_) handle(gateway::ClientClosed{gateway::Closing::Orderly});
      if (leg == &backend_) handle(gateway::BackendClosed{});
    }
  }
}

void SessionDriver::on_closed(net::Stream& stream, net::Stream::Closed how) {
  if (ended_) {
    if (&stream == client_.stream.get()) close_client();
    return;
  }
  const Turn turn(*this);
  const bool orderly = how == net::Stream::Closed::Orderly;
  Leg& leg = &stream == client_.stream.get() ? client_ : backend_;
  // What the backend said before its end is still to be told; a client that reset is past hearing.
  if ((orderly || &leg == &backend_) && !leg.unread.empty()) {
    leg.closed_unread = true;
    return;
  }
  if (&leg == &backend_) return handle(gateway::BackendClosed{});
  handle(gateway::ClientClosed{orderly ? gateway::Closing::Orderly : gateway::Closing::Reset});
}

void SessionDriver::on_written(net::Stream& stream) {
  const Turn turn(*this);
  if (ended_ && &stream == client_.stream.get()) return;  // finish_turn goes on with closing
  flow_control();
}

void SessionDriver::flow_control() {
  const auto adjust = [this](Leg& from, const Leg& to) {
    const std::size_t queued = to.stream ? to.stream->queued() : 0;
    // With a way back to half, or the two would be switched at every line.
    if (!from.flow_paused && queued > kQueueLimit && to.stream && to.stream->is_open()) {
      to.stream->flush();
      from.flow_paused = to.stream->queued() > kQueueLimit;
      if (from.flow_paused && from.stream) from.stream->read(false);
    } else if (from.flow_paused && queued <= kQueueLimit / 2) {
      from.flow_paused = false;
      unread_waits_ = true;
      if (from.stream && !from.session_paused) from.stream->read(true);
    }
  };
  adjust(backend_, client_);
  adjust(client_, backend_);
}

/// The end of the outermost turn: what was queued goes out, what was kept back comes in, and an ended session closes.
void SessionDriver::finish_turn() {
  do {
    if (backend_.stream && !closing_) backend_.stream->flush();
    if (client_.stream) client_.stream->flush();
    flow_control();
    if (unread_waits_) take_unread();
  } while (unread_waits_ && !ended_);
  // A last flush for what take_unread brought.
  if (backend_.stream && !closing_) backend_.stream->flush();
  if (client_.stream) client_.stream->flush();
  if (ended_) close_session();
}

void SessionDriver::on_moved(ftp::Direction direction, std::uint64_t bytes) {
  worker_.shared().metrics.transfer_bytes(direction, bytes);
}

void SessionDriver::on_delivered(ftp::Direction direction, std::uint64_t bytes) {
  const Turn turn(*this);
  handle(gateway::DataEnded{direction, bytes});
}

void SessionDriver::on_broken(net::Relay::Side side, bool stalled) {
  const Turn turn(*this);
  const auto leg = side == net::Relay::Side::Client ? gateway::Leg::Client : gateway::Leg::Backend;
  worker_.shared().metrics.data_connection(leg, observe::Metrics::DataResult::Failed);
  handle(gateway::DataBroken{leg, stalled, relay_->bytes(ftp::Direction::Download),
                             relay_->bytes(ftp::Direction::Upload)});
}

void SessionDriver::backend_connected(net::Result<net::Fd> socket) {
  const Turn turn(*this);
  if (!socket) {
    worker_.shared().metrics.backend_up(listener_.backend, false);
    observe::log(config::LogLevel::Warn, "backend unreachable",
                 {{"session", log_.id()}, {"backend", listener_.backend}, {"error", socket.error().text()}});
    return handle(gateway::BackendUnreachable{});
  }
  const auto peer = net::peer_endpoint(*socket);
  if (!peer) return handle(gateway::BackendUnreachable{});  // reset in the moment it stood
  worker_.shared().metrics.backend_up(listener_.backend, true);
  worker_.shared().metrics.backend_sessions(listener_.backend, 1);
  worker_.shared().metrics.backend_connected(std::chrono::nanoseconds(uv_hrtime() - started_));
  backend_counted_ = true;
  backend_address_ = peer->address;
  net::tune_control(*socket);
  backend_.stream = std::make_unique<net::Stream>(worker_.loop(), std::move(*socket), worker_.read_buffer(), *this);
  handle(gateway::BackendConnected{backend_address_.family()});
}

void SessionDriver::lease_ready(const gateway::Lease& lease, bool opened) {
  const Turn turn(*this);
  if (!wants_lease_ || ended_) {
    if (opened) worker_.drop_lease(lease);
    return;
  }
  wants_lease_ = false;
  lease_timer_.stop();
  if (!opened) return handle(gateway::LeaseRefused{gateway::LeaseFailure::Exhausted});
  lease_ = lease;
  lease_timer_.start(config_->passive_ports.lease_timeout);
  handle(gateway::LeaseGranted{lease.advertised, advertised()});
}

std::optional<ftp::Address> SessionDriver::advertised() const {
  return gateway::advertised_address(config_->advertise, client_address_.address, dialled_,
                                     [this](const std::string& name) {
                                       return worker_.shared().advertised_names.with([&](const auto& names) {
                                         const auto found = names.find(name);
                                         return found == names.end() ? std::nullopt : std::optional(found->second);
                                       });
                                     });
}

/// One timer for both waits: for a port that is free, and for the client on the port.
void SessionDriver::lease_timed_out() {
  const Turn turn(*this);
  if (wants_lease_) {
    wants_lease_ = false;
    worker_.stop_waiting(id_);
    worker_.shared().metrics.lease(observe::Metrics::LeaseEvent::Exhausted);
    return handle(gateway::LeaseRefused{gateway::LeaseFailure::Exhausted});
  }
  if (!lease_) return;
  const auto lease = *lease_;
  // Claimed in this moment by another worker: then the connection is on its way to us.
  if (!worker_.drop_lease(lease, Worker::LeaseEnd::Expired)) return;
  lease_.reset();
  worker_.shared().metrics.data_connection(gateway::Leg::Client, observe::Metrics::DataResult::Timeout);
  handle(gateway::LeaseExpired{});
}

void SessionDriver::data_arrived(std::uint64_t lease_id, net::Fd socket) {
  const Turn turn(*this);
  if (!lease_ || lease_->id != lease_id || ended_) {
    socket.reset();
    worker_.shared().metrics.data_rejected(observe::Metrics::Rejected::SessionGone);
    return;
  }
  lease_.reset();
  lease_timer_.stop();
  client_data_ = std::move(socket);
  worker_.shared().metrics.data_connection(gateway::Leg::Client, observe::Metrics::DataResult::Ok);
  handle(gateway::DataAccepted{});
}

void SessionDriver::backend_data_connected(net::Result<net::Fd> socket) {
  const Turn turn(*this);
  auto& metrics = worker_.shared().metrics;
  if (!socket) {
    using enum observe::Metrics::DataResult;
    metrics.data_connection(gateway::Leg::Backend, socket.error().code == ETIMEDOUT ? Timeout : Refused);
    observe::log(config::LogLevel::Warn, "backend data port unreachable",
                 {{"session", log_.id()}, {"error", socket.error().text()}});
    client_data_.reset();
    return handle(gateway::DataUnreachable{});
  }
  metrics.data_connection(gateway::Leg::Backend, observe::Metrics::DataResult::Ok);
  relay_started_ = uv_hrtime();
  relay_ = std::make_unique<net::Relay>(worker_.loop(), worker_.pipes(), std::move(client_data_), std::move(*socket),
                                        config_->timeouts.data_stall, *this);
}

/// The session has ended: everything but the client's control connection goes at once; that one says its last words
/// first.
void SessionDriver::close_session() {
  if (!closing_) {
    closing_ = true;
    timer_.stop();
    release_data(true);
    connecting_.reset();
    if (backend_.stream) backend_.stream->close();
    if (std::exchange(backend_counted_, false)) {
      worker_.shared().metrics.backend_sessions(listener_.backend, -1);
    }
    // Bounds both the last words and the wait for the client's end.
    closing_timer_ = net::Timer(worker_.loop().uv(), [this] { close_client(); });
    closing_timer_.start(1s);
  }
  if (!client_.stream->is_open()) return close_client();
  if (client_.stream->queued() == 0) {
    if (client_.stream->is_at_end()) return close_client();
    // What the client still sends is read and forgotten: a close with unread bytes would be a reset that eats the last
    // reply.
    client_.stream->shutdown();
    client_.stream->read(true);
  }
}

void SessionDriver::close_client() {
  closing_timer_.close();
  client_.stream->close();
  worker_.retire(id_);
}

}  // namespace pasvgate::server
