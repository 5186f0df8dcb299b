#include <algorithm>

#include "gateway/session.h"

// What the session waits for, and for how long: one timer, which is set anew when that changes.
namespace pasvgate::gateway {
namespace {

// Between an ABOR and the reset of the backend's data connection.
constexpr config::Milliseconds kAbortGrace{1000};
// How long a backend may keep its 1xx back before its active client is connected to all the same: some send none (E6).
constexpr config::Milliseconds kSilence{1000};

}  // namespace

/// What is bound to go on or to break by itself: by the relay's stall timeout, a connect's, or the lease's end.
bool Session::payload_moves() const {
  using enum Leg;
  if (replies_.empty() || !replies_.front().transfer) return false;
  if (data_.payload(replies_.front().direction()) != DataChannel::Payload::Moving) return false;
  if (data_.state() == DataChannel::State::Open || data_.is_connecting(Client) || data_.is_connecting(Backend))
    return true;
  return data_.stands(Backend) && data_.plan().client == Mode::Passive;
}

Session::Wait Session::wait() const {
  if (handshake_) return Wait::Handshake;
  if (is_at_front()) return Wait::Login;
  if (!connected_) return Wait::Nothing;  // the driver bounds each attempt to connect
  if (!greeted_) return Wait::Greeting;
  // Nothing makes its time longer: no transfer that is refused, and no ABOR.
  if (!logged_in_) return Wait::Login;
  if (aborting_ && !replies_.empty()) return Wait::Abort;
  if (!replies_.empty() && replies_.front().answered) return Wait::TransferReply;
  if (!replies_.empty() && replies_.front().transfer) {
    if (payload_moves()) return Wait::Nothing;
    if (waits_for_word()) return Wait::Word;
    // Only an active backend's connection is waited for with nothing else to bound it.
    const bool is_sure = replies_.front().preliminary || held_code_ != 0;
    const bool awaits_backend = data_.state() == DataChannel::State::Waiting &&
                                (data_.stands(Leg::Client) || data_.plan().client == Mode::Active);
    if (awaits_backend && is_sure) return Wait::Data;
    if (held_code_ != 0) return Wait::Nothing;  // the lease's end bounds it
    const bool is_over = data_.state() == DataChannel::State::Open || data_.state() == DataChannel::State::Broken;
    return is_over || client_gone_ ? Wait::TransferReply : Wait::Reply;
  }
  if (client_gone_) return Wait::TransferReply;
  return replies_.empty() ? Wait::Idle : Wait::Reply;
}

void Session::set_timer(bool progress) {
  const Wait now = wait();
  const bool restarts = progress && (now == Wait::Idle || now == Wait::Reply);
  if (now == waiting_ && !restarts) return;
  waiting_ = now;
  const auto& timeouts = *options_.timeouts;
  switch (now) {
    case Wait::Nothing:
      return send(StopTimer{});
    case Wait::Handshake:
      return send(SetTimer{timeouts.tls_handshake});
    case Wait::Greeting:
      return send(SetTimer{timeouts.greeting});
    case Wait::Login:
      return send(SetTimer{timeouts.login});
    case Wait::Idle:
      return send(SetTimer{timeouts.idle});
    case Wait::Reply:
      return send(SetTimer{timeouts.reply});
    case Wait::Abort:
      return send(SetTimer{holding_data_ ? std::min(timeouts.abort, kAbortGrace) : timeouts.abort});
    case Wait::Word:
      return send(SetTimer{kSilence});
    case Wait::Data:
      return send(SetTimer{timeouts.data_connect});
    case Wait::TransferReply:
      return send(SetTimer{timeouts.transfer_reply});
  }
}

}  // namespace pasvgate::gateway
