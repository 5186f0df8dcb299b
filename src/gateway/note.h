#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "ftp/address.h"
#include "ftp/command.h"

/// What the core has to tell people: the driver hands notes to `observe`, which logs and counts them. Nothing here
/// holds a password.
namespace pasvgate::gateway {

enum class Leg : std::uint8_t { Client, Backend };
std::string_view leg_name(Leg leg);  ///< "client", "backend"

/// Who opens a leg's data connection (design §1).
enum class Mode : std::uint8_t { Passive, Active };
std::string_view mode_name(Mode mode);  ///< "passive", "active"

/// A command got its final reply.
struct CommandNote {
  ftp::Verb verb;
  int code;
};
/// A login was answered.
struct LoginNote {
  std::string user;  ///< Raw bytes from the client: escape before printing.
  bool ok;
};
/// A command was refused by the policy.
struct PolicyNote {
  std::string_view key;  ///< Of the configuration.
  std::string command;   ///< Masked.
};
/// An address or port inside a command or reply was rewritten.
struct RewriteNote {
  ftp::Verb verb;       ///< Pasv, Epsv, Port or Eprt: what the client asked.
  std::string backend;  ///< The backend's side of it: its 227 or 229, raw, or the PORT or EPRT that it was sent.
  std::string client;   ///< The client's: the reply that it was sent, or its command.
};
/// A passive port was asked for and not got.
enum class LeaseFailure : std::uint8_t { Exhausted, ClientLimit, NotInRange };
std::string_view failure_name(LeaseFailure why);  ///< "exhausted", …
struct LeaseNote {
  LeaseFailure why;
};
/// Nobody opened this leg of the data channel in time.
struct DataTimeoutNote {
  Leg leg;
  Mode mode;
};
/// A transfer ended, its final reply is on its way.
struct TransferNote {
  enum class Result : std::uint8_t { Ok, Refused, Aborted, Broken, Stalled };
  ftp::Verb verb;
  ftp::Direction direction;
  std::string path;  ///< The command's argument, raw.
  Result result;
  std::uint64_t bytes;  ///< Moved in the transfer's direction.
  bool ascii;           ///< TYPE A (or E), not I.
  int code;             ///< Told to the client; 0 when it was gone.
  bool contradicted;    ///< The backend called it complete, and it wasn't: the client was told so instead.
  /// How the data channel was set up: what the client and the backend were asked. Other: it never was.
  ftp::Verb client_setup;
  ftp::Verb backend_setup;
};
std::string_view result_name(TransferNote::Result result);  ///< "ok", "refused", "aborted", "broken", "stalled"

/// Something a peer did that a person should know about.
struct WarningNote {
  std::string_view what;  ///< A fixed sentence of ours.
  std::string detail;     ///< The peer's own text, raw; may be empty.
};

using Note = std::variant<CommandNote, LoginNote, PolicyNote, RewriteNote, LeaseNote, DataTimeoutNote, TransferNote,
                          WarningNote>;

/// Why a session ended.
enum class EndReason : std::uint8_t {
  Quit,
  ClientClosed,
  ClientReset,
  BackendClosed,
  BackendUnreachable,
  GreetingTimeout,
  LoginTimeout,
  IdleTimeout,
  ReplyTimeout,
  TlsFailed,
  Drained,
  Operator,  ///< Who ended it, or banned its client.
  ForeignProtocol,
  Refused
};
std::string_view reason_name(EndReason reason);  ///< "quit", "client_closed", …

}  // namespace pasvgate::gateway
