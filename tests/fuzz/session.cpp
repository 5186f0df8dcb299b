#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/session.h"
#include "require.h"

// Both peers, the port pool and the relay hostile: events in any order. What must hold whatever comes: nothing after
// End, one End, never two leases open at once, a lease or data connection is never ordered for one that isn't there,
// and the backend is told nothing before it is connected.
namespace {

using namespace pasvgate;
using namespace pasvgate::gateway;

class World {
 public:
  explicit World(std::uint8_t modes) : traits_(traits(modes)), session_(options(modes)) {
    session_.begin(actions_);
    take_actions();
  }

  void step(std::uint8_t choice, std::string_view text) {
    // The driver answers before anything else happens.
    if (asked_user_) return play(UserCounted{!text.empty()});
    if (choice == 251) return stop(text.empty() ? EndReason::Operator : EndReason::Drained);
    if (choice == 252) return play(RangeTaken{text.empty()});
    if (choice == 253) return play(BlindMoved{text.size()});
    if (choice == 254) return play(BackendLine{"234 go on"});
    if (choice == 250) return play(Banned{});
    switch (choice % 36) {
      case 0:
      case 1:
        return play(ClientLine{text});
      case 2:
      case 3:
        return play(BackendLine{text});
      case 4:
        return play(BackendConnected{ftp::Family::V4, traits_});
      case 5:
        return play(BackendConnected{ftp::Family::V6, traits_});
      case 6:
        return play(LeaseGranted{50000, ftp::Address::v4({203, 0, 113, 10})});
      case 7:
        return play(LeaseRefused{LeaseFailure::Exhausted});
      case 8:
        return play(LeaseExpired{});
      case 9:
        return play(DataConnected{Leg::Client});
      case 10:
        return play(DataUnreachable{text.empty() ? Leg::Backend : Leg::Client});
      case 11:
        return play(DataEnded{text.empty() ? ftp::Direction::Download : ftp::Direction::Upload, text.size()});
      case 12:
        return play(DataBroken{text.empty() ? Leg::Client : Leg::Backend, text.size() > 1, 1, 2});
      case 13:
        return play(TimerFired{});
      case 14:
        return play(Drain{});
      case 15:
        return play(ClientClosed{text.empty() ? Closing::Orderly : Closing::Reset});
      case 16:
        return play(BackendClosed{});
      case 17:
        return play(ClientLine{"", text.empty() ? ftp::LineFault::TooLong : ftp::LineFault::ForbiddenByte, true});
      case 18:
        return play(DataConnected{Leg::Backend});
      case 19:
        return play(BackendPortOpened{{ftp::Address::v4({10, 0, 0, 1}), 40'000}});
      case 20:
        return play(BackendPortRefused{});
      case 21:
        return play(ClientLine{"PORT 192,0,2,1,200,10"});
      case 22:
        return play(ClientLine{"EPRT |1|192.0.2.1|51210|"});
      case 23:
        return play(TlsStarted{Leg::Client});
      case 24:
        return play(TlsStarted{Leg::Backend});
      case 25:
        return play(TlsFailed{text.empty() ? Leg::Client : Leg::Backend});
      case 26:
        return play(ClientLine{"AUTH TLS"});
      case 27:
        return play(ClientLine{"USER anna"});
      case 28:
        return play(ClientLine{"USER bert"});
      case 29:
        return play(ClientLine{"USER carl@ftp.internal"});
      case 30:
        return play(ClientLine{"USER carl@192.0.2.1"});
      case 31:
        return play(ClientLine{"HOST two.example"});
      case 32:
        return play(BackendUnreachable{.forbidden = text.empty()});
      case 33:
        return play(BackendLine{"220 hello"});
      case 34:
        return play(BackendLine{"530 no"});
      case 35:
        return play(TlsStarted{Leg::Client, {std::string(text), std::string(text)}});
      default:
        return;
    }
  }

 private:
  /// It is the end at once, and of a running transfer as well.
  void stop(EndReason reason) {
    if (ended_) return;
    const int running = session_.transfer() != nullptr ? 1 : 0;
    notes_ = 0;
    play(Stop{reason});
    require(ended_ && notes_ == running);
  }

  void play(const Event& event) {
    // The driver never reports what can't have happened.
    if (std::holds_alternative<BackendConnected>(event)) {
      if (!asked_backend_) return;
      asked_backend_ = false;
      connected_ = true;
    }
    if (std::holds_alternative<BackendUnreachable>(event)) {
      if (!asked_backend_) return;
      asked_backend_ = false;
    }
    if (std::holds_alternative<BackendLine>(event) && !connected_) return;
    if (std::holds_alternative<LeaseGranted>(event) || std::holds_alternative<LeaseRefused>(event)) {
      if (!asked_) return;
      asked_ = false;
      leased_ = std::holds_alternative<LeaseGranted>(event);
    }
    if (std::holds_alternative<UserCounted>(event)) asked_user_ = false;
    if (std::holds_alternative<LeaseExpired>(event)) {
      if (!leased_ && !listening_) return;
      leased_ = false;
    }
    if (std::holds_alternative<BackendPortOpened>(event) || std::holds_alternative<BackendPortRefused>(event)) {
      if (!asked_port_) return;
      asked_port_ = false;
      listening_ = std::holds_alternative<BackendPortOpened>(event);
    }
    if (const auto* connected = std::get_if<DataConnected>(&event)) {
      bool& listens = connected->leg == Leg::Client ? leased_ : listening_;
      bool& dials = dialling_.at(std::to_underlying(connected->leg));
      if (!listens && !dials) return;
      listens = dials = false;
      standing_.at(std::to_underlying(connected->leg)) = true;
    }
    if (const auto* unreachable = std::get_if<DataUnreachable>(&event)) {
      bool& dials = dialling_.at(std::to_underlying(unreachable->leg));
      if (!dials) return;
      dials = false;
    }
    const bool ends = std::holds_alternative<DataEnded>(event) || std::holds_alternative<DataBroken>(event);
    if (ends && !relaying_) return;
    if (std::holds_alternative<DataBroken>(event)) relaying_ = false;
    if (const auto* started = std::get_if<TlsStarted>(&event)) {
      if (handshake_ != started->leg) return;
      handshake_.reset();
    }
    if (const auto* failed = std::get_if<TlsFailed>(&event)) {
      if (handshake_ != failed->leg) return;
      handshake_.reset();
    }
    const bool is_line = std::holds_alternative<ClientLine>(event) || std::holds_alternative<BackendLine>(event);
    if (is_line && (asked_range_ || blind_)) return;
    if (std::holds_alternative<RangeTaken>(event)) {
      if (!asked_range_) return;
      asked_range_ = false;
    }
    if (const auto* moved = std::get_if<BlindMoved>(&event)) {
      if (!blind_) return;
      blind_moves_ = moved->transfers > 0;
    }
    if (handshake_ == Leg::Client && std::holds_alternative<ClientLine>(event)) return;
    if (handshake_ == Leg::Backend && std::holds_alternative<BackendLine>(event)) return;
    if (std::holds_alternative<TimerFired>(event)) {
      if (!timer_) return;
      timer_ = false;
    }
    session_.handle(event, actions_);
    take_actions();
    // Something always ends the wait: the session's timer, the driver's for a lease or a connection, or the relay's.
    const bool has_bound = timer_ || asked_backend_ || asked_ || leased_ || asked_port_ || relaying_ || dialling_[0] ||
                           dialling_[1] || asked_range_ || blind_moves_;
    require(ended_ || has_bound);
  }

  void take_actions() {
    for (const auto& action : actions_) check(action);
    actions_.clear();
  }

  void check(const Action& action) {
    require(!ended_);
    if (const auto* note = std::get_if<Note>(&action)) notes_ += std::holds_alternative<TransferNote>(*note) ? 1 : 0;
    if (std::holds_alternative<TakeLease>(action)) {
      require(!asked_ && !leased_);
      asked_ = true;
    }
    if (const auto* count = std::get_if<CountUser>(&action)) {
      require(!asked_user_);
      asked_user_ = count->user.has_value();
    }
    if (std::holds_alternative<TakeRange>(action)) {
      require(!asked_range_ && !blind_);
      asked_range_ = true;
    }
    // From there on the gateway has nothing to say.
    if (std::holds_alternative<ToClient>(action) || std::holds_alternative<ToBackend>(action)) require(!blind_);
    if (std::holds_alternative<GoBlind>(action)) {
      require(!leased_ && !relaying_);
      blind_ = true;
    }
    if (std::holds_alternative<ListenForBackend>(action)) {
      require(!asked_port_ && !listening_);
      asked_port_ = true;
    }
    if (std::holds_alternative<OpenBackendData>(action)) dial(Leg::Backend);
    if (std::holds_alternative<OpenClientData>(action)) dial(Leg::Client);
    if (std::holds_alternative<RelayData>(action)) {
      require(!relaying_ && standing_[0] && standing_[1]);
      relaying_ = true;
      standing_ = {};
    }
    // The backend's leg may stand on behind HoldData, but nothing is told of it any more.
    if (std::holds_alternative<CloseData>(action) || std::holds_alternative<ResetData>(action) ||
        std::holds_alternative<HoldData>(action)) {
      asked_ = leased_ = asked_port_ = listening_ = relaying_ = false;
      dialling_ = standing_ = {};
    }
    if (std::holds_alternative<SetTimer>(action)) timer_ = true;
    if (std::holds_alternative<StopTimer>(action)) timer_ = false;
    if (std::holds_alternative<ConnectBackend>(action)) {
      require(!asked_backend_ && !connected_);
      asked_backend_ = true;
    }
    if (std::holds_alternative<DropBackend>(action)) {
      require(connected_ && handshake_ != Leg::Backend);
      require(!asked_ && !leased_ && !asked_port_ && !listening_ && !relaying_);
      connected_ = false;
    }
    if (const auto* start = std::get_if<StartTls>(&action)) {
      require(!handshake_);
      handshake_ = start->leg;
    }
    if (const auto* text = std::get_if<ToBackend>(&action)) {
      require(handshake_ != Leg::Backend);
      require(connected_);
      require(text->text.ends_with("\r\n"));
      require(text->text.find('\n') == text->text.size() - 1);
    }
    if (const auto* text = std::get_if<ToClient>(&action)) require(text->text.ends_with("\r\n"));
    if (std::holds_alternative<End>(action)) ended_ = true;
  }

  void dial(Leg leg) {
    const auto index = std::to_underlying(leg);
    require(!dialling_.at(index) && !standing_.at(index));
    dialling_.at(index) = true;
  }

  static SessionOptions options(std::uint8_t modes) {
    if (modes / 36 % 3 == 1) {
      return {.pipelined_commands = 4, .client_tls = config::ClientTls::Passthrough, .same_ports = true};
    }
    static const config::Policy strict{.read_only = true, .denied_commands = {{"QUIT", ""}, {"SITE", "CHMOD"}}};
    return {.pipelined_commands = 4,
            .policy = modes / 108 % 2 == 0 ? nullptr : &strict,
            .counts_users = modes % 2 == 1,
            .client_tls = static_cast<config::ClientTls>(modes / 3 % 4),
            .rules = modes / 36 % 2 == 0 ? nullptr : &rules()};
  }
  /// The backend depends on the user.
  static const config::Listener& rules() {
    static const config::Listener made = [] {
      config::Listener listener;
      listener.routes = {{.user = {"anna"}, .backend = "one", .policy = {.denied_commands = {{"EPSV", ""}}}},
                         {.host = {"two.*"}, .backend = "two"},
                         {.sni = {"a*"}, .backend = "three"},
                         {.certificate_subject = {"b*"}, .backend = "four"}};
      listener.user_hosts = {{.host = "ftp.internal"}, {.host = {}, .network = ftp::Cidr::parse("10.0.0.0/8")}};
      return listener;
    }();
    return made;
  }
  static BackendTraits traits(std::uint8_t modes) {
    return {.data_mode = static_cast<config::DataMode>(modes % 3),
            .tls = static_cast<config::BackendTls>(modes / 12 % 3)};
  }

  const BackendTraits traits_;
  Session session_;
  std::vector<Action> actions_;
  bool connected_ = false;
  bool asked_ = false;
  bool asked_user_ = false;
  bool leased_ = false;
  std::optional<Leg> handshake_;
  bool timer_ = false;
  bool asked_backend_ = false;
  bool asked_port_ = false;
  bool listening_ = false;
  bool relaying_ = false;
  std::array<bool, 2> dialling_{};  // By Leg.
  std::array<bool, 2> standing_{};
  bool asked_range_ = false;
  bool blind_ = false;
  bool blind_moves_ = false;
  int notes_ = 0;  // Of transfers.
  bool ended_ = false;
};

}  // namespace

// The input: modes and records of a choice byte and a line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  // The first byte chooses the modes.
  const auto modes = static_cast<std::uint8_t>(rest.empty() ? 0 : rest.front());
  if (!rest.empty()) rest.remove_prefix(1);
  World world(modes);
  while (!rest.empty()) {
    const auto choice = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
    const auto end = std::min(rest.find('\n'), rest.size());
    std::string line(rest.substr(0, end));
    // The framer lets none of these through.
    std::erase_if(line, [](char c) { return c == '\0' || c == '\r'; });
    world.step(choice, line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return 0;
}
