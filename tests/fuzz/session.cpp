#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
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
  World() { session_.begin(actions_); }

  void step(std::uint8_t choice, std::string_view text) {
    switch (choice % 18) {
      case 0:
      case 1:
        return play(ClientLine{text});
      case 2:
      case 3:
        return play(BackendLine{text});
      case 4:
        return play(BackendConnected{ftp::Family::V4});
      case 5:
        return play(BackendConnected{ftp::Family::V6});
      case 6:
        return play(LeaseGranted{50000, ftp::Address::v4({203, 0, 113, 10})});
      case 7:
        return play(LeaseRefused{LeaseFailure::Exhausted});
      case 8:
        return play(LeaseExpired{});
      case 9:
        return play(DataAccepted{});
      case 10:
        return play(DataUnreachable{});
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
      default:
        return;
    }
  }

 private:
  void play(const Event& event) {
    // The driver never reports what can't have happened.
    if (std::holds_alternative<BackendConnected>(event)) {
      if (connected_) return;
      connected_ = true;
    }
    if (std::holds_alternative<BackendLine>(event) && !connected_) return;
    if (std::holds_alternative<LeaseGranted>(event) || std::holds_alternative<LeaseRefused>(event)) {
      if (!asked_) return;
      asked_ = false;
      leased_ = std::holds_alternative<LeaseGranted>(event);
    }
    if (std::holds_alternative<LeaseExpired>(event) || std::holds_alternative<DataAccepted>(event)) {
      if (!leased_) return;
      leased_ = false;
    }
    session_.handle(event, actions_);
    for (const auto& action : actions_) check(action);
    actions_.clear();
  }

  void check(const Action& action) {
    require(!ended_);
    if (std::holds_alternative<TakeLease>(action)) {
      require(!asked_ && !leased_);
      asked_ = true;
    }
    if (std::holds_alternative<DropLease>(action)) asked_ = leased_ = false;
    if (const auto* text = std::get_if<ToBackend>(&action)) {
      require(connected_);
      require(text->text.ends_with("\r\n"));
      require(text->text.find('\n') == text->text.size() - 1);
    }
    if (const auto* text = std::get_if<ToClient>(&action)) require(text->text.ends_with("\r\n"));
    if (std::holds_alternative<End>(action)) ended_ = true;
  }

  Session session_{SessionOptions{.limits = {.pipelined_commands = 4}}};
  std::vector<Action> actions_;
  bool connected_ = false;
  bool asked_ = false;
  bool leased_ = false;
  bool ended_ = false;
};

}  // namespace

// The input: records of a choice byte and a line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  World world;
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
