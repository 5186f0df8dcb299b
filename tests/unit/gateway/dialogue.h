#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/session.h"

/// A whole dialogue as text against the pure core: no socket, no clock. Answers TakeLease by itself unless told not to.
class Dialogue {
 public:
  explicit Dialogue(pasvgate::gateway::SessionOptions options = {}, pasvgate::gateway::BackendTraits backend = {})
      : traits(std::move(backend)), session_(options) {
    session_.begin(actions_);
    for (const auto& action : std::exchange(actions_, {})) {
      // ConnectBackend is what every session begins with but one whose client has implicit TLS, or whose backend
      // depends on its user.
      if (const auto* connect = std::get_if<pasvgate::gateway::ConnectBackend>(&action)) {
        connecting = *connect;
      } else {
        note(action);
      }
    }
  }

  explicit Dialogue(pasvgate::gateway::BackendTraits backend)
      : Dialogue(pasvgate::gateway::SessionOptions{}, std::move(backend)) {}

  /// Connected, greeted and logged in, with nothing remembered.
  [[nodiscard]] const std::string& user() const { return session_.user(); }
  [[nodiscard]] std::string user_key() const { return session_.user_key(); }
  static Dialogue logged_in(pasvgate::gateway::SessionOptions options = {},
                            pasvgate::ftp::Family backend = pasvgate::ftp::Family::V4) {
    return logged_in(pasvgate::gateway::BackendTraits{}, backend, options);
  }
  static Dialogue logged_in(pasvgate::gateway::BackendTraits backend,
                            pasvgate::ftp::Family family = pasvgate::ftp::Family::V4,
                            pasvgate::gateway::SessionOptions options = {}) {
    Dialogue d(options, std::move(backend));
    d.connect(family);
    d.backend({"220 hello"})
        .client("USER anna")
        .backend({"331 password"})
        .client("PASS secret")
        .backend({"230 welcome"});
    d.forget();
    return d;
  }

  Dialogue& connect(pasvgate::ftp::Family family = pasvgate::ftp::Family::V4) {
    return event(pasvgate::gateway::BackendConnected{family, traits});
  }
  Dialogue& client(std::string_view line) { return event(pasvgate::gateway::ClientLine{line}); }
  Dialogue& backend(const std::vector<std::string_view>& lines) {
    for (const auto line : lines) event(pasvgate::gateway::BackendLine{line});
    return *this;
  }
  Dialogue& event(const pasvgate::gateway::Event& event) {
    session_.handle(event, actions_);
    while (!actions_.empty()) {
      const auto actions = std::exchange(actions_, {});
      for (const auto& action : actions) note(action);
    }
    return *this;
  }
  /// PASV, its 227, and the client's data connection.
  Dialogue& open_data() {
    client("PASV").backend({"227 Entering Passive Mode (10,0,0,5,4,5)"});
    event(pasvgate::gateway::DataConnected{pasvgate::gateway::Leg::Client});
    event(pasvgate::gateway::DataConnected{pasvgate::gateway::Leg::Backend});
    return forget();
  }
  Dialogue& forget() {
    to_client.clear();
    to_backend.clear();
    order.clear();
    return *this;
  }

  [[nodiscard]] int times(std::string_view name) const {
    int found = 0;
    for (const auto& one : order) found += one == name ? 1 : 0;
    return found;
  }
  [[nodiscard]] std::string_view activity() const { return session_.activity(); }
  [[nodiscard]] bool ended() const { return session_.is_ended(); }

  pasvgate::gateway::BackendTraits traits;  ///< Of the backend that `connect` connects to.
  std::string to_client;
  std::string to_backend;
  std::vector<std::string> order;                               ///< Names of the other actions.
  std::optional<pasvgate::gateway::ConnectBackend> connecting;  ///< The last that was ordered.
  std::optional<pasvgate::gateway::OpenBackendData> opened;
  std::optional<pasvgate::gateway::RelayData> relayed;
  std::optional<pasvgate::gateway::EndReason> reason;
  std::vector<pasvgate::gateway::TransferNote> transfers;
  std::vector<pasvgate::gateway::LoginNote> logins;
  std::vector<std::string> warnings;
  std::vector<std::string> refusals;  ///< By the policy: key and command.
  std::vector<std::string> users;     ///< That were counted; "nobody" for the end of one.
  bool allows_users = true;
  std::optional<pasvgate::ftp::Endpoint> dialled;  ///< Where the client is to be connected to.
  bool grants_leases = true;
  std::optional<std::uint16_t> lease_port;  ///< That was asked for.
  bool opens_ports = true;
  pasvgate::ftp::Endpoint inside{pasvgate::ftp::Address::v4({10, 0, 0, 1}), 40'000};
  bool synch = false;
  std::optional<std::chrono::milliseconds> timer;
  std::optional<pasvgate::ftp::Address> advertised = pasvgate::ftp::Address::v4({203, 0, 113, 10});

 private:
  void note(const pasvgate::gateway::Action& action);

  pasvgate::gateway::Session session_;
  std::vector<pasvgate::gateway::Action> actions_;
};

inline void Dialogue::note(const pasvgate::gateway::Action& action) {
  using namespace pasvgate::gateway;
  if (const auto* text = std::get_if<ToClient>(&action)) to_client += text->text;
  if (const auto* text = std::get_if<ToBackend>(&action)) {
    to_backend += text->text;
    synch = synch || text->synch;
  }
  if (const auto* take = std::get_if<TakeLease>(&action)) {
    order.emplace_back("TakeLease");
    lease_port = take->port;
    if (grants_leases) session_.handle(LeaseGranted{50001, advertised}, actions_);
  }
  if (const auto* count = std::get_if<CountUser>(&action)) {
    users.push_back(count->user.value_or("nobody"));
    if (count->user) session_.handle(UserCounted{allows_users}, actions_);
  }
  if (std::holds_alternative<ListenForBackend>(action)) {
    order.emplace_back("ListenForBackend");
    if (opens_ports) session_.handle(BackendPortOpened{inside}, actions_);
  }
  if (const auto* connect = std::get_if<ConnectBackend>(&action)) {
    order.emplace_back("ConnectBackend");
    connecting = *connect;
  }
  if (std::holds_alternative<DropBackend>(action)) order.emplace_back("DropBackend");
  if (const auto* start = std::get_if<StartTls>(&action)) {
    order.emplace_back("StartTls " + std::string(leg_name(start->leg)));
  }
  if (std::holds_alternative<TakeRange>(action)) order.emplace_back("TakeRange");
  if (std::holds_alternative<GoBlind>(action)) order.emplace_back("GoBlind");
  if (std::holds_alternative<EndBackend>(action)) order.emplace_back("EndBackend");
  if (std::holds_alternative<EndTls>(action)) order.emplace_back("EndTls");
  if (const auto* relay = std::get_if<RelayData>(&action)) {
    order.emplace_back("RelayData");
    relayed = *relay;
  }
  if (const auto* open = std::get_if<OpenClientData>(&action)) dialled = open->to;
  if (std::holds_alternative<CloseData>(action)) order.emplace_back("CloseData");
  if (std::holds_alternative<ResetData>(action)) order.emplace_back("ResetData");
  if (std::holds_alternative<HoldData>(action)) order.emplace_back("HoldData");
  if (std::holds_alternative<PauseClient>(action)) order.emplace_back("PauseClient");
  if (std::holds_alternative<ResumeClient>(action)) order.emplace_back("ResumeClient");
  if (std::holds_alternative<PauseBackend>(action)) order.emplace_back("PauseBackend");
  if (std::holds_alternative<ResumeBackend>(action)) order.emplace_back("ResumeBackend");
  if (std::holds_alternative<RememberNoEpsv>(action)) order.emplace_back("RememberNoEpsv");
  if (const auto* set = std::get_if<SetTimer>(&action)) timer = set->delay;
  if (std::holds_alternative<StopTimer>(action)) timer.reset();
  if (const auto* open = std::get_if<OpenBackendData>(&action)) opened = *open;
  if (const auto* end = std::get_if<End>(&action)) reason = end->reason;
  if (const auto* one = std::get_if<Note>(&action)) {
    if (const auto* transfer = std::get_if<TransferNote>(one)) transfers.push_back(*transfer);
    if (const auto* login = std::get_if<LoginNote>(one)) logins.push_back(*login);
    if (const auto* refused = std::get_if<PolicyNote>(one)) {
      refusals.push_back(std::string(refused->key) + " " + refused->command);
    }
    if (const auto* warning = std::get_if<WarningNote>(one)) warnings.emplace_back(warning->what);
  }
}
