#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "ftp/command.h"
#include "ftp/line.h"
#include "gateway/note.h"

/// What happens to a session. Views need to live only while Session::handle runs.
namespace pasvgate::gateway {

/// A line from the client's control connection, as ftp::LineFramer cut it.
struct ClientLine {
  std::string_view text;
  ftp::LineFault fault = ftp::LineFault::None;
  bool interrupt = false;  ///< Came with a Telnet interrupt (ABOR's Synch).
};
enum class Closing : std::uint8_t { Orderly, Reset };
struct ClientClosed {
  Closing how;
};

/// What the configuration says of a backend and the session has to know.
struct BackendTraits {
  config::DataMode data_mode = config::DataMode::Same;
  config::DataAddress data_address = config::DataAddress::Control;
  std::vector<ftp::Cidr> trusted_data;
  bool allow_low_data_ports = false;
  config::BackendTls tls = config::BackendTls::Off;
  bool private_data = true;  ///< PROT P, where there is TLS.
  bool lacks_epsv = false;   ///< Learnt by an earlier session (RememberNoEpsv).
};

/// Answers to ConnectBackend. The control connection to a server stands:
struct BackendConnected {
  ftp::Family family;
  BackendTraits traits = {};
};
/// No server of the backend could be reached, or none that may be.
struct BackendUnreachable {
  bool forbidden = false;  ///< The target's host has no address that `user_hosts` allows.
};
struct BackendLine {
  std::string_view text;
  ftp::LineFault fault = ftp::LineFault::None;
};
struct BackendClosed {};

/// Answers to TakeLease.
struct LeaseGranted {
  std::uint16_t port;                   ///< The advertised port.
  std::optional<ftp::Address> address;  ///< The advertised IPv4 address; none if this client has only IPv6 ones.
};
struct LeaseRefused {
  LeaseFailure why;
};
/// Answer to TakeRange.
struct RangeTaken {
  bool opened;
};
/// Something went by on a session that is blind.
struct BlindMoved {
  std::size_t transfers;  ///< Data connections of this client that stand now, whichever of its sessions they are for.
};
/// Answers to ListenForBackend.
struct BackendPortOpened {
  ftp::Endpoint at;  ///< Of the gateway, as the backend can reach it.
};
struct BackendPortRefused {};
/// Nobody came in lease_timeout to what was opened: a lease has ended. Comes again for a backend's port that stays.
struct LeaseExpired {};

/// A leg of the data channel stands: its connection was accepted or made.
struct DataConnected {
  Leg leg;
};
/// A leg that the gateway was to connect couldn't be.
struct DataUnreachable {
  Leg leg;
};
/// One direction ended in order: its end was read and told to the other side, which has acknowledged every byte.
struct DataEnded {
  ftp::Direction direction;
  std::uint64_t bytes;
};
/// A leg broke or stalled; both legs have been reset.
struct DataBroken {
  Leg leg;
  bool stalled;
  std::uint64_t downloaded;
  std::uint64_t uploaded;
};

/// Answer to CountUser.
struct UserCounted {
  bool allowed;
};
/// The client of this session, by it or by another one, has failed to log in too often.
struct Banned {};

/// What a client's TLS tells of it; empty where it tells nothing.
struct TlsIdentity {
  std::string server_name;          ///< That it asked for (SNI, RFC 6066 §3).
  std::string certificate_subject;  ///< RFC 4514, of a certificate that was verified.
};
/// Answers to StartTls.
struct TlsStarted {
  Leg leg;
  TlsIdentity client = {};
};
struct TlsFailed {
  Leg leg;
};

/// The time of the last SetTimer has passed.
struct TimerFired {};
/// The process is to end: finish what runs, then close.
struct Drain {};
/// The session is to end now, whatever runs: by the operator's order, or with the process.
struct Stop {
  EndReason reason;
};

using Event = std::variant<ClientLine, ClientClosed, BackendConnected, BackendUnreachable, BackendLine, BackendClosed,
                           LeaseGranted, LeaseRefused, RangeTaken, BlindMoved, BackendPortOpened, BackendPortRefused,
                           LeaseExpired, DataConnected, DataUnreachable, DataEnded, DataBroken, TlsStarted, TlsFailed,
                           UserCounted, Banned, TimerFired, Drain, Stop>;

}  // namespace pasvgate::gateway
