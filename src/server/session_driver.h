#pragma once

#include <array>
#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "ftp/line.h"
#include "gateway/rate.h"
#include "gateway/session.h"
#include "net/acceptor.h"
#include "net/connector.h"
#include "net/loop.h"
#include "net/relay.h"
#include "net/stream.h"
#include "observe/log.h"
#include "server/backend_connection.h"
#include "server/client_place.h"
#include "server/shared.h"
#include "server/tls_contexts.h"

namespace pasvgate::server {

/// Carries out one session: feeds gateway::Session with what happens on the sockets and does what it orders. Decides
/// nothing about FTP. Lives on one worker, which owns it and frees it between two turns of the loop.
class SessionDriver final : public net::Stream::Listener, public net::Relay::Listener {
 public:
  SessionDriver(Worker& worker, std::uint64_t id, net::Accepted client, ClientPlace place,
                const config::Listener& listener, std::shared_ptr<const config::Config> config,
                std::shared_ptr<const TlsContexts> tls);
  ~SessionDriver();
  SessionDriver(const SessionDriver&) = delete;
  SessionDriver& operator=(const SessionDriver&) = delete;

  void begin();
  /// The process is about to end: finish what runs, then close.
  void drain();
  [[nodiscard]] observe::SessionStatus status() const;
  [[nodiscard]] bool has_transfer() const { return relay_ != nullptr; }
  [[nodiscard]] observe::SessionTrace trace() const { return log_.trace(); }
  [[nodiscard]] const ftp::Endpoint& client() const { return client_address_; }
  /// Ends it now, with a last word to the client, which has a second to take it. False: it has ended before.
  bool end(gateway::EndReason reason);
  /// As `end`, without the second: what can't be sent at once is lost.
  void kill();

  // From the port pool.
  void lease_ready(const gateway::Lease& lease, bool opened);
  /// `port`: of ours, that it came to.
  void data_arrived(std::uint64_t lease_id, net::Accepted client, std::uint16_t port);
  /// Of one worker's ports.
  void range_opened(bool opened);
  /// The first transfer of this client that passes through has begun, or the last one ended.
  void blind_moved();
  [[nodiscard]] bool holds_range() const { return holds_range_; }
  [[nodiscard]] bool waits_for_lease() const { return wants_lease_; }

 private:
  /// A control connection with what is between it and the session.
  struct Leg {
    std::unique_ptr<net::Stream> stream;
    ftp::LineFramer framer;
    std::string unread;                        ///< Read from the socket while the session was paused.
    bool session_paused = false;               ///< By the session.
    bool flow_paused = false;                  ///< Because the other leg's peer doesn't read.
    bool paced = false;                        ///< It said more than it may in this time.
    bool closed_unread = false;                ///< The peer's end was seen and is told after `unread`.
    bool starts_tls = false;                   ///< From the order to its answer; nothing is read in clear then.
    std::shared_ptr<net::TlsBinding> binding;  ///< Where there is TLS.
    [[nodiscard]] bool may_read() const { return !session_paused && !flow_paused && !paced; }
    [[nodiscard]] bool is_paused() const { return !may_read() || starts_tls; }
  };
  /// A leg of the data channel until the relay has it.
  struct DataLeg {
    net::Fd socket;
    std::unique_ptr<net::Connector> connector;
    gateway::Mode mode = gateway::Mode::Passive;  ///< Kept for the metrics when the relay has the socket.
  };
  using DataLegs = std::array<DataLeg, 2>;
  DataLeg& data_leg(gateway::Leg leg) {
    if (!data_legs_) data_legs_ = std::make_unique<DataLegs>();
    return data_legs_->at(std::to_underlying(leg));
  }
  /// One entry from the loop. The outermost one flushes what was queued and sees to the end of the session.
  class Turn {
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

  void on_bytes(net::Stream& stream, std::string_view bytes) override;
  void on_closed(net::Stream& stream, net::Stream::Closed how) override;
  void on_written(net::Stream& stream) override;
  void on_secured(net::Stream& stream) override;
  void on_moved(ftp::Direction direction, std::uint64_t bytes) override;
  void on_delivered(ftp::Direction direction, std::uint64_t bytes) override;
  void on_secured(net::Relay::Side side, const net::Tls& tls) override;
  void on_broken(net::Relay::Side side, bool stalled) override;

  void handle(const gateway::Event& event);
  void take_lines(Leg& leg, std::string_view bytes);
  void take_unread();
  void finish_turn();
  void flush_turn();
  bool begin_ordered_tls();
  void flow_control();

  void execute(const gateway::ConnectBackend& action);
  void execute(const gateway::DropBackend& action);
  void execute(const gateway::ToClient& action);
  void execute(const gateway::ToBackend& action);
  void execute(const gateway::TakeLease& action);
  void execute(const gateway::TakeRange& action);
  void execute(const gateway::GoBlind& action);
  void execute(const gateway::EndBackend& action);
  void execute(const gateway::ListenForBackend& action);
  void execute(const gateway::OpenBackendData& action);
  void execute(const gateway::OpenClientData& action);
  void execute(const gateway::RelayData& action);
  void execute(const gateway::ExpectData& action);
  void execute(const gateway::CloseData& action);
  void execute(const gateway::ResetData& action);
  void execute(const gateway::HoldData& action);
  void execute(const gateway::CountUser& action);
  void execute(const gateway::StartTls& action);
  void execute(const gateway::EndTls& action);
  void execute(const gateway::PauseClient& action);
  void execute(const gateway::ResumeClient& action);
  void execute(const gateway::PauseBackend& action);
  void execute(const gateway::ResumeBackend& action);
  void execute(const gateway::SetTimer& action);
  void execute(const gateway::StopTimer& action);
  void execute(const gateway::RememberNoEpsv& action);
  void execute(const gateway::Note& note);
  /// Metrics, log, the last refusals, and what a failed login brings.
  void tell(const gateway::Note& note);
  void refused(std::string_view what, std::string_view why);
  void pace_commands();
  void execute(const gateway::End& action);

  void pass_on(net::Stream& from, std::string_view bytes);
  void blind_data(net::Accepted client, std::uint16_t port);
  void drop_range();
  Leg& control_leg(gateway::Leg leg) { return leg == gateway::Leg::Client ? client_ : backend_; }
  void begin_tls(gateway::Leg leg);
  void tls_failed(gateway::Leg leg, std::string_view why);
  void note_tls_failure(gateway::Leg leg, std::string_view why);
  static constexpr std::string_view kLateHandshake = "the TLS handshake took too long";
  std::unique_ptr<net::Tls> make_tls(gateway::Leg leg, const net::Fd& socket, net::Tls::Channel channel);
  std::unique_ptr<net::Relay> make_relay(const gateway::RelayData& action);
  [[nodiscard]] gateway::BackendTraits backend_traits() const;
  [[nodiscard]] bool is_transparent() const { return listener_.mode == config::ListenerMode::Transparent; }
  void look_up_host(const config::HostPort& host);
  void connect_host(const config::HostPort& host, std::vector<ftp::Address> addresses);
  config::Backend& take_own_settings();
  void connect_to(BackendConnection::To to);
  void backend_connected(std::expected<BackendConnection::Connected, std::string> connected);
  [[nodiscard]] bool is_backend(const ftp::Endpoint& peer);
  void connect_leg(gateway::Leg leg, const ftp::Endpoint& to, const std::optional<ftp::Endpoint>& from);
  void leg_connected(gateway::Leg leg, net::Fd socket);
  bool tell_client(const net::Fd& backend);
  void leg_unreachable(gateway::Leg leg, const net::Error& error);
  [[nodiscard]] std::optional<ftp::Endpoint> active_source(const ftp::Address& to) const;
  void ask_for_lease(std::optional<std::uint16_t> port);
  void start_lease_timer(std::chrono::milliseconds delay);
  void stop_lease_timer();
  void lease_timed_out();
  void drop_lease();
  void release_data(bool reset);
  void close_session();
  void close_client();
  [[nodiscard]] std::optional<ftp::Address> advertised() const;

  Worker& worker_;
  const std::uint64_t id_;
  const std::shared_ptr<const config::Config> config_;
  const std::shared_ptr<const TlsContexts> tls_;
  const config::Listener& listener_;  ///< In `config_`.
  /// Of the backend that was ordered last: in `config_`, or `own_backend_`.
  const config::Backend* backend_settings_ = nullptr;
  std::string_view backend_name_;                 ///< Its group's, in `config_`.
  std::unique_ptr<config::Backend> own_backend_;  ///< For a server outside the groups.
  const ftp::Endpoint client_address_;
  const ftp::Endpoint dialled_;         ///< By the client.
  const ftp::Address outside_address_;  ///< Ours, where the client's connection ends.
  const std::uint64_t started_;         ///< Nanoseconds of uv_hrtime.
  std::uint64_t connect_started_ = 0;

  ClientPlace place_;
  gateway::Rate commands_;
  gateway::Session session_;
  std::vector<gateway::Event> later_;  ///< Events that came while one was handled; never lines.
  observe::SessionLog log_;
  Leg client_;
  Leg backend_;
  ftp::Address backend_address_;  ///< The control peer.
  ftp::Address inside_address_;   ///< Ours, as the backend knows it.
  std::unique_ptr<net::Lookup> lookup_;
  std::unique_ptr<BackendConnection> connecting_;
  std::optional<ServerPlace> server_;  ///< That the backend's control connection goes to.
  net::Timer timer_;
  net::Timer lease_timer_;  ///< Made when first needed.
  net::Timer closing_timer_;
  net::Timer pace_timer_;  ///< Made when first needed.

  std::optional<gateway::Lease> lease_;
  bool wants_lease_ = false;
  int other_ports_ = 0;                      ///< That may be tried where the one that was leased can't be opened.
  std::unique_ptr<DataLegs> data_legs_;      ///< By gateway::Leg; none while there is no data channel.
  std::unique_ptr<net::Acceptor> acceptor_;  ///< For an active backend.
  std::string proxy_header_;                 ///< For the backend's data connection, when the client's is here.
  std::unique_ptr<net::Relay> relay_;
  std::unique_ptr<Bandwidth::Session> bandwidth_;  ///< From the first transfer on, where there is a limit.
  std::uint64_t relay_started_ = 0;
  std::uint64_t relay_took_ = 0;  ///< Nanoseconds of a relay that went before its transfer's note.

  std::size_t range_waits_ = 0;  ///< Workers whose ports aren't open yet.
  std::size_t blind_transfers_ = 0;
  bool range_opened_ = false;  ///< By all that have answered.
  bool holds_range_ = false;
  bool blind_ = false;         ///< Bytes are passed on unread.
  bool ends_backend_ = false;  ///< When its queue is empty.

  int depth_ = 0;  ///< Of Turn.
  bool handling_ = false;
  bool unread_waits_ = false;
  std::optional<gateway::EndReason> ended_;
  bool closing_ = false;
};

}  // namespace pasvgate::server
