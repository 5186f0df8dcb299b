#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "ftp/address.h"
#include "gateway/note.h"
#include "gateway/route.h"

/// What a session wants done, in order. The driver in `server` has one function an action and decides nothing.
namespace pasvgate::gateway {

/// Answered by BackendConnected or BackendUnreachable.
struct ConnectBackend {
  Target target;
  std::string user;  ///< As the backend will see it; empty where the route didn't need to know.
};
/// Another backend is to take its place: close the control connection without a word. Nothing more is told of it.
struct DropBackend {};
struct ToClient {
  std::string text;  ///< Whole lines with CRLF.
};
struct ToBackend {
  std::string text;    ///< Whole lines with CRLF.
  bool synch = false;  ///< Precede by Telnet IP and Synch (urgent), as the client did.
};

/// Lease a public port. Answered by LeaseGranted or LeaseRefused, maybe later. There is never a second one open.
struct TakeLease {
  std::optional<std::uint16_t> port;  ///< This one or none (`mapping` "same").
};
/// From now on every port of the pool waits for this client, until the session ends. Answered by RangeTaken.
struct TakeRange {};
/// From now on the control connections carry bytes that only their ends understand, and data connections go on to the
/// backend's port of the same number. Answered by BlindMoved, again and again.
struct GoBlind {};
/// The client of a blind session has ended its side: so does the backend's, behind what the client said.
struct EndBackend {};
/// Listen for one data connection from the backend, and from nobody else. Answered by BackendPortOpened or
/// BackendPortRefused.
struct ListenForBackend {};
// The next two are answered by DataConnected or DataUnreachable.
/// Connect to the backend's data port.
struct OpenBackendData {
  std::optional<ftp::Address> address;  ///< None: the backend's control peer.
  std::uint16_t port;
};
/// Connect to the client, which listens there.
struct OpenClientData {
  ftp::Endpoint to;
};
/// Both legs stand: relay between them, with TLS on these.
struct RelayData {
  bool client_tls = false;
  bool backend_tls = false;
};
/// The backend has said that the transfer begins, or that it is over.
struct ExpectData {
  ftp::Direction payload;  ///< Which way it goes; nothing is due on the other one.
};
/// Close all there is of the data channel, leases and listening ports included: with FIN on both legs, or with a reset.
struct CloseData {};
struct ResetData {};
/// The client's data leg gets a reset, the backend's stands still, unread, until CloseData or ResetData.
struct HoldData {};

/// The session is this user's from now on, or nobody's any more. With a user it is answered by UserCounted, before
/// anything else happens.
struct CountUser {
  std::optional<std::string> user;  ///< See user_key.
};

/// Begin TLS on a control connection, behind what was sent. Answered by TlsStarted or TlsFailed; until then nothing is
/// sent on it, and a byte that came in clear is a failure.
struct StartTls {
  Leg leg;
};
/// The client's control connection goes on in clear (CCC).
struct EndTls {};

/// Reading from a control connection stops and goes on; used for bounded queues and held replies.
struct PauseClient {};
struct ResumeClient {};
struct PauseBackend {};
struct ResumeBackend {};

/// Replaces the session's one timer.
struct SetTimer {
  std::chrono::milliseconds delay;
};
struct StopTimer {};

/// This backend has no EPSV: later sessions begin with PASV.
struct RememberNoEpsv {};
/// Send what is queued for the client, then close everything. Nothing follows.
struct End {
  EndReason reason;
};

using Action = std::variant<ConnectBackend, DropBackend, ToClient, ToBackend, TakeLease, TakeRange, GoBlind, EndBackend,
                            ListenForBackend, OpenBackendData, OpenClientData, RelayData, ExpectData, CloseData,
                            ResetData, HoldData, CountUser, StartTls, EndTls, PauseClient, ResumeClient, PauseBackend,
                            ResumeBackend, SetTimer, StopTimer, RememberNoEpsv, Note, End>;

}  // namespace pasvgate::gateway
