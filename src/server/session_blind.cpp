#include <utility>

#include "server/proxy_protocol.h"
#include "server/session_driver.h"
#include "server/worker.h"

// A session that passes through encrypted: bytes from one control connection to the other.
namespace pasvgate::server {

void SessionDriver::execute(const gateway::TakeRange&) {
  range_waits_ = worker_.shared().workers.size();
  range_opened_ = true;
  holds_range_ = true;
  worker_.take_range(id_, client_address_.address);
}

void SessionDriver::range_opened(bool opened) {
  const Turn turn(*this);
  range_opened_ = range_opened_ && opened;
  if (--range_waits_ == 0) handle(gateway::RangeTaken{range_opened_});
}

void SessionDriver::drop_range() {
  if (std::exchange(holds_range_, false)) worker_.drop_range(id_);
}

void SessionDriver::execute(const gateway::GoBlind&) {
  for (const auto leg : {gateway::Leg::Client, gateway::Leg::Backend}) {
    const Leg& here = control_leg(leg);
    // What came in clear behind AUTH, or behind its 234.
    if (!here.unread.empty() || here.framer.is_partial()) return tls_failed(leg, "bytes in clear before the handshake");
  }
  blind_ = true;
  observe::log(config::LogLevel::Info, "passes through", {{"session", log_.id()}});
  for (Leg* leg : {&client_, &backend_}) {
    leg->session_paused = false;
    leg->stream->read(leg->may_read());
  }
  blind_moved();  // by another session of this client
}

void SessionDriver::execute(const gateway::EndBackend&) { ends_backend_ = true; }

void SessionDriver::pass_on(net::Stream& from, std::string_view bytes) {
  net::Stream& to = &from == client_.stream.get() ? *backend_.stream : *client_.stream;
  to.queue(bytes);
  handle(gateway::BlindMoved{blind_transfers_});
}

void SessionDriver::blind_moved() {
  const Turn turn(*this);
  blind_transfers_ = worker_.shared().pool.with(
      [&](const gateway::PortPool& pool) { return pool.blind_transfers(client_address_.address); });
  handle(gateway::BlindMoved{blind_transfers_});
}

void SessionDriver::blind_data(net::Accepted client, std::uint16_t port) {
  std::string header;
  if (backend_settings_->proxy_protocol_data) {
    header = proxy_header(backend_settings_->proxy_protocol, {client.peer, client.dialled()});
  }
  worker_.blind_transfers().begin(std::move(client.socket),
                                  {.client = client.peer.address,
                                   .to = {backend_address_, port},
                                   .header = std::move(header),
                                   .connect = config_->timeouts.data_connect,
                                   .stall = config_->timeouts.data_stall,
                                   .pace = worker_.shared().bandwidth.blind_pace(config_->bandwidth, listener_.name)});
}

}  // namespace pasvgate::server
