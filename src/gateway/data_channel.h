#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "ftp/address.h"
#include "ftp/command.h"
#include "gateway/event.h"
#include "gateway/plan.h"

namespace pasvgate::gateway {

/// Where the session's one data channel stands, from its set-up to its end. Values only: Session gives the orders.
class DataChannel {
 public:
  enum class State : std::uint8_t {
    None,       ///< Not set up, or used up.
    SettingUp,  ///< The backend is asked.
    Leasing,    ///< The backend's side is known, a public port is asked for.
    Waiting,    ///< The client was told, and not both legs stand yet.
    Open,       ///< Both legs stand, bytes move.
    Expired,    ///< Not used in time, or the client was refused: the backend may wait for it all the same.
    Broken      ///< A leg broke or never stood; both are gone.
  };
  /// How the payload of a transfer in one direction stands.
  enum class Payload : std::uint8_t { Unused, Moving, Delivered, Broken };
  enum class LegState : std::uint8_t { Idle, Connecting, Stands };

  /// A PASV, EPSV, PORT or EPRT begins; `client` is where an active client listens.
  void set_up(const DataPlan& plan, const ftp::Endpoint& client) {
    *this = {};
    state_ = State::SettingUp;
    plan_ = plan;
    client_ = client;
  }
  /// Where a passive backend listens.
  void backend_at(std::optional<ftp::Address> address, std::uint16_t port) {
    address_ = address;
    port_ = port;
  }
  void leasing() { state_ = State::Leasing; }
  /// The client has its answer.
  void is_set_up() { state_ = State::Waiting; }
  void connecting(Leg leg) { leg_state(leg) = LegState::Connecting; }
  void connected(Leg leg) { leg_state(leg) = LegState::Stands; }
  void opened() { state_ = State::Open; }
  void ended(const DataEnded& end) { moved_.at(index(end.direction)) = {true, end.bytes}; }
  void expired() { state_ = State::Expired; }
  void broken() { state_ = State::Broken; }
  void broken(const DataBroken& how) {
    state_ = State::Broken;
    broken_leg_ = how.leg;
    stalled_ = how.stalled;
    moved_.at(index(ftp::Direction::Download)).bytes = how.downloaded;
    moved_.at(index(ftp::Direction::Upload)).bytes = how.uploaded;
  }
  void clear() { *this = {}; }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const DataPlan& plan() const { return plan_; }
  [[nodiscard]] const ftp::Endpoint& client() const { return client_; }
  [[nodiscard]] std::optional<ftp::Address> address() const { return address_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] bool stalled() const { return stalled_; }
  [[nodiscard]] bool is_idle(Leg leg) const { return legs_.at(std::to_underlying(leg)) == LegState::Idle; }
  [[nodiscard]] bool is_connecting(Leg leg) const { return legs_.at(std::to_underlying(leg)) == LegState::Connecting; }
  /// The leg's connection came, whatever became of it.
  [[nodiscard]] bool stands(Leg leg) const { return legs_.at(std::to_underlying(leg)) == LegState::Stands; }
  [[nodiscard]] std::uint64_t bytes(ftp::Direction direction) const { return moved_.at(index(direction)).bytes; }
  [[nodiscard]] Payload payload(ftp::Direction direction) const {
    switch (state_) {
      case State::None:
      case State::SettingUp:
      case State::Leasing:
      case State::Expired:
        return Payload::Unused;
      case State::Waiting:
        return Payload::Moving;
      case State::Open:
        return moved_.at(index(direction)).ended ? Payload::Delivered : Payload::Moving;
      // A backend that resets an upload it has acknowledged didn't read it; a client that resets has read its download.
      case State::Broken:
        return moved_.at(index(direction)).ended &&
                       !(direction == ftp::Direction::Upload && broken_leg_ == Leg::Backend)
                   ? Payload::Delivered
                   : Payload::Broken;
    }
    std::unreachable();
  }

 private:
  struct Moved {
    bool ended = false;
    std::uint64_t bytes = 0;
  };
  static std::size_t index(ftp::Direction direction) { return std::to_underlying(direction); }
  LegState& leg_state(Leg leg) { return legs_.at(std::to_underlying(leg)); }

  State state_ = State::None;
  DataPlan plan_;
  ftp::Endpoint client_;
  std::optional<ftp::Address> address_;
  std::uint16_t port_ = 0;
  std::array<LegState, 2> legs_{};  ///< By Leg.
  Leg broken_leg_ = Leg::Client;
  bool stalled_ = false;
  std::array<Moved, 2> moved_{};
};

}  // namespace pasvgate::gateway
