#include "gateway/note.h"

#include <doctest/doctest.h>

#include <string_view>
#include <utility>

using namespace pasvgate::gateway;

// Dashboards, alerts and whatever reads the logs hang on these words: a new enumerator in the middle would shift them.
TEST_CASE("notes: the words of logs and metrics") {
  CHECK(leg_name(Leg::Client) == "client");
  CHECK(leg_name(Leg::Backend) == "backend");
  CHECK(mode_name(Mode::Passive) == "passive");
  CHECK(mode_name(Mode::Active) == "active");

  using Result = TransferNote::Result;
  for (const auto& [result, word] : {std::pair<Result, std::string_view>{Result::Ok, "ok"},
                                     {Result::Refused, "refused"},
                                     {Result::Aborted, "aborted"},
                                     {Result::Broken, "broken"},
                                     {Result::Stalled, "stalled"}}) {
    CHECK(result_name(result) == word);
  }
  for (const auto& [why, word] : {std::pair<LeaseFailure, std::string_view>{LeaseFailure::Exhausted, "exhausted"},
                                  {LeaseFailure::ClientLimit, "client_limit"},
                                  {LeaseFailure::NotInRange, "not_in_range"}}) {
    CHECK(failure_name(why) == word);
  }
  for (const auto& [reason, word] : {std::pair<EndReason, std::string_view>{EndReason::Quit, "quit"},
                                     {EndReason::ClientClosed, "client_closed"},
                                     {EndReason::ClientReset, "client_reset"},
                                     {EndReason::BackendClosed, "backend_closed"},
                                     {EndReason::BackendUnreachable, "backend_unreachable"},
                                     {EndReason::GreetingTimeout, "greeting_timeout"},
                                     {EndReason::LoginTimeout, "login_timeout"},
                                     {EndReason::IdleTimeout, "idle_timeout"},
                                     {EndReason::ReplyTimeout, "reply_timeout"},
                                     {EndReason::TlsFailed, "tls_failed"},
                                     {EndReason::Drained, "drained"},
                                     {EndReason::Operator, "operator"},
                                     {EndReason::Refused, "refused"}}) {
    CHECK(reason_name(reason) == word);
  }
}
