#include <algorithm>
#include <utility>

#include "server/session_driver.h"
#include "server/worker.h"

// One function an action of gateway::Session; those of the data channel are in session_data.cpp,
// those of TLS in session_tls.cpp, those of the backend in session_backend.cpp.
namespace pasvgate::server {
namespace {

// Seconds' worth of limits.commands_per_second that a client may send at once.
constexpr std::size_t kCommandBurst = 10;

}  // namespace

void SessionDriver::execute(const gateway::ToClient& action) { client_.stream->queue(action.text); }

void SessionDriver::execute(const gateway::ToBackend& action) {
  if (!backend_.stream) return;
  // RFC 959 §4.1.3 and RFC 854: IP, then Synch, whose data mark follows the urgent byte. TLS has no urgent byte.
  if (action.synch && backend_.stream->tls() == nullptr) {
    backend_.stream->queue_urgent("\xff\xf4\xff");
    backend_.stream->queue("\xf2");
  }
  backend_.stream->queue(action.text);
}

void SessionDriver::execute(const gateway::PauseClient&) {
  client_.session_paused = true;
  client_.stream->read(false);
}

void SessionDriver::execute(const gateway::ResumeClient&) {
  client_.session_paused = false;
  unread_waits_ = true;
  client_.stream->read(client_.may_read());
}

void SessionDriver::execute(const gateway::PauseBackend&) {
  backend_.session_paused = true;
  backend_.stream->read(false);
}

void SessionDriver::execute(const gateway::ResumeBackend&) {
  backend_.session_paused = false;
  unread_waits_ = true;
  backend_.stream->read(backend_.may_read());
}

void SessionDriver::execute(const gateway::SetTimer& action) { timer_.start(action.delay); }

void SessionDriver::execute(const gateway::StopTimer&) { timer_.stop(); }

void SessionDriver::execute(const gateway::RememberNoEpsv&) {
  if (own_backend_) return;
  worker_.shared().without_epsv.with([&](auto& backends) { backends.insert(std::string(backend_name_)); });
}

void SessionDriver::execute(const gateway::CountUser& action) {
  if (!action.user) return place_.log_out();
  const bool allowed = place_.log_in(backend_name_, *action.user, config_->limits.sessions_per_user);
  if (!allowed) {
    worker_.shared().metrics.limit_hit(observe::Metrics::Limit::SessionsPerUser);
    refused("login", "limits.sessions_per_user is reached");
  }
  handle(gateway::UserCounted{allowed});
}

/// A line of the client's has been taken: may the next one follow at once? Nobody is told of it, TCP makes the client
/// wait.
void SessionDriver::pace_commands() {
  const gateway::Rate::Limit limit{.per_second = config_->limits.commands_per_second,
                                   .burst = config_->limits.commands_per_second * kCommandBurst};
  if (limit.per_second == 0 || place_.is_exempt() || ended_) return;
  const auto now = monotonic_now();
  commands_.count(now, limit);
  const auto wait = commands_.wait(now, limit);
  if (wait.count() == 0) return;
  worker_.shared().metrics.limit_hit(observe::Metrics::Limit::CommandsPerSecond);
  if (!pace_timer_) {
    refused("commands", "limits.commands_per_second is reached, they wait");
    pace_timer_ = net::Timer(worker_.loop(), [this] {
      const Turn turn(*this);
      client_.paced = false;
      if (ended_) return;
      unread_waits_ = true;
      client_.stream->read(client_.may_read());
    });
  }
  client_.paced = true;
  client_.stream->read(false);
  pace_timer_.start(wait);
}

void SessionDriver::refused(std::string_view what, std::string_view why) {
  worker_.shared().refusals.add(client_address_.address, std::string(what), std::string(why));
}

void SessionDriver::execute(const gateway::Note& told) {
  const auto* transferred = std::get_if<gateway::TransferNote>(&told);
  if (transferred == nullptr || !relay_) return tell(told);
  // The session hears of bytes only when a direction has ended.
  gateway::TransferNote transfer = *transferred;
  transfer.bytes = std::max(transfer.bytes, relay_->bytes(transfer.direction));
  tell(std::move(transfer));
}

void SessionDriver::tell(const gateway::Note& note) {
  worker_.shared().metrics.note(note);
  log_.note(note);
  if (const auto* lease = std::get_if<gateway::LeaseNote>(&note))
    refused("passive port", gateway::failure_name(lease->why));
  if (const auto* login = std::get_if<gateway::LoginNote>(&note); login != nullptr && !login->ok) {
    refused("login", "the backend refused it");
    if (place_.login_failed(login->user, config_->limits)) handle(gateway::Banned{});
  }
  if (const auto* command = std::get_if<gateway::PolicyNote>(&note)) {
    refused("command " + ftp::escaped(command->command), command->key);
  }
  if (const auto* transfer = std::get_if<gateway::TransferNote>(&note)) {
    const std::uint64_t took = relay_ ? uv_hrtime() - relay_started_ : relay_took_;
    log_.transfer(*transfer, session_.user(), std::chrono::nanoseconds(took));
  }
}

void SessionDriver::execute(const gateway::End& action) {
  for (const auto leg : {gateway::Leg::Client, gateway::Leg::Backend}) {
    const bool was_late = action.reason == gateway::EndReason::TlsFailed && control_leg(leg).starts_tls;
    if (was_late) note_tls_failure(leg, kLateHandshake);
  }
  ended_ = action.reason;
  log_.ended(action.reason, std::chrono::nanoseconds(uv_hrtime() - started_), session_.user());
}

}  // namespace pasvgate::server
