#include "gateway/client_table.h"

#include <doctest/doctest.h>

#include <vector>

using namespace pasvgate;
using namespace pasvgate::gateway;
using namespace std::chrono_literals;

namespace {

ftp::Address address(std::string_view text) { return ftp::Address::parse(text).value(); }

ftp::Address numbered(unsigned number) {
  return ftp::Address::v4({192, static_cast<std::uint8_t>(number >> 16U), static_cast<std::uint8_t>(number >> 8U),
                           static_cast<std::uint8_t>(number)});
}

using Refusal = ClientTable::Refusal;

}  // namespace

TEST_CASE("clients: what is one client") {
  struct Row {
    const char* client;
    unsigned v4;
    unsigned v6;
    const char* network;
  };
  const Row rows[] = {{"192.0.2.77", 32, 64, "192.0.2.77"},
                      {"192.0.2.77", 24, 64, "192.0.2.0/24"},
                      {"192.0.2.77", 1, 64, "128.0.0.0/1"},
                      {"2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::/64"},
                      {"2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6"},
                      {"::ffff:192.0.2.77", 32, 1, "192.0.2.77"}};
  for (const auto& row : rows) {
    CAPTURE(row.network);
    const config::Limits limits{.client_prefix_v4 = row.v4, .client_prefix_v6 = row.v6};
    CHECK(client_network(address(row.client), limits).text() == row.network);
  }
}

TEST_CASE("clients: so many sessions, and free again in any order") {
  ClientTable table;
  const config::Limits limits{.sessions_per_client = 2, .connections_per_second = 0};
  const auto enter = [&](std::string_view client) { return table.enter(address(client), 0ms, limits); };
  const auto first = enter("2001:db8::1");
  const auto second = enter("2001:db8::2");
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first == *second);
  CHECK(enter("2001:db8::3").error() == Refusal::Sessions);
  CHECK(enter("2001:db8:0:1::"));
  table.leave(*first);
  const auto third = enter("2001:db8::3");
  REQUIRE(third);
  CHECK(enter("2001:db8::1").error() == Refusal::Sessions);
  table.leave(*second);
  table.leave(*third);
  CHECK((*third)->sessions == 0);
  CHECK(enter("2001:db8::1"));
}

TEST_CASE("clients: so many connections in a second; one that is refused doesn't count") {
  ClientTable table;
  const config::Limits limits{.sessions_per_client = 0, .connections_per_second = 1, .connection_burst = 2};
  const auto client = address("192.0.2.1");
  const auto tries = [&](Instant now) {
    const auto entered = table.enter(client, now, limits);
    if (entered) table.leave(*entered);
    return entered.has_value();
  };
  CHECK(tries(0ms));
  CHECK(tries(0ms));
  for (int count = 0; count < 100; ++count) CHECK(table.enter(client, 500ms, limits).error() == Refusal::Connections);
  CHECK(tries(1000ms));
  CHECK_FALSE(tries(1000ms));
  CHECK(table.enter(address("192.0.2.2"), 1000ms, limits));
}

TEST_CASE("clients: a reload that lowers the burst of connections holds nobody up for the old one's time") {
  ClientTable table;
  const config::Limits before{.sessions_per_client = 0, .connections_per_second = 10, .connection_burst = 1000};
  const config::Limits after{.sessions_per_client = 0, .connections_per_second = 10, .connection_burst = 5};
  const auto client = address("192.0.2.1");
  for (int count = 0; count < 1000; ++count) CHECK(table.enter(client, 0ms, before));
  CHECK_FALSE(table.enter(client, 0ms, before));
  CHECK_FALSE(table.enter(client, 100ms, after));
  for (int count = 0; count < 5; ++count) CHECK(table.enter(client, 600ms, after));
  CHECK_FALSE(table.enter(client, 600ms, after));
}

TEST_CASE("clients: failed logins within their time") {
  const config::Limits limits{.failed_logins = 3, .failed_login_window = 10s};
  struct Row {
    const char* why;
    std::vector<Instant> failures;
    int bans;
  };
  const Row rows[] = {{"too few", {0ms, 1ms}, 0},
                      {"enough", {0ms, 1ms, 9'999ms}, 1},
                      {"the first one is too old", {0ms, 1ms, 10'000ms}, 0},
                      {"and so the counting has begun anew", {0ms, 1ms, 10'000ms, 10'001ms, 10'002ms}, 1},
                      {"after a ban too", {0ms, 1ms, 2ms, 3ms, 4ms}, 1},
                      {"twice", {0ms, 1ms, 2ms, 3ms, 4ms, 5ms}, 2}};
  for (const auto& row : rows) {
    CAPTURE(row.why);
    ClientTable table;
    auto* client = table.enter(address("192.0.2.1"), 0ms, limits).value();
    int bans = 0;
    for (const auto now : row.failures) bans += table.login_failed(*client, "anna", now, limits) ? 1 : 0;
    CHECK(bans == row.bans);
  }
  ClientTable table;
  auto* client = table.enter(address("192.0.2.1"), 0ms, limits).value();
  for (int count = 0; count < 100; ++count) CHECK_FALSE(table.login_failed(*client, "anna", 0ms, {.failed_logins = 0}));
  for (const char* user : {"anonymous", "FTP"})
    CHECK_FALSE(table.login_failed(*client, user, 0ms, {.failed_logins = 1}));
  CHECK(table.login_failed(*client, "anna", 0ms, {.failed_logins = 1}));
}

TEST_CASE("clients: who has no session is remembered as long as it matters") {
  ClientTable table;
  const config::Limits limits{.connections_per_second = 1, .connection_burst = 1, .failed_login_window = 1h};
  const auto visit = [&](unsigned number, Instant now) {
    auto* client = table.enter(numbered(number), now, limits).value();
    if (number == 1) table.login_failed(*client, "anna", now, limits);
    table.leave(client);
  };
  visit(1, 0ms);
  visit(2, 0ms);
  // The first one's failed login keeps it, and those behind it in turn.
  visit(3, 5s);
  CHECK(table.clients() == 3);
  visit(4, 2h);
  CHECK(table.clients() == 2);  // two at a time
  visit(5, 3h);
  CHECK(table.clients() == 1);
}

TEST_CASE("clients: however many come, so many are remembered, and none with a session is forgotten") {
  ClientTable table;
  const config::Limits limits;
  auto* stays = table.enter(numbered(0), 0ms, limits).value();
  for (unsigned number = 1; number < 2 * ClientTable::kMostIdle; ++number) {
    auto* client = table.enter(numbered(number), 0ms, limits).value();
    table.login_failed(*client, "anna", 0ms, limits);
    table.leave(client);
  }
  CHECK(table.clients() == ClientTable::kMostIdle + 1);
  CHECK(stays->sessions == 1);
  CHECK(table.enter(numbered(0), 0ms, limits).value() == stays);
}

TEST_CASE("users: so many sessions, and free again") {
  ClientTable table;
  auto* first = table.log_in("one anna", 2);
  auto* second = table.log_in("one anna", 2);
  REQUIRE(first != nullptr);
  CHECK(first == second);
  CHECK(table.log_in("one anna", 2) == nullptr);
  CHECK(table.log_in("two anna", 2) != nullptr);
  CHECK(table.users() == 2);
  table.log_out(first);
  auto* third = table.log_in("one anna", 2);
  CHECK(third != nullptr);
  table.log_out(second);
  table.log_out(third);
  CHECK(table.users() == 1);
}
