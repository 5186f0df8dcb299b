#include <algorithm>
#include <utility>

#include "gateway/session.h"

// A session that passes through encrypted (tls "passthrough", design §5): the backend's 234 to AUTH is the last line
// that is read here, behind it both ends talk in TLS with each other.
namespace pasvgate::gateway {
namespace {

// A draining session's, behind the end of its last transfer.
constexpr config::Milliseconds kLastReply{1000};

}  // namespace

/// Until every port waits for this client its 234 is kept, and nothing is read.
void Session::pass_through(const ftp::ReplyLine& line) {
  replies_.remove(std::exchange(answering_, nullptr));
  send(Note{CommandNote{ftp::Verb::Auth, line.code}});
  auth_reply_ = line.line;
  send(PauseClient{});
  send(PauseBackend{});
  send(TakeRange{});
}

void Session::on(const RangeTaken& taken) {
  if (auth_reply_.empty()) return;
  if (!taken.opened) return close_with(421, "Service not available, try again later.", EndReason::TlsFailed);
  // As where the gateway answers AUTH itself (`secure`).
  if (!commands_.empty()) {
    warn("a command came in clear behind AUTH");
    return end(EndReason::TlsFailed);
  }
  discard_data();
  to_client(std::exchange(auth_reply_, {}));
  blind_ = true;
  send(GoBlind{});
  send(SetTimer{options_.timeouts->idle});
}

void Session::take_blind(const Event& event) {
  if (const auto* moved = std::get_if<BlindMoved>(&event)) {
    const std::size_t before = std::exchange(blind_transfers_, moved->transfers);
    // Behind a transfer comes its final reply, which nobody here can see: so it has some time, once.
    if (draining_ && blind_transfers_ == 0) {
      if (before > 0) send(SetTimer{std::min(options_.timeouts->transfer_reply, kLastReply)});
      return;
    }
  } else if (const auto* closed = std::get_if<ClientClosed>(&event)) {
    if (closed->how == Closing::Reset) return end(EndReason::ClientReset);
    // It may have asked something before, QUIT at least, and the answers go to it as in clear.
    client_gone_ = true;
    send(EndBackend{});
  } else if (std::holds_alternative<BackendClosed>(event)) {
    return end(client_gone_ ? EndReason::ClientClosed : EndReason::BackendClosed);
  } else if (std::holds_alternative<TlsFailed>(event)) {
    return end(EndReason::TlsFailed);
  } else if (std::holds_alternative<TimerFired>(event)) {
    return end(client_gone_ ? EndReason::ClientClosed : draining_ ? EndReason::Drained : EndReason::IdleTimeout);
  } else if (std::holds_alternative<Drain>(event)) {
    draining_ = true;
  } else if (const auto* stop = std::get_if<Stop>(&event)) {
    return end(stop->reason);
  } else {
    return;
  }
  if (blind_transfers_ > 0) return send(StopTimer{});
  if (draining_) return end(EndReason::Drained);
  send(SetTimer{client_gone_ ? options_.timeouts->transfer_reply : options_.timeouts->idle});
}

}  // namespace pasvgate::gateway
