#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gateway/session.h"

// Random orders of events with peers that keep to the protocol: whatever comes first, each command gets one final
// reply, each lease ends once, and nothing is ordered behind the end. (With hostile peers: tests/fuzz/session.cpp.)
using namespace pasvgate;
using namespace pasvgate::gateway;

namespace {

class Orderly {
 public:
  Orderly(unsigned seed, config::DataMode mode, ftp::Family backend)
      : random_(seed), mode_(mode), family_(backend), session_({}) {
    session_.begin(actions_);
    carry_out();
    connect();
    play(BackendLine{"220 ready"});
    greets_ = false;
    finals_ = 0;
  }
  /// One whose backend depends on its user.
  Orderly(unsigned seed, config::DataMode mode, ftp::Family backend, const config::Listener& rules)
      : random_(seed),
        mode_(mode),
        family_(backend),
        is_fronted_(true),
        session_({.counts_users = true, .rules = &rules}) {
    session_.begin(actions_);
    carry_out();
    finals_ = 0;
  }

  /// `count` commands, then QUIT, and everything that may happen in between in any order.
  void walk(int count, int steps = 3000) {
    static const std::array<const char*, 14> kCommands{"PASV",
                                                       "EPSV",
                                                       "PORT 192,0,2,1,200,10",
                                                       "EPRT |1|192.0.2.1|51210|",
                                                       "RETR f",
                                                       "STOR f",
                                                       "LIST",
                                                       "REST 5",
                                                       "NOOP",
                                                       "TYPE I",
                                                       "ABOR",
                                                       "STAT",
                                                       "PORT 10,0,0,1,1,1",
                                                       "EPSV 7"};
    static const std::array<const char*, 13> kFronted{"USER anna",
                                                      "USER bert",
                                                      "USER carl@10.0.0.1",
                                                      "USER carl@192.0.2.1",
                                                      "USER dora@ftp.internal",
                                                      "PASS yes",
                                                      "PASS no",
                                                      "HOST two.example",
                                                      "CLNT x",
                                                      "OPTS UTF8 ON",
                                                      "REIN",
                                                      "FEAT",
                                                      "PASS yes"};
    for (int step = 0; step < steps && !session_.is_ended(); ++step) {
      auto choices = enabled();
      const bool may_speak = sent_ < count;
      const auto pick = random_() % (choices.size() + (may_speak ? 2 : 0) + 1);
      if (pick < choices.size()) {
        choices[pick]();
      } else if (may_speak && pick < choices.size() + 2) {
        const bool of_front = is_fronted_ && random_() % 3 != 0;
        say(of_front ? kFronted.at(random_() % kFronted.size()) : kCommands.at(random_() % kCommands.size()));
      } else if (choices.empty() && !may_speak && !quit_) {
        quit_ = true;
        say("QUIT");
      } else if (choices.empty() && quit_) {
        if (timer_)
          play(TimerFired{});
        else
          break;
      }
    }
  }

  /// An order to end, at a random moment: one last reply, and the note of what ran.
  void stop_within(int count) {
    const auto reason = random_() % 2 == 0 ? EndReason::Operator : EndReason::Drained;
    const auto steps = random_() % 60;
    walk(count, static_cast<int>(steps));
    if (session_.is_ended()) return;
    const int finals = finals_;
    const int transfers = session_.transfer() != nullptr ? 1 : 0;
    cut_ = 0;
    play(Stop{reason});
    CHECK(session_.is_ended());
    CHECK(reason_ == reason);
    CHECK(finals_ == finals + 1);
    CHECK(cut_ == transfers);
    CHECK(leases_ == 0);
  }

  void check() const {
    CHECK(session_.is_ended());
    CHECK(finals_ == sent_);
    CHECK(leases_ == 0);
  }

 private:
  void say(const char* line) {
    ++sent_;
    play(ClientLine{line});
  }

  [[nodiscard]] std::vector<std::function<void()>> enabled() {
    std::vector<std::function<void()>> choices;
    if (connecting_) {
      choices.emplace_back([this] { connect(); });
      if (may_be_forbidden_)
        choices.emplace_back([this] {
          connecting_ = false;
          play(BackendUnreachable{.forbidden = true});
        });
    }
    if (greets_)
      choices.emplace_back([this] {
        greets_ = false;
        play(BackendLine{random_() % 2 == 0 ? "120 wait" : "220-hello"});
        play(BackendLine{"220 ready"});
      });
    if (asked_lease_)
      choices.emplace_back([this] {
        asked_lease_ = false;
        ++leases_;
        play(LeaseGranted{50001, ftp::Address::v4({203, 0, 113, 10})});
      });
    if (asked_port_)
      choices.emplace_back([this] {
        asked_port_ = false;
        listening_ = true;
        play(BackendPortOpened{{ftp::Address::v4({10, 0, 0, 1}), 40'000}});
      });
    if (leases_ > 0)
      choices.emplace_back([this] {
        --leases_;
        play(DataConnected{Leg::Client});
      });
    for (const Leg leg : {Leg::Client, Leg::Backend}) {
      bool& dials = dialling_.at(std::to_underlying(leg));
      if (dials)
        choices.emplace_back([this, leg, &dials] {
          dials = false;
          play(DataConnected{leg});
        });
    }
    if (listening_ && transferring_)
      choices.emplace_back([this] {
        listening_ = false;
        play(DataConnected{Leg::Backend});
      });
    for (const auto direction : {ftp::Direction::Download, ftp::Direction::Upload}) {
      bool& moves = moving_.at(std::to_underlying(direction));
      if (moves)
        choices.emplace_back([this, direction, &moves] {
          moves = false;
          play(DataEnded{direction, 7});
        });
    }
    if (transferring_) choices.emplace_back([this] { end_transfer(); });
    // ABOR alone is read during a transfer.
    const bool reads = !greets_ && !heard_.empty() && (!transferring_ || heard_.front().contains("ABOR"));
    if (reads) choices.emplace_back([this] { answer(); });
    return choices;
  }

  void end_transfer() {
    transferring_ = false;
    play(BackendLine{"226 done"});
  }

  void answer() {
    const std::string command = std::exchange(heard_.front(), {});
    heard_.pop_front();
    const std::string verb = command.substr(0, 4);
    if (verb == "PASV" || verb == "EPSV") {
      has_setup_ = true;
      return play(BackendLine{verb == "PASV" ? "227 ok (10,0,0,5,4,5)" : "229 ok (|||1029|)"});
    }
    if (verb == "PORT" || verb == "EPRT") {
      has_setup_ = true;
      return play(BackendLine{"200 ok"});
    }
    if (verb == "RETR" || verb == "STOR" || verb == "LIST") {
      if (!std::exchange(has_setup_, false)) return play(BackendLine{"425 PASV first"});
      if (random_() % 4 == 0) return play(BackendLine{"550 no"});
      transferring_ = true;
      return play(BackendLine{"150 here"});
    }
    if (verb == "ABOR") {
      if (std::exchange(transferring_, false)) play(BackendLine{"426 aborted"});
      return play(BackendLine{"226 ok"});
    }
    if (verb == "USER") return play(BackendLine{"331 go on"});
    if (verb == "PASS") return play(BackendLine{command.contains("yes") ? "230 in" : "530 no"});
    if (verb == "REIN") return play(BackendLine{"220 anew"});
    if (verb == "HOST" || verb == "CLNT") return play(BackendLine{"500 what"});
    if (verb == "STAT") return play(BackendLine{"211 fine"});
    if (verb == "REST") return play(BackendLine{"350 at 5"});
    play(BackendLine{verb == "QUIT" ? "221 bye" : "200 ok"});
  }

  void connect() {
    connecting_ = false;
    connected_ = true;
    greets_ = true;
    play(BackendConnected{family_, {.data_mode = mode_}});
  }

  void play(const Event& event) {
    session_.handle(event, actions_);
    carry_out();
  }

  void carry_out() {
    while (!actions_.empty()) {
      for (const auto& action : std::exchange(actions_, {})) {
        CHECK_FALSE(ended_);
        std::visit([this](const auto& one) { execute(one); }, action);
      }
    }
  }

  template <typename Any>
  void execute(const Any&) {}
  void execute(const ToClient& told) {
    std::string_view text = told.text;
    while (!text.empty()) {
      const auto line = text.substr(0, text.find("\r\n"));
      if (line.size() > 3 && line[3] == ' ' && line[0] > '1') ++finals_;
      text.remove_prefix(line.size() + 2);
    }
  }
  void execute(const ToBackend& told) {
    CHECK(connected_);
    heard_.push_back(told.text);
  }
  void execute(const ConnectBackend& order) {
    CHECK_FALSE(connected_);
    CHECK_FALSE(connecting_);
    connecting_ = true;
    may_be_forbidden_ = order.target.host.has_value();
  }
  void execute(const DropBackend&) {
    CHECK(connected_);
    CHECK(heard_.empty());
    connected_ = has_setup_ = transferring_ = false;
  }
  void execute(const CountUser& order) {
    if (order.user) session_.handle(UserCounted{true}, actions_);
  }
  void execute(const TakeLease&) {
    CHECK(leases_ == 0);
    CHECK_FALSE(asked_lease_);
    asked_lease_ = true;
  }
  void execute(const ListenForBackend&) {
    CHECK_FALSE(asked_port_);
    CHECK_FALSE(listening_);
    asked_port_ = true;
  }
  void execute(const OpenBackendData&) { dialling_.at(1) = true; }
  void execute(const OpenClientData&) { dialling_.at(0) = true; }
  void execute(const RelayData&) { moving_ = {true, true}; }
  void execute(const CloseData&) { drop(); }
  void execute(const ResetData&) { drop(); }
  void execute(const HoldData&) { drop(); }
  void execute(const SetTimer&) { timer_ = true; }
  void execute(const StopTimer&) { timer_ = false; }
  void execute(const Note& note) {
    const auto* transfer = std::get_if<TransferNote>(&note);
    if (transfer != nullptr && transfer->result == TransferNote::Result::Aborted) ++cut_;
  }
  void execute(const End& end) {
    ended_ = true;
    reason_ = end.reason;
    drop();
  }
  void drop() {
    leases_ = 0;
    asked_lease_ = asked_port_ = listening_ = false;
    dialling_ = moving_ = {};
  }

  std::mt19937 random_;
  config::DataMode mode_;
  ftp::Family family_;
  bool is_fronted_ = false;
  Session session_;
  std::vector<Action> actions_;
  std::deque<std::string> heard_;  // By the backend.
  int sent_ = 0;
  int finals_ = 0;
  int leases_ = 0;
  bool connecting_ = false;
  bool may_be_forbidden_ = false;
  bool connected_ = false;
  bool greets_ = false;  // The backend has yet to.
  bool quit_ = false;
  bool ended_ = false;
  EndReason reason_ = EndReason::Quit;
  int cut_ = 0;  // Transfers that were noted as aborted.
  bool timer_ = false;
  bool asked_lease_ = false;
  bool asked_port_ = false;
  bool listening_ = false;
  bool has_setup_ = false;
  bool transferring_ = false;
  std::array<bool, 2> dialling_{};  // By Leg.
  std::array<bool, 2> moving_{};    // By Direction.
};

}  // namespace

TEST_CASE("whatever the order of events, each command has one final reply") {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    const auto mode = static_cast<config::DataMode>(seed % 3);
    const auto family = seed / 3 % 2 == 0 ? ftp::Family::V4 : ftp::Family::V6;
    CAPTURE(seed);
    Orderly world(seed, mode, family);
    world.walk(12);
    world.check();
  }
}

TEST_CASE("the same where the gateway answers first, and users go from backend to backend") {
  config::Listener rules;
  rules.routes = {{.user = {"anna"}, .backend = "one"}, {.host = {"two.example"}, .backend = "two"}};
  rules.user_hosts = {{.host = "ftp.internal"}, {.host = {}, .network = ftp::Cidr::parse("10.0.0.0/8")}};
  for (unsigned seed = 0; seed < 3000; ++seed) {
    const auto mode = static_cast<config::DataMode>(seed % 3);
    const auto family = seed / 3 % 2 == 0 ? ftp::Family::V4 : ftp::Family::V6;
    CAPTURE(seed);
    Orderly world(seed, mode, family, rules);
    world.walk(16);
    world.check();
  }
}

TEST_CASE("whatever runs, an order to end is the end") {
  config::Listener rules;
  rules.routes = {{.user = {"anna"}, .backend = "one"}};
  for (unsigned seed = 0; seed < 2000; ++seed) {
    const auto mode = static_cast<config::DataMode>(seed % 3);
    CAPTURE(seed);
    Orderly(seed, mode, ftp::Family::V4).stop_within(12);
    Orderly(seed, mode, ftp::Family::V4, rules).stop_within(16);
  }
}
