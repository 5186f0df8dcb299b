#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "ftp/command.h"
#include "ftp/data_address.h"
#include "ftp/feat.h"
#include "ftp/reply.h"
#include "gateway/action.h"
#include "gateway/data_channel.h"
#include "gateway/event.h"
#include "gateway/front.h"
#include "gateway/reply_queue.h"
#include "gateway/security.h"

namespace pasvgate::gateway {

/// What a session needs to know of the world; all fixed for its life.
struct SessionOptions {
  std::size_t line_bytes = config::Limits().line_bytes;
  std::size_t pipelined_commands = config::Limits().pipelined_commands;
  const config::Timeouts* timeouts = nullptr;  ///< They outlive the session. None: the defaults.
  const config::Policy* policy = nullptr;  ///< It outlives the session. None: that of `rules`, or else no restriction.
  bool counts_users = false;               ///< There is a limit to the sessions of a user.
  config::ClientTls client_tls = config::ClientTls::Off;
  bool require_private_data = false;
  bool same_ports = false;                  ///< The client is told the backend's own passive port.
  const config::Listener* rules = nullptr;  ///< That say where the session goes; they outlive it. None: nowhere else.
  ftp::Address client = ftp::Address::v4({192, 0, 2, 1});
};

/// The dialogue of one client with one backend. Pure: no socket, no clock, no log.
///
/// `session.cpp` has the commands and what becomes of the session, `session_front.cpp` the choice of the backend and
/// what the gateway says before it, `session_tls.cpp` TLS, `session_data.cpp` the data channel until both legs stand,
/// `session_reply.cpp` the replies and a transfer's end.
///
/// The way of a command: ClientLine → commands_, if it has to wait → (one at a time) → backend, remembered in replies_.
/// The way of a reply: BackendLine → replies_ says whose it is → client; a transfer's final reply waits for the data
/// channel.
class Session {
 public:
  explicit Session(const SessionOptions& options);

  /// Appends the first orders to `out`. Once, before all events.
  void begin(std::vector<Action>& out);
  /// Appends to `out` what must be done, in order. After End nothing is appended any more.
  void handle(const Event& event, std::vector<Action>& out);

  [[nodiscard]] bool is_ended() const { return ended_; }
  [[nodiscard]] bool is_logged_in() const { return logged_in_; }
  /// What it does now, for people: "connecting", "greeting", "login", "idle", "command", "transfer".
  [[nodiscard]] std::string_view activity() const;
  /// The transfer command that runs, if one does.
  [[nodiscard]] const Pending* transfer() const { return replies_.transfer(); }
  /// Who is logged in, or else who asked last. Raw, as the client sent it; empty before USER.
  [[nodiscard]] const std::string& user() const { return logged_in_ ? user_ : asked_user_; }
  /// The same for the limits of users: see gateway::user_key.
  [[nodiscard]] std::string user_key() const { return key_of(user()); }

 private:
  struct Queued {
    std::string text;
    ftp::LineFault fault;
  };
  /// What the session waits for: decides the one timer.
  enum class Wait : std::uint8_t { Nothing, Handshake, Greeting, Login, Idle, Reply, Abort, Word, Data, TransferReply };

  // Events.
  void on(const ClientLine& line);
  void on(const ClientClosed& closed);
  void on(const BackendConnected& connected);
  void on(const BackendUnreachable& why);
  void on(const BackendLine& line);
  void on(const BackendClosed&);
  void on(const LeaseGranted& lease);
  void on(const LeaseRefused& refused);
  void on(const RangeTaken& taken);
  void on(const BlindMoved&) {}  // see take_blind
  void on(const BackendPortOpened& opened);
  void on(const BackendPortRefused&);
  void on(const LeaseExpired&);
  void on(const DataConnected& connected);
  void on(const DataUnreachable& unreachable);
  void on(const DataEnded& end);
  void on(const DataBroken& how);
  void on(const TlsStarted& started);
  void on(const TlsFailed& failed);
  void on(const UserCounted& counted);
  void on(const Banned&);
  void on(const TimerFired&);
  void on(const Drain&);
  void on(const Stop& stop);

  // Commands, on their way to the backend.
  void run_queued();
  [[nodiscard]] bool may_run() const;
  void run(std::string_view line, ftp::LineFault fault);
  [[nodiscard]] bool is_no_ftp(std::string_view line, ftp::LineFault fault);
  void forward(const ftp::Command& command, std::string_view line, bool interrupt);
  [[nodiscard]] bool may_overtake(const ftp::Command& command) const;
  void abort_transfer();

  // Replies, on their way to the client.
  void take_reply_line(const ftp::ReplyLine& line);
  void pass_reply_line(const ftp::ReplyLine& line);
  void take_reply(const ftp::ReplyLine& line);
  void take_stray(const ftp::ReplyLine& line);
  void take_transfer_reply(const ftp::ReplyLine& line);
  void take_plain_reply(const ftp::ReplyLine& line);
  void pass_plain_reply(const ftp::ReplyLine& line);
  void count_user(const ftp::ReplyLine& line);
  void take_feat_reply(const ftp::ReplyLine& line);
  void note_login(const Pending& command, int code);
  void close_with(int code, std::string_view text, EndReason reason);

  // The choice of the backend, and the gateway in its place.
  void choose_backend(const TlsIdentity* tls);
  [[nodiscard]] std::string key_of(std::string_view user) const;
  [[nodiscard]] bool is_at_front() const { return front_ && front_->awaits_user; }
  [[nodiscard]] bool is_reaching() const { return front_ && front_->login; }
  bool answer_in_front(const ftp::Command& command, std::string_view line);
  [[nodiscard]] std::string front_reply(const ftp::Command& command) const;
  [[nodiscard]] std::string front_greeting() const;
  void take_host(const ftp::Command& command);
  bool take_user(const ftp::Command& command);
  void refuse_user(std::string_view why);
  void connect_for(const Verdict& verdict);
  void leave_backend();
  void tell_backend();
  void take_repeated_reply(const ftp::ReplyLine& line);

  // TLS on the control channels.
  void start_tls(Leg leg);
  bool secure(const ftp::Command& command);
  bool refuse_by_policy(const ftp::Command& command);
  void ask_security(ftp::Verb verb, std::string_view argument);
  void take_security_reply(const ftp::ReplyLine& line);
  void secure_backend_data();
  void refuse_security(std::string_view why);
  void take_greeting(const ftp::ReplyLine& line);
  void greet();

  [[nodiscard]] ftp::FeatPolicy feat_policy() const;
  [[nodiscard]] bool policies_agree(const std::function<bool(const config::Policy&)>& holds) const;
  // Passing through.
  void pass_through(const ftp::ReplyLine& line);
  void take_blind(const Event& event);

  // The data channel, from its set-up to both legs.
  void set_up_data(const ftp::Command& command);
  void ask_backend(ftp::Verb verb, std::string_view argument);
  void ask_backend_again(ftp::Verb verb);
  void take_data_reply(const ftp::ReplyLine& line);
  void take_data_address(const ftp::ReplyLine& line);
  void finish_data_reply(int code);
  void backend_is_set_up();
  void client_is_set_up(std::string_view told, std::string_view client_side);
  void refuse_data(int code, std::string_view text);
  void open_legs();
  [[nodiscard]] bool is_sure(const Pending& transfer) const;
  [[nodiscard]] bool waits_for_word() const;
  void lose_data();
  void discard_data();

  // The end of a transfer.
  void settle_transfer();
  void finish_transfer(int code);
  void note_transfer(const Pending& transfer, TransferNote::Result result, int code);
  void fail_transfer();
  void give_up_abort();
  void end_without_backend();
  void end_if_over();

  void to_client(std::string_view line);
  void reply(std::string_view whole) { send(ToClient{std::string(whole)}); }
  /// The gateway's own answer to a command of the client.
  void answer(ftp::Verb verb, std::string_view whole);
  void warn(std::string_view what, std::string_view detail = {});
  void send(Action action) {
    if (!ended_) out_->push_back(std::move(action));
  }
  /// `told`: the code of the reply that the client gets instead of a running transfer's own; 0 for none.
  void end(EndReason reason, int told = 0);
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] bool payload_moves() const;
  [[nodiscard]] Wait wait() const;
  void set_timer(bool progress);

  SessionOptions options_;
  std::vector<Action>* out_ = nullptr;  ///< Only while handle runs.

  std::list<Queued> commands_;  ///< From the client, not yet sent on.
  ReplyQueue replies_;          ///< Sent to the backend, not yet answered.
  ftp::ReplyReader reader_;
  Pending* answering_ = nullptr;  ///< Whose reply is being read, from its first line to its last.
  bool discarding_ = false;       ///< The reply being read is for nobody.
  /// While a FEAT reply goes by: an idle session keeps none.
  struct FeatReply {
    ftp::FeatPolicy policy;
    ftp::FeatEditor editor{policy};
  };
  std::unique_ptr<FeatReply> feat_;
  /// The first line of the reply to a login that succeeded, until the user is counted.
  struct LoginReply {
    ftp::ReplyLine::Place place;
    int code;
    std::string line;
  };
  std::unique_ptr<LoginReply> login_reply_;

  std::unique_ptr<Front> front_;  ///< Where the choice of the backend needs USER.

  DataChannel data_;
  ftp::Verb backend_asked_ = ftp::Verb::Pasv;  ///< What the backend was asked for `data_`, or REST behind it.
  ftp::Verb backend_setup_ = ftp::Verb::Pasv;  ///< The same without the REST.
  /// While `data_` is SettingUp or Leasing: an idle session keeps none.
  struct SetUp {
    std::string asked_argument;                      ///< Of the client's command.
    std::optional<ftp::Endpoint> gateway_at;         ///< Where an active backend is to connect.
    std::optional<ftp::Endpoint> backend_data;       ///< What a passive backend answered.
    std::string backend_answer;                      ///< The line that said so, for the trace.
    std::optional<ftp::AddressError> backend_error;  ///< Or why its answer is of no use.
    bool fell_back = false;                          ///< EPSV was refused as unknown, PASV was sent instead.
  };
  std::unique_ptr<SetUp> set_up_;
  bool takes_silence_ = false;  ///< The backend kept its 1xx back for too long.
  std::string held_;            ///< A transfer's final reply, until the payload is delivered.
  int held_code_ = 0;           ///< Its code; 0 when nothing is held.

  std::string restart_;  ///< The argument of a REST that the backend took.

  ftp::Family backend_family_ = ftp::Family::V4;
  BackendTraits backend_;
  ClientSecurity security_;
  std::optional<Leg> handshake_;  ///< Whose TLS is being started.
  std::string greeting_;          ///< The backend's, until its TLS is up.
  std::string auth_reply_;        ///< The backend's 234, until every port waits for the client.
  std::size_t blind_transfers_ = 0;
  std::string user_;          ///< Who is logged in.
  std::string asked_user_;    ///< What the last USER said.
  std::uint8_t unknown_ = 0;  ///< Commands that nobody knows, one behind the other, before the login.
  Wait waiting_ = Wait::Nothing;
  bool greeted_ = false;
  bool logged_in_ = false;
  bool connected_ = false;  ///< To the backend.
  bool epsv_only_ = false;  ///< EPSV ALL was said (RFC 2428 §4).
  bool ascii_ = true;       ///< The TYPE that the backend took last (RFC 959 §5.3.2: first it is A).
  bool client_paused_ = false;
  bool backend_paused_ = false;
  bool client_gone_ = false;
  bool backend_gone_ = false;
  bool draining_ = false;
  bool holding_data_ = false;  ///< After ABOR: the client's data leg is gone, the backend's still stands.
  bool aborting_ = false;      ///< ABOR was sent, and the transfer it aborts has no final reply yet.
  bool blind_ = false;         ///< Nothing of the control channel is read any more.
  bool ended_ = false;
};

}  // namespace pasvgate::gateway
