#include "gateway/note.h"

#include <utility>

namespace pasvgate::gateway {

std::string_view leg_name(Leg leg) { return leg == Leg::Client ? "client" : "backend"; }

std::string_view mode_name(Mode mode) { return mode == Mode::Passive ? "passive" : "active"; }

std::string_view result_name(TransferNote::Result result) {
  switch (result) {
    case TransferNote::Result::Ok:
      return "ok";
    case TransferNote::Result::Refused:
      return "refused";
    case TransferNote::Result::Aborted:
      return "aborted";
    case TransferNote::Result::Broken:
      return "broken";
    case TransferNote::Result::Stalled:
      return "stalled";
  }
  std::unreachable();
}

std::string_view reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::Quit:
      return "quit";
    case EndReason::ClientClosed:
      return "client_closed";
    case EndReason::ClientReset:
      return "client_reset";
    case EndReason::BackendClosed:
      return "backend_closed";
    case EndReason::BackendUnreachable:
      return "backend_unreachable";
    case EndReason::GreetingTimeout:
      return "greeting_timeout";
    case EndReason::LoginTimeout:
      return "login_timeout";
    case EndReason::IdleTimeout:
      return "idle_timeout";
    case EndReason::ReplyTimeout:
      return "reply_timeout";
    case EndReason::TlsFailed:
      return "tls_failed";
    case EndReason::Drained:
      return "drained";
    case EndReason::Operator:
      return "operator";
    case EndReason::ForeignProtocol:
      return "foreign_protocol";
    case EndReason::Refused:
      return "refused";
  }
  std::unreachable();
}

std::string_view failure_name(LeaseFailure why) {
  switch (why) {
    case LeaseFailure::Exhausted:
      return "exhausted";
    case LeaseFailure::ClientLimit:
      return "client_limit";
    case LeaseFailure::NotInRange:
      return "not_in_range";
  }
  std::unreachable();
}

}  // namespace pasvgate::gateway
