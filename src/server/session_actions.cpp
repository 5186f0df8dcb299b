#include <utility>

#include "server/session_driver.h"
#include "server/worker.h"

// One function an action of gateway::Session; the events are in session_driver.cpp.
namespace pasvgate::server {

void SessionDriver::execute(const gateway::ConnectBackend&) {
  connecting_ = std::make_unique<BackendConnection>(
      worker_.loop(), backend_settings_, config_->timeouts.backend_connect,
      [this](net::Result<net::Fd> socket) { backend_connected(std::move(socket)); });
}

void SessionDriver::execute(const gateway::ToClient& action) { client_.stream->queue(action.text); }

void SessionDriver::execute(const gateway::ToBackend& action) {
  if (!backend_.stream) return;
  // RFC 959 §4.1.3 and RFC 854: IP, then Synch, whose data mark follows the urgent byte.
  if (action.synch) {
    backend_.stream->queue_urgent("\xff\xf4\xff");
    backend_.stream->queue("\xf2");
  }
  backend_.stream->queue(action.text);
}

void SessionDriver::execute(const gateway::TakeLease&) {
  wants_lease_ = true;
  worker_.take_lease({id_, worker_.index()}, client_address_.address, [this](bool waits) {
    if (waits) {
      lease_timer_.start(config_->passive_ports.lease_wait);
      return;
    }
    wants_lease_ = false;
    handle(gateway::LeaseRefused{gateway::LeaseFailure::ClientLimit});
  });
}

void SessionDriver::execute(const gateway::DropLease&) {
  lease_timer_.stop();
  if (std::exchange(wants_lease_, false)) worker_.stop_waiting(id_);
  if (const auto lease = std::exchange(lease_, std::nullopt)) worker_.drop_lease(*lease);
}

void SessionDriver::execute(const gateway::OpenBackendData& action) {
  const ftp::Endpoint to{action.address.value_or(backend_address_), action.port};
  data_connector_ = std::make_unique<net::Connector>(
      worker_.loop(), to, config_->timeouts.data_connect,
      [this](net::Result<net::Fd> socket) { backend_data_connected(std::move(socket)); });
}

void SessionDriver::execute(const gateway::CloseData&) { release_data(false); }

void SessionDriver::execute(const gateway::ResetData&) { release_data(true); }

/// Whatever there is of the data channel goes: lease, waiting sockets, relay.
void SessionDriver::release_data(bool reset) {
  execute(gateway::DropLease{});
  data_connector_.reset();
  if (client_data_) client_data_.reset();
  if (!relay_) return;
  reset ? relay_->reset() : relay_->stop();
  worker_.shared().metrics.transfer_duration(std::chrono::nanoseconds(uv_hrtime() - relay_started_));
  // It may be the one that is calling us.
  worker_.retire(std::move(relay_));
}

void SessionDriver::execute(const gateway::HoldData&) {
  if (!relay_) return release_data(true);  // the backend's leg doesn't stand yet
  relay_->hold_backend();
}

void SessionDriver::execute(const gateway::PauseClient&) {
  client_.session_paused = true;
  client_.stream->read(false);
}

void SessionDriver::execute(const gateway::ResumeClient&) {
  client_.session_paused = false;
  unread_waits_ = true;
  client_.stream->read(!client_.flow_paused);
}

void SessionDriver::execute(const gateway::PauseBackend&) {
  backend_.session_paused = true;
  backend_.stream->read(false);
}

void SessionDriver::execute(const gateway::ResumeBackend&) {
  backend_.session_paused = false;
  unread_waits_ = true;
  backend_.stream->read(!backend_.flow_paused);
}

void SessionDriver::execute(const gateway::SetTimer& action) { timer_.start(action.delay); }

void SessionDriver::execute(const gateway::StopTimer&) { timer_.stop(); }

void SessionDriver::execute(const gateway::RememberNoEpsv&) {
  worker_.shared().without_epsv.with([&](auto& backends) { backends.insert(listener_.backend); });
}

void SessionDriver::execute(const gateway::Note& note) {
  worker_.shared().metrics.note(note);
  log_.note(note);
}

void SessionDriver::execute(const gateway::End& action) {
  ended_ = action.reason;
  log_.ended(action.reason, std::chrono::nanoseconds(uv_hrtime() - started_), session_.user());
}

}  // namespace pasvgate::server
