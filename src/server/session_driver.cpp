#include "server/session_driver.h"

#include <algorithm>
#include <utility>

#include "server/proxy_protocol.h"
#include "server/worker.h"

// The way in: sockets and timers become events. The way out, the actions, is in session_actions.cpp; the data channel,
// both ways, in session_data.cpp.
namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

// A peer that doesn't read stops the reading from the other one at this many queued bytes.
constexpr std::size_t kQueueLimit = std::size_t{64} * 1024;

gateway::SessionOptions options(const config::Config& config, const config::Listener& listener,
                                const ftp::Address& client) {
  return {.line_bytes = config.limits.line_bytes,
          .pipelined_commands = config.limits.pipelined_commands,
          .timeouts = &config.timeouts,
          .counts_users = config.limits.sessions_per_user != 0,
          .client_tls = listener.tls,
          .require_private_data = listener.require_private_data,
          .same_ports = config.passive_ports.mapping == config::PortMapping::Same,
          .rules = &listener,
          .client = client};
}

/// A worker's listener is one of the configuration's, by its name.
const config::Listener& in_config(const config::Config& config, const config::Listener& listener) {
  return *std::ranges::find(config.listeners, listener.name, &config::Listener::name);
}

ftp::Address local_address(const net::Fd& socket) {
  const auto local = net::local_endpoint(socket);
  return local ? local->address : ftp::Address{};
}

}  // namespace

SessionDriver::SessionDriver(Worker& worker, std::uint64_t id, net::Accepted client, ClientPlace place,
                             const config::Listener& listener, std::shared_ptr<const config::Config> config,
                             std::shared_ptr<const TlsContexts> tls)
    : worker_(worker),
      id_(id),
      config_(std::move(config)),
      tls_(std::move(tls)),
      listener_(in_config(*config_, listener)),
      client_address_(client.peer),
      dialled_(client.dialled()),
      outside_address_(client.told ? local_address(client.socket) : dialled_.address),
      started_(uv_hrtime()),
      place_(std::move(place)),
      session_(options(*config_, listener_, client.peer.address)),
      log_(id, listener_.name, client.peer),
      client_{.stream = nullptr, .framer = ftp::LineFramer(config_->limits.line_bytes, ftp::Telnet::Decode)},
      backend_{.stream = nullptr, .framer = ftp::LineFramer(config_->limits.line_bytes, ftp::Telnet::Verbatim)},
      timer_(worker.loop(), [this] {
        const Turn turn(*this);
        handle(gateway::TimerFired{});
      }) {
  client_.stream = std::make_unique<net::Stream>(worker.loop(), std::move(client.socket), worker.read_buffer(), *this);
}

SessionDriver::~SessionDriver() {
  release_data(true);
  drop_range();
  worker_.shared().metrics.session_ended(ended_.value_or(gateway::EndReason::Drained),
                                         std::chrono::nanoseconds(uv_hrtime() - started_));
}

void SessionDriver::begin() {
  worker_.shared().metrics.session_started();
  log_.started();
  const Turn turn(*this);
  std::vector<gateway::Action> actions;
  session_.begin(actions);
  for (auto& action : actions) {
    std::visit([this](const auto& one) { execute(one); }, action);
  }
}

observe::SessionStatus SessionDriver::status() const {
  using Seconds = std::chrono::duration<double>;
  const auto now = uv_hrtime();
  const auto tls = [](const Leg& leg) {
    return leg.stream && leg.stream->tls() != nullptr ? std::string(leg.stream->tls()->version()) : std::string();
  };
  observe::SessionStatus status{.id = log_.id(),
                                .client = client_address_.text(),
                                .listener = listener_.name,
                                .user = session_.user(),
                                .backend = std::string(backend_name_),
                                .server = server_ ? server_->at().text() : "",
                                .state = session_.activity(),
                                .age = Seconds(std::chrono::nanoseconds(now - started_)),
                                .client_tls = tls(client_),
                                .backend_tls = tls(backend_),
                                .transfer = {}};
  if (const auto* transfer = session_.transfer(); transfer != nullptr && relay_) {
    const auto direction = transfer->direction();
    status.transfer = {.direction = direction,
                       .command = std::string(ftp::verb_name(transfer->verb)),
                       .path = transfer->argument,
                       .bytes = relay_->bytes(direction),
                       .age = Seconds(std::chrono::nanoseconds(now - relay_started_))};
  }
  return status;
}

void SessionDriver::drain() {
  const Turn turn(*this);
  if (blind_) blind_moved();  // what another worker has begun may not have come here yet
  handle(gateway::Drain{});
}

bool SessionDriver::end(gateway::EndReason reason) {
  if (ended_) return false;
  const Turn turn(*this);
  handle(gateway::Stop{reason});
  return true;
}

void SessionDriver::kill() {
  end(gateway::EndReason::Drained);
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
  // Lent, as an idle session keeps none. Whoever comes in between has it made anew.
  auto actions = worker_.lend_actions();
  const auto run = [&](const gateway::Event& one) {
    session_.handle(one, actions);
    for (const auto& action : actions) std::visit([this](const auto& order) { execute(order); }, action);
    actions.clear();
  };
  run(event);
  while (!later_.empty()) {
    for (const auto& one : std::exchange(later_, {})) {
      if (!ended_) run(one);
    }
  }
  handling_ = false;
  worker_.give_back(std::move(actions));
}

void SessionDriver::on_bytes(net::Stream& stream, std::string_view bytes) {
  const Turn turn(*this);
  if (blind_ && !ended_) return pass_on(stream, bytes);
  take_lines(&stream == client_.stream.get() ? client_ : backend_, bytes);
}

void SessionDriver::take_lines(Leg& leg, std::string_view bytes) {
  // A line may bring another backend; then what is left is nobody's.
  const auto* const stream = leg.stream.get();
  while (!leg.is_paused() && !ended_) {
    const auto line = leg.framer.next(bytes);
    if (!line) break;
    if (&leg == &client_) {
      log_.dialogue(observe::Speaker::Client,
                    line->fault == ftp::LineFault::None ? ftp::Command::parse(line->text).masked() : "(unusable line)");
      handle(gateway::ClientLine{line->text, line->fault, line->interrupt});
      pace_commands();
    } else {
      log_.dialogue(observe::Speaker::Backend, line->text);
      handle(gateway::BackendLine{line->text, line->fault});
    }
    // Between two lines, so that a peer that doesn't read stops a reply of megabytes.
    flow_control();
    if (leg.stream.get() != stream) return;
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
  Leg& leg = &stream == client_.stream.get() ? client_ : backend_;
  if (leg.starts_tls) {
    // A client that goes without a byte of a handshake has begun none: a probe.
    const bool has_begun = stream.tls() != nullptr && stream.tls()->has_heard();
    if (&leg == &client_ && !has_begun) return handle(gateway::ClientClosed{gateway::Closing::Orderly});
    const auto& error = stream.tls_error();
    return tls_failed(&leg == &client_ ? gateway::Leg::Client : gateway::Leg::Backend,
                      error.empty() ? "closed by the peer" : std::string_view(error));
  }
  const bool orderly = how == net::Stream::Closed::Orderly;
  if (!orderly && !stream.tls_error().empty()) {
    observe::log(config::LogLevel::Debug, "encrypted connection broken",
                 {{"session", log_.id()},
                  {"leg", std::string(leg_name(&leg == &client_ ? gateway::Leg::Client : gateway::Leg::Backend))},
                  {"error", std::string(stream.tls_error())}});
  }
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

/// Who doesn't read isn't read from, nor is the other side for it: the client's own queue holds the backend's replies
/// and the gateway's.
void SessionDriver::flow_control() {
  const auto queued = [](const Leg& leg) { return leg.stream && leg.stream->is_open() ? leg.stream->queued() : 0; };
  for (Leg* leg : {&client_, &backend_}) {
    if (queued(*leg) > kQueueLimit) leg->stream->flush();
  }
  const auto adjust = [&](Leg& from, std::size_t waits) {
    // With a way back to half, or the two would be switched at every line.
    if (!from.flow_paused && waits > kQueueLimit) {
      from.flow_paused = true;
      if (from.stream) from.stream->read(false);
    } else if (from.flow_paused && waits <= kQueueLimit / 2) {
      from.flow_paused = false;
      unread_waits_ = true;
      if (from.stream && from.may_read()) from.stream->read(true);
    }
  };
  adjust(backend_, queued(client_));
  adjust(client_, std::max(queued(client_), queued(backend_)));
}

/// The end of the outermost turn: what was queued goes out, what was kept back comes in, and an ended session closes.
void SessionDriver::finish_turn() {
  // A peer that is near may finish its handshake, or fail, at once: what that brings goes out too.
  do {
    flush_turn();
  } while (begin_ordered_tls());
  if (ends_backend_ && !ended_ && backend_.stream->queued() == 0) {
    ends_backend_ = false;
    backend_.stream->shutdown();
  }
  if (ended_) close_session();
}

void SessionDriver::flush_turn() {
  do {
    if (backend_.stream && !closing_) backend_.stream->flush();
    if (client_.stream) client_.stream->flush();
    flow_control();
    if (unread_waits_) take_unread();
  } while (unread_waits_ && !ended_);
  // A last flush for what take_unread brought.
  if (backend_.stream && !closing_) backend_.stream->flush();
  if (client_.stream) client_.stream->flush();
}

/// True when there was an order.
bool SessionDriver::begin_ordered_tls() {
  bool began = false;
  for (const auto leg : {gateway::Leg::Client, gateway::Leg::Backend}) {
    if (ended_ || !control_leg(leg).starts_tls || control_leg(leg).binding) continue;
    began = true;
    begin_tls(leg);
  }
  return began;
}

void SessionDriver::backend_connected(std::expected<BackendConnection::Connected, std::string> connected) {
  const Turn turn(*this);
  connecting_.reset();
  if (!connected) {
    observe::log(config::LogLevel::Warn, "backend unreachable",
                 {{"session", log_.id()}, {"backend", std::string(backend_name_)}, {"error", connected.error()}});
    return handle(gateway::BackendUnreachable{});
  }
  net::Fd& socket = connected->socket;
  const auto peer = net::peer_endpoint(socket);
  const auto local = net::local_endpoint(socket);
  if (!peer || !local) return handle(gateway::BackendUnreachable{});  // reset in the moment it stood
  worker_.shared().metrics.backend_connected(std::chrono::nanoseconds(uv_hrtime() - connect_started_));
  backend_address_ = peer->address;
  inside_address_ = local->address;
  server_ = std::move(connected->server);
  net::tune_control(socket);
  backend_.stream = std::make_unique<net::Stream>(worker_.loop(), std::move(socket), worker_.read_buffer(), *this);
  backend_.stream->queue(proxy_header(backend_settings_->proxy_protocol, {client_address_, dialled_}));
  handle(gateway::BackendConnected{backend_address_.family(), backend_traits()});
}

/// The session has ended: everything but the client's control connection goes at once; that one says its last words
/// first.
void SessionDriver::close_session() {
  if (!closing_) {
    closing_ = true;
    timer_.stop();
    pace_timer_.close();
    release_data(true);
    lookup_.reset();
    drop_range();
    connecting_.reset();
    if (backend_.stream) {
      if (backend_.stream->tls() != nullptr && backend_.stream->is_open()) backend_.stream->shutdown();
      backend_.stream->close();
    }
    server_.reset();
    // Bounds both the last words and the wait for the client's end.
    closing_timer_ = net::Timer(worker_.loop(), [this] { close_client(); });
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
