#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "ftp/address.h"
#include "ftp/command.h"
#include "gateway/event.h"

namespace pasvgate::gateway {

/// Where the session's one data channel stands, from its set-up to its end. Values only: Session gives the orders.
class DataChannel {
 public:
  enum class State : std::uint8_t {
    None,       ///< Not set up, or used up.
    SettingUp,  ///< The backend was asked for a port.
    Leasing,    ///< The backend's port is known, a public one is asked for.
    Waiting,    ///< The client was told a port and hasn't connected yet.
    Open,       ///< The client is connected; the backend's leg connects or relays.
    Expired,    ///< The client was told a port and didn't come in time.
    Broken      ///< A leg broke, or the client never came; both legs are gone.
  };
  /// How the payload of a transfer in one direction stands.
  enum class Payload : std::uint8_t { Unused, Moving, Delivered, Broken };

  /// A PASV or EPSV begins: `verb` is what the client asked.
  void set_up(ftp::Verb verb) {
    *this = {};
    state_ = State::SettingUp;
    asked_ = verb;
  }
  void backend_at(std::optional<ftp::Address> address, std::uint16_t port) {
    state_ = State::Leasing;
    address_ = address;
    port_ = port;
  }
  void leased() { state_ = State::Waiting; }
  void accepted() {
    state_ = State::Open;
    connected_ = true;
  }
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
  [[nodiscard]] ftp::Verb asked() const { return asked_; }
  [[nodiscard]] std::optional<ftp::Address> address() const { return address_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] bool stalled() const { return stalled_; }
  /// The client's data connection came, whatever became of it.
  [[nodiscard]] bool was_connected() const { return connected_; }
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

  State state_ = State::None;
  ftp::Verb asked_ = ftp::Verb::Pasv;
  std::optional<ftp::Address> address_;
  std::uint16_t port_ = 0;
  Leg broken_leg_ = Leg::Client;
  bool stalled_ = false;
  bool connected_ = false;
  std::array<Moved, 2> moved_{};
};

}  // namespace pasvgate::gateway
