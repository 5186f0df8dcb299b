#include <cerrno>
#include <utility>

#include "gateway/advertise.h"
#include "gateway/plan.h"
#include "net/acceptor.h"
#include "net/splice_relay.h"
#include "net/tls_relay.h"
#include "server/proxy_protocol.h"
#include "server/session_driver.h"
#include "server/worker.h"

// The session's data channel: leases, both legs, the relay. Events and actions.
namespace pasvgate::server {
namespace {

// Somebody else on this host may listen on a port of the pool; that it is more than some is unlikely.
constexpr int kOtherPorts = 4;

gateway::Leg leg_of(net::Relay::Side side) {
  return side == net::Relay::Side::Client ? gateway::Leg::Client : gateway::Leg::Backend;
}

}  // namespace

void SessionDriver::execute(const gateway::TakeLease& action) {
  other_ports_ = action.port ? 0 : kOtherPorts;
  ask_for_lease(action.port);
}

void SessionDriver::ask_for_lease(std::optional<std::uint16_t> port) {
  wants_lease_ = true;
  worker_.take_lease({id_, worker_.index()}, client_address_.address, port,
                     [this](std::optional<gateway::LeaseFailure> refused) {
                       if (!refused) return start_lease_timer(config_->passive_ports.lease_wait);
                       wants_lease_ = false;
                       handle(gateway::LeaseRefused{*refused});
                     });
}

void SessionDriver::start_lease_timer(std::chrono::milliseconds delay) {
  if (!lease_timer_) lease_timer_ = net::Timer(worker_.loop(), [this] { lease_timed_out(); });
  lease_timer_.start(delay);
}

void SessionDriver::stop_lease_timer() {
  if (lease_timer_) lease_timer_.stop();
}

/// The lease, or the request for one.
void SessionDriver::drop_lease() {
  stop_lease_timer();
  if (std::exchange(wants_lease_, false)) worker_.stop_waiting(id_);
  if (const auto lease = std::exchange(lease_, std::nullopt)) worker_.drop_lease(*lease);
}

void SessionDriver::execute(const gateway::ListenForBackend&) {
  auto listening = net::listen_in(inside_address_, backend_settings_->active_ports, worker_.random());
  const auto at = listening ? net::local_endpoint(*listening) : std::nullopt;
  if (!at) {
    if (!listening) {
      observe::log(config::LogLevel::Error, "no port for an active backend",
                   {{"session", log_.id()}, {"error", listening.error().text()}});
    }
    return handle(gateway::BackendPortRefused{});
  }
  data_leg(gateway::Leg::Backend).mode = gateway::Mode::Active;
  acceptor_ = std::make_unique<net::Acceptor>(
      worker_.loop(), std::move(*listening), [this](const ftp::Endpoint& peer) { return is_backend(peer); },
      [this](net::Fd socket) {
        net::tune_data(socket);
        leg_connected(gateway::Leg::Backend, std::move(socket));
      });
  start_lease_timer(config_->passive_ports.lease_timeout);
  handle(gateway::BackendPortOpened{*at});
}

bool SessionDriver::is_backend(const ftp::Endpoint& peer) {
  if (peer.address == backend_address_) return true;
  if (gateway::is_trusted(peer.address, backend_settings_->data_address, backend_settings_->trusted_data)) return true;
  worker_.shared().metrics.data_rejected(observe::Metrics::Rejected::NotBackend);
  worker_.shared().refusals.add(peer.address, "data connection", "it isn't the backend's");
  if (const std::size_t count = worker_.not_backend().count(); count != 0) {
    observe::log(config::LogLevel::Warn, "data connection that isn't the backend's",
                 {{"session", log_.id()},
                  {"from", peer.text()},
                  {"count", std::to_string(count), observe::Field::Kind::Number}});
  }
  return false;
}

void SessionDriver::execute(const gateway::OpenBackendData& action) {
  connect_leg(gateway::Leg::Backend, {action.address.value_or(backend_address_), action.port}, {});
}

void SessionDriver::execute(const gateway::OpenClientData& action) {
  connect_leg(gateway::Leg::Client, action.to, active_source(action.to.address));
}

/// From where the client expects it: the address that it has its control connection with, unless a proxy stands between
/// or that address is another server's.
std::optional<ftp::Endpoint> SessionDriver::active_source(const ftp::Address& to) const {
  const std::uint16_t port = listener_.active_source_port;
  if (to.family() == outside_address_.family() && !is_transparent()) return ftp::Endpoint{outside_address_, port};
  return ftp::Endpoint{to.family() == ftp::Family::V4 ? ftp::Address{} : ftp::Address::v6({}), port};
}

void SessionDriver::connect_leg(gateway::Leg leg, const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from) {
  data_leg(leg).mode = leg == gateway::Leg::Client ? gateway::Mode::Active : gateway::Mode::Passive;
  data_leg(leg).connector = std::make_unique<net::Connector>(
      worker_.loop(), to, config_->timeouts.data_connect,
      [this, leg](net::Result<net::Fd> socket) {
        if (!socket) return leg_unreachable(leg, socket.error());
        if (leg == gateway::Leg::Backend && !tell_client(*socket)) {
          return leg_unreachable(leg, {EPIPE, "PROXY header for the backend"});
        }
        net::tune_data(*socket);
        leg_connected(leg, std::move(*socket));
      },
      from);
}

void SessionDriver::leg_unreachable(gateway::Leg leg, const net::Error& error) {
  const Turn turn(*this);
  using enum observe::Metrics::DataResult;
  worker_.shared().metrics.data_connection(leg, data_leg(leg).mode, error.code == ETIMEDOUT ? Timeout : Refused);
  observe::log(config::LogLevel::Warn, "data port unreachable",
               {{"session", log_.id()}, {"leg", std::string(leg_name(leg))}, {"error", error.text()}});
  handle(gateway::DataUnreachable{leg});
}

/// The PROXY header of a data connection to the backend, where it wants one. A new connection takes it whole, or is
/// broken.
bool SessionDriver::tell_client(const net::Fd& backend) {
  if (!backend_settings_->proxy_protocol_data) return true;
  std::string header = std::exchange(proxy_header_, {});
  if (header.empty()) header = proxy_header(backend_settings_->proxy_protocol, {client_address_, dialled_});
  return ::send(backend.get(), header.data(), header.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(header.size());
}

void SessionDriver::leg_connected(gateway::Leg leg, net::Fd socket) {
  const Turn turn(*this);
  if (leg == gateway::Leg::Backend) acceptor_.reset();
  // The timer runs on for whoever is still awaited: the client on its port, or the backend on its own.
  if (!lease_ && !wants_lease_ && !acceptor_) stop_lease_timer();
  data_leg(leg).socket = std::move(socket);
  worker_.shared().metrics.data_connection(leg, data_leg(leg).mode, observe::Metrics::DataResult::Ok);
  handle(gateway::DataConnected{leg});
}

void SessionDriver::execute(const gateway::RelayData& action) {
  relay_started_ = uv_hrtime();
  relay_took_ = 0;
  relay_ = make_relay(action);
  if (config_->bandwidth.is_set()) {
    relay_->set_pace(worker_.shared().bandwidth.pace(config_->bandwidth, bandwidth_, listener_.name,
                                                     std::string(backend_name_), session_.user_key()));
  }
  ++worker_.shared().transfers;
}

std::unique_ptr<net::Relay> SessionDriver::make_relay(const gateway::RelayData& action) {
  net::Fd& client = data_leg(gateway::Leg::Client).socket;
  net::Fd& backend = data_leg(gateway::Leg::Backend).socket;
  const auto& timeouts = config_->timeouts;
  if (!action.client_tls && !action.backend_tls) {
    return std::make_unique<net::SpliceRelay>(worker_.loop(), worker_.pipes(), std::move(client), std::move(backend),
                                              timeouts.data_stall, *this);
  }
  net::TlsRelay::Secured for_client{.must_be_bound = listener_.requires_session_reuse(),
                                    .tolerates_truncation = config_->tls.tolerate_truncation};
  net::TlsRelay::Secured for_backend{.tolerates_truncation = config_->tls.tolerate_truncation};
  if (action.client_tls) for_client.tls = make_tls(gateway::Leg::Client, client, net::Tls::Channel::Data);
  if (action.backend_tls) for_backend.tls = make_tls(gateway::Leg::Backend, backend, net::Tls::Channel::Data);
  return std::make_unique<net::TlsRelay>(
      worker_.loop(), worker_.pipes(), std::move(client), std::move(for_client), std::move(backend),
      std::move(for_backend), net::TlsRelay::Times{.handshake = timeouts.tls_handshake, .stall = timeouts.data_stall},
      *this);
}

void SessionDriver::execute(const gateway::ExpectData& action) {
  if (!relay_) return;
  // Its bytes go at once, and the 1xx that announces them goes first.
  client_.stream->flush();
  relay_->expect(action.payload);
}

void SessionDriver::execute(const gateway::CloseData&) {
  if (relay_) relay_->say_ends();
  release_data(false);
}

void SessionDriver::execute(const gateway::ResetData&) { release_data(true); }

/// Whatever there is of the data channel goes: lease, ports, sockets, relay.
void SessionDriver::release_data(bool reset) {
  drop_lease();
  acceptor_.reset();
  proxy_header_.clear();
  if (data_legs_) {
    for (DataLeg& leg : *data_legs_) {
      leg.connector.reset();
      leg.socket.reset();
    }
    data_legs_.reset();
  }
  if (!relay_) return;
  reset ? relay_->reset() : relay_->stop();
  relay_took_ = uv_hrtime() - relay_started_;
  worker_.shared().metrics.transfer_duration(std::chrono::nanoseconds(relay_took_));
  --worker_.shared().transfers;
  // It may be the one that is calling us.
  worker_.retire(std::move(relay_));
}

void SessionDriver::execute(const gateway::HoldData&) {
  if (relay_) return relay_->hold_backend();
  net::Fd backend = std::move(data_leg(gateway::Leg::Backend).socket);
  release_data(true);
  data_leg(gateway::Leg::Backend).socket = std::move(backend);
}

void SessionDriver::lease_ready(const gateway::Lease& lease, bool opened) {
  const Turn turn(*this);
  if (!wants_lease_ || ended_) {
    if (opened) worker_.drop_lease(lease);
    return;
  }
  wants_lease_ = false;
  stop_lease_timer();
  if (!opened && other_ports_-- > 0) return ask_for_lease({});
  if (!opened) return handle(gateway::LeaseRefused{gateway::LeaseFailure::Exhausted});
  lease_ = lease;
  start_lease_timer(config_->passive_ports.lease_timeout);
  handle(gateway::LeaseGranted{lease.advertised, advertised()});
}

std::optional<ftp::Address> SessionDriver::advertised() const {
  return gateway::advertised_address(config_->advertise, client_address_.address, dialled_.address,
                                     [this](const std::string& name) {
                                       return worker_.shared().advertised_names.with([&](const auto& names) {
                                         const auto found = names.find(name);
                                         return found == names.end() ? std::nullopt : std::optional(found->second);
                                       });
                                     });
}

/// One timer for all waits: for a port that is free, for the client on it, and for a set-up to be used.
void SessionDriver::lease_timed_out() {
  const Turn turn(*this);
  if (wants_lease_) {
    wants_lease_ = false;
    worker_.stop_waiting(id_);
    worker_.shared().metrics.lease(observe::Metrics::LeaseEvent::Exhausted);
    return handle(gateway::LeaseRefused{gateway::LeaseFailure::Exhausted});
  }
  if (!lease_) {
    handle(gateway::LeaseExpired{});
    // A transfer that uses the port may yet be refused and leave it behind.
    if (acceptor_) start_lease_timer(config_->passive_ports.lease_timeout);
    return;
  }
  const auto lease = *lease_;
  // Claimed in this moment by another worker: then the connection is on its way to us.
  if (!worker_.drop_lease(lease, Worker::LeaseEnd::Expired)) return;
  lease_.reset();
  worker_.shared().metrics.data_connection(gateway::Leg::Client, gateway::Mode::Passive,
                                           observe::Metrics::DataResult::Timeout);
  handle(gateway::LeaseExpired{});
}

void SessionDriver::data_arrived(std::uint64_t lease_id, net::Accepted client, std::uint16_t port) {
  const Turn turn(*this);
  if (lease_id == 0 && holds_range_) return blind_data(std::move(client), port);
  if (!lease_ || lease_->id != lease_id || ended_) {
    client.socket.reset();
    worker_.shared().metrics.data_rejected(observe::Metrics::Rejected::SessionGone);
    return;
  }
  lease_.reset();
  data_leg(gateway::Leg::Client).mode = gateway::Mode::Passive;
  if (backend_settings_->proxy_protocol_data) {
    proxy_header_ = proxy_header(backend_settings_->proxy_protocol, {client.peer, client.dialled()});
  }
  leg_connected(gateway::Leg::Client, std::move(client.socket));
}

void SessionDriver::on_moved(ftp::Direction direction, std::uint64_t bytes) {
  worker_.shared().metrics.transfer_bytes(direction, bytes);
}

void SessionDriver::on_delivered(ftp::Direction direction, std::uint64_t bytes) {
  const Turn turn(*this);
  handle(gateway::DataEnded{direction, bytes});
}

void SessionDriver::on_secured(net::Relay::Side side, const net::Tls& tls) {
  worker_.shared().metrics.tls_handshake(leg_of(side), tls.version(), tls.is_resumed());
  // On the control channel, as none is given on data connections.
  if (side == net::Relay::Side::Client && tls.is_resumed()) client_.stream->give_ticket();
}

void SessionDriver::on_broken(net::Relay::Side side, bool stalled) {
  const Turn turn(*this);
  const auto leg = leg_of(side);
  std::string error = relay_->error();
  if (relay_->is_in_handshake(side)) {
    if (stalled) error = kLateHandshake;
    worker_.shared().metrics.tls_handshake(leg, "", false);
  }
  if (!error.empty()) {
    observe::log(config::LogLevel::Warn, "data connection broken",
                 {{"session", log_.id()}, {"leg", std::string(leg_name(leg))}, {"error", std::move(error)}});
  }
  worker_.shared().metrics.data_connection(leg, data_leg(leg).mode, observe::Metrics::DataResult::Failed);
  handle(gateway::DataBroken{leg, stalled, relay_->bytes(ftp::Direction::Download),
                             relay_->bytes(ftp::Direction::Upload)});
}

}  // namespace pasvgate::server
