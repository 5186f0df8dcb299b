#include "gateway/server_group.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

using namespace pasvgate;
using namespace std::chrono_literals;
using gateway::Instant;
using gateway::NoServer;
using gateway::ServerGroup;
using gateway::ServerOrder;
using enum ServerGroup::CheckResult;

namespace {

ftp::Address address(std::string_view text) { return ftp::Address::parse(text).value_or(ftp::Address{}); }
ftp::Address server_address(std::size_t number) {
  return ftp::Address::v4({10, 0, 0, static_cast<std::uint8_t>(number)});
}

config::Server at(std::size_t number, unsigned weight = 1, std::size_t max_sessions = 0, bool backup = false) {
  const auto where = server_address(number);
  return {.at = {where.text(), where, 21}, .weight = weight, .max_sessions = max_sessions, .backup = backup};
}
config::Server name(std::string host) { return {.at = {std::move(host), std::nullopt, 2121}}; }

/// A group with its changes as text: "10.0.0.1:21 up>down (why)".
struct Group {
  ServerGroup group;
  Instant now{1000};
  ServerGroup::Changes changes;

  Group() = default;
  explicit Group(const config::Backend& settings) {
    group.configure(settings, changes);
    changes.clear();
  }

  std::expected<ServerGroup::Pick, NoServer> pick(std::vector<std::uint64_t> tried = {},
                                                  const ServerGroup::Client& client = {}) {
    return group.pick(client, tried, now);
  }
  /// Picks `count` sessions that stay: how many went to each server, by the last number of its address.
  std::map<int, int> spread(int count) {
    std::map<int, int> spread;
    for (int i = 0; i < count; ++i) {
      const auto picked = pick();
      ++spread[picked ? picked->at.address.octets().back() : 0];
    }
    return spread;
  }
  /// Sessions that come and go, as a word of last numbers; "-" is none.
  std::string order(int count) {
    std::string word;
    for (int i = 0; i < count; ++i) {
      const auto picked = pick();
      word += picked ? std::to_string(picked->at.address.octets().back()) : "-";
      if (picked) group.released(picked->id, changes);
    }
    return word;
  }
  void fail(std::uint64_t id) { group.connect_failed(id, "refused", now, changes); }
  /// `count` sessions fail to connect to server `number`.
  void fail_all(std::size_t number, int count) {
    for (int i = 0; i < count; ++i) {
      std::vector<std::uint64_t> others;
      for (const auto& one : group.servers()) {
        if (one.server != server_address(number).text() + ":21") others.push_back(one.id);
      }
      const auto picked = pick(others);
      REQUIRE(picked);
      fail(picked->id);
    }
  }
  std::string told() {
    std::string text;
    for (const auto& change : std::exchange(changes, {})) {
      text += change.server + " " + std::string(gateway::state_name(change.from)) + ">" +
              std::string(gateway::state_name(change.to)) + " (" + change.why + ")\n";
    }
    return text;
  }
  /// Runs all due checks with this result.
  std::size_t check(bool good) {
    const auto due = group.due_checks(now, 100);
    for (const auto& one : due) group.checked(one.id, good ? Good : Bad, "no greeting", changes);
    return due.size();
  }
  std::string states() {
    std::string text;
    for (const auto& one : group.servers()) text += std::string(gateway::state_name(one.state)) + " ";
    return text;
  }
};

config::Backend backend(std::vector<config::Server> servers, config::Strategy strategy = config::Strategy::First) {
  config::Backend settings;
  settings.servers = std::move(servers);
  settings.strategy = strategy;
  return settings;
}

using Spread = std::map<int, int>;

}  // namespace

TEST_CASE("strategies: who gets sessions that stay") {
  struct Row {
    std::string_view reason;
    config::Strategy strategy;
    std::vector<config::Server> servers;
    int count;
    Spread spread;
  };
  using enum config::Strategy;
  const Row rows[] = {
      {"first: the first", First, {at(1), at(2), at(3)}, 9, {{1, 9}}},
      {"first: the next when it is full", First, {at(1, 1, 2), at(2, 1, 3), at(3)}, 9, {{1, 2}, {2, 3}, {3, 4}}},
      {"round robin: each in turn", RoundRobin, {at(1), at(2), at(3)}, 9, {{1, 3}, {2, 3}, {3, 3}}},
      {"round robin: by weight", RoundRobin, {at(1, 3), at(2, 1), at(3, 2)}, 12, {{1, 6}, {2, 2}, {3, 4}}},
      {"round robin: a full one is passed over", RoundRobin, {at(1, 1, 1), at(2)}, 6, {{1, 1}, {2, 5}}},
      {"least sessions: equal", LeastSessions, {at(1), at(2), at(3)}, 9, {{1, 3}, {2, 3}, {3, 3}}},
      {"least sessions: by weight", LeastSessions, {at(1, 4), at(2, 1)}, 10, {{1, 8}, {2, 2}}},
      {"least sessions: a full one is passed over", LeastSessions, {at(1, 9, 2), at(2)}, 6, {{1, 2}, {2, 4}}},
      {"backup: not while another can", RoundRobin, {at(1, 1, 0, true), at(2)}, 4, {{2, 4}}},
      {"backup: when the others are full",
       RoundRobin,
       {at(1, 1, 0, true), at(2, 1, 3), at(3, 1, 1)},
       6,
       {{1, 2}, {2, 3}, {3, 1}}},
      {"all full", First, {at(1, 1, 1), at(2, 1, 1, true)}, 4, {{0, 2}, {1, 1}, {2, 1}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    Group g(backend(row.servers, row.strategy));
    CHECK(g.spread(row.count) == row.spread);
  }
}

TEST_CASE("round robin is smooth, and least sessions gives the same one no two in a row") {
  CHECK(Group(backend({at(1, 5), at(2), at(3)}, config::Strategy::RoundRobin)).order(7) == "1121311");
  CHECK(Group(backend({at(1), at(2), at(3)}, config::Strategy::LeastSessions)).order(6) == "123123");
}

TEST_CASE("least sessions follows those that end") {
  Group g(backend({at(1), at(2)}, config::Strategy::LeastSessions));
  const auto first = g.pick();
  const auto second = g.pick();
  REQUIRE(first->id != second->id);
  g.group.released(second->id, g.changes);
  CHECK(g.pick()->id == second->id);
}

TEST_CASE("hashes: the same key goes to the same server, and one more server takes about its share") {
  using enum config::Strategy;
  for (const auto strategy : {ClientHash, UserHash}) {
    CAPTURE(strategy == UserHash);
    constexpr std::size_t kKeys = 10'000;
    const auto where = [&](std::vector<config::Server> servers) {
      Group g(backend(std::move(servers), strategy));
      std::vector<int> servers_of;
      for (std::size_t key = 0; key < kKeys; ++key) {
        ServerGroup::Client client{.address = ftp::Address::v4({192, 0, 2, 1}), .user = "user" + std::to_string(key)};
        if (strategy == ClientHash) {
          client.address =
              ftp::Address::v4({198, 51, static_cast<std::uint8_t>(key / 256), static_cast<std::uint8_t>(key)});
        }
        servers_of.push_back(g.pick({}, client)->at.address.octets().back());
      }
      return servers_of;
    };
    const auto four = where({at(1), at(2), at(3), at(4)});
    CHECK(four == where({at(4), at(2), at(1), at(3)}));
    for (int server = 1; server <= 4; ++server) {
      const auto share = std::ranges::count(four, server);
      CHECK(share > 2250);
      CHECK(share < 2750);
    }
    const auto five = where({at(1), at(2), at(3), at(4), at(5)});
    int moved = 0;
    for (std::size_t key = 0; key < kKeys; ++key) {
      if (four[key] == five[key]) continue;
      ++moved;
      CHECK(five[key] == 5);
    }
    CHECK(moved > 1800);
    CHECK(moved < 2200);
    // By weight: one of 3 beside three of 1 has a half.
    const auto heavy = std::ranges::count(where({at(1, 3), at(2), at(3), at(4)}), 1);
    CHECK(heavy > 4750);
    CHECK(heavy < 5250);
  }
}

TEST_CASE("user_hash without a user's name goes by the client's address") {
  Group users(backend({at(1), at(2), at(3)}, config::Strategy::UserHash));
  Group clients(backend({at(1), at(2), at(3)}, config::Strategy::ClientHash));
  for (std::uint8_t i = 0; i < 100; ++i) {
    const ServerGroup::Client client{ftp::Address::v4({192, 0, 2, i}), ""};
    CHECK(users.pick({}, client)->at == clients.pick({}, client)->at);
  }
}

TEST_CASE("servers that were tried are left out, and the reason for none is told") {
  Group g(backend({at(1), at(2), at(3, 1, 0, true)}));
  std::vector<std::uint64_t> tried;
  std::string word;
  for (auto picked = g.pick(tried); picked; picked = g.pick(tried)) {
    word += std::to_string(picked->at.address.octets().back());
    tried.push_back(picked->id);
    g.fail(picked->id);
  }
  CHECK(word == "123");
  CHECK(g.pick(tried).error() == NoServer::Failed);
  CHECK(Group(backend({})).pick().error() == NoServer::Withdrawn);
  Group full(backend({at(1, 1, 1)}));
  CHECK(full.pick());
  CHECK(full.pick().error() == NoServer::Full);
}

TEST_CASE("without checks: ejected after `fall` failures in a row, tried again after `interval`") {
  Group g(backend({at(1), at(2)}));
  g.fail_all(1, 2);
  const auto good = g.pick();
  g.group.connected(good->id, g.changes);  // the row is broken
  g.group.released(good->id, g.changes);
  g.fail_all(1, 2);
  CHECK(g.told().empty());
  g.fail_all(1, 1);
  CHECK(g.told() == "10.0.0.1:21 up>down (refused)\n");
  CHECK(g.order(3) == "222");
  g.now += 10s - 1ms;
  CHECK(g.order(1) == "2");
  g.now += 1ms;
  // One session tries it, the next ones go elsewhere until it knows.
  const auto trial = g.pick();
  CHECK(trial->at.address == server_address(1));
  CHECK(g.order(2) == "22");
  SUBCASE("it fails again") {
    g.fail(trial->id);
    CHECK(g.order(1) == "2");
    g.now += 10s;
    CHECK(g.order(1) == "1");
    CHECK(g.told().empty());
  }
  SUBCASE("it is back") {
    g.group.connected(trial->id, g.changes);
    CHECK(g.told() == "10.0.0.1:21 down>up (a session connected)\n");
    CHECK(g.order(3) == "111");
  }
}

TEST_CASE("all down: no server, at once") {
  Group g(backend({at(1), at(2, 1, 0, true)}));
  g.fail_all(1, 3);
  g.fail_all(2, 3);
  CHECK(g.pick().error() == NoServer::Down);
}

TEST_CASE("checks: fall and rise, whatever the sessions' connections say") {
  auto settings = backend({at(1), at(2)});
  settings.health = {.check = config::HealthCheck::Greeting, .interval = 10s, .timeout = 3s, .rise = 2, .fall = 3};
  Group g(settings);
  const auto due = g.group.due_checks(g.now, 100);
  REQUIRE(due.size() == 2);
  CHECK(due[0].at == ftp::Endpoint{*ftp::Address::parse("10.0.0.1"), 21});
  CHECK(g.group.due_checks(g.now, 100).empty());  // they run
  CHECK_FALSE(g.group.next_check());
  for (const auto& one : due) g.group.checked(one.id, Bad, "no greeting", g.changes);
  CHECK(g.group.next_check() == g.now + 10s);
  CHECK(g.group.due_checks(g.now + 9s, 100).empty());
  g.now += 10s;
  CHECK(g.group.due_checks(g.now, 1).size() == 1);  // bounded
  CHECK(g.check(false) == 1);
  g.group.checked(due[0].id, Bad, "no greeting", g.changes);
  const auto session = g.pick();
  g.group.connected(session->id, g.changes);  // a connection is no greeting
  CHECK(g.told().empty());
  g.now += 10s;
  for (const auto& one : g.group.due_checks(g.now, 100)) g.group.checked(one.id, None, "", g.changes);
  CHECK(g.told().empty());  // says nothing, and breaks no row
  g.now += 10s;
  CHECK(g.check(false) == 2);
  CHECK(g.told() == "10.0.0.1:21 up>down (no greeting)\n10.0.0.2:21 up>down (no greeting)\n");
  CHECK(g.pick().error() == NoServer::Down);
  g.now += 10s;
  CHECK(g.check(true) == 2);
  g.now += 10s;
  CHECK(g.check(false) == 2);  // the row is broken
  g.now += 10s;
  CHECK(g.check(true) == 2);
  CHECK(g.pick().error() == NoServer::Down);
  g.now += 10s;
  CHECK(g.check(true) == 2);
  CHECK(g.told() == "10.0.0.1:21 down>up (checks are good)\n10.0.0.2:21 down>up (checks are good)\n");
  // Failed connections count too, and then only checks bring it back.
  g.fail_all(1, 3);
  CHECK(g.told() == "10.0.0.1:21 up>down (refused)\n");
  g.now += 1h;
  CHECK(g.order(1) == "2");
}

TEST_CASE("checks: none is left behind where only one can be made at once") {
  auto settings = backend({at(1), at(2), at(3)});
  settings.health = {.check = config::HealthCheck::Tcp, .interval = 1s, .timeout = 1s, .rise = 1, .fall = 1};
  Group g(settings);
  std::string order;
  for (int i = 0; i < 9; ++i) {
    for (const auto& one : g.group.due_checks(g.now, 1)) {
      order += std::to_string(one.at.address.octets().back());
      g.now += 1s;  // it hangs for as long as the interval
      g.group.checked(one.id, Bad, "no greeting", g.changes);
    }
  }
  CHECK(order == "123123123");
}

TEST_CASE("checks: none where there are none") {
  for (const auto check : {config::HealthCheck::Off, config::HealthCheck::Tcp}) {
    auto settings = backend({at(1)});
    settings.health.check = check;
    Group g(settings);
    CHECK(g.group.due_checks(g.now, 100).size() == (check == config::HealthCheck::Off ? 0 : 1));
  }
}

TEST_CASE("drain and maintenance by order") {
  auto settings = backend({at(1), at(2)});
  settings.health.check = config::HealthCheck::Tcp;
  Group g(settings);
  const auto running = g.pick();
  CHECK(g.group.set_state("10.0.0.1:21", ServerOrder::Drain, g.changes));
  CHECK(g.told() == "10.0.0.1:21 up>drain (ordered)\n");
  CHECK(g.order(2) == "22");
  CHECK(g.group.sessions(running->id) == 1);
  CHECK(g.group.due_checks(g.now, 100).size() == 2);
  CHECK(g.group.set_state("10.0.0.2:21", ServerOrder::Maintenance, g.changes));
  CHECK(g.states() == "drain maintenance ");
  CHECK(g.group.servers()[1].why == "ordered");
  CHECK(g.pick().error() == NoServer::Withdrawn);
  for (const auto& one : g.group.servers()) g.group.checked(one.id, Good, "", g.changes);
  g.now += 10s;
  CHECK(g.group.due_checks(g.now, 100).size() == 1);
  g.told();
  // A reload keeps it, and its last session leaves it in the group.
  g.group.configure(settings, g.changes);
  g.group.released(running->id, g.changes);
  CHECK(g.told().empty());
  CHECK(g.group.set_state("10.0.0.1:21", ServerOrder::Up, g.changes));
  CHECK(g.told() == "10.0.0.1:21 drain>up (ordered)\n");
  CHECK(g.order(1) == "1");
  CHECK_FALSE(g.group.set_state("10.0.0.9:21", ServerOrder::Up, g.changes));
}

TEST_CASE("a reload keeps what stays, and what was removed drains") {
  Group g(backend({at(1), at(2)}));
  const auto on_first = g.pick();
  g.fail_all(2, 3);
  g.told();
  g.group.configure(backend({at(3), at(2, 5)}), g.changes);
  CHECK(g.told() == "10.0.0.3:21 gone>up (in the configuration)\n10.0.0.1:21 up>drain (left the configuration)\n");
  CHECK(g.states() == "up down drain ");
  CHECK(g.group.servers()[1].weight == 5);
  CHECK(g.order(2) == "33");
  SUBCASE("until its last session ends") {
    g.group.released(on_first->id, g.changes);
    CHECK(g.told() == "10.0.0.1:21 drain>gone (its last session ended)\n");
    CHECK(g.states() == "up down ");
    CHECK_FALSE(g.group.sessions(on_first->id));
  }
  SUBCASE("unless it comes back") {
    g.group.configure(backend({at(1)}), g.changes);
    CHECK(g.told() ==
          "10.0.0.1:21 drain>up (in the configuration)\n10.0.0.3:21 up>gone (left the configuration)\n"
          "10.0.0.2:21 down>gone (left the configuration)\n");
    CHECK(g.group.sessions(on_first->id) == 1);
  }
  SUBCASE("and all of it with the group") {
    g.group.configure({}, g.changes);
    CHECK_FALSE(g.group.is_empty());
    g.group.released(on_first->id, g.changes);
    CHECK(g.group.is_empty());
  }
}

TEST_CASE("names: every record is a server") {
  Group g(backend({name("ftp.example"), at(9)}, config::Strategy::RoundRobin));
  CHECK(g.group.names() == std::vector<std::string>{"ftp.example"});
  CHECK(g.group.unasked() == g.group.names());
  CHECK(g.order(1) == "9");
  const std::vector both{address("10.0.0.1"), address("2001:db8::1")};
  g.group.resolved("ftp.example", both, g.changes);
  CHECK(g.told() == "10.0.0.1:2121 gone>up (in the DNS)\n[2001:db8::1]:2121 gone>up (in the DNS)\n");
  CHECK(g.group.unasked().empty());
  const auto running = g.pick();
  CHECK(running->at.text() == "10.0.0.1:2121");
  CHECK(running->host == "ftp.example");
  // The order of an answer means nothing, nor does an answer that is none.
  g.group.resolved("ftp.example", std::vector{both[1], both[0]}, g.changes);
  g.group.resolved("ftp.example", {}, g.changes);
  CHECK(g.told().empty());
  CHECK(g.group.servers()[0].server == "10.0.0.1:2121");
  // A removed record drains, a new one is there.
  g.group.resolved("ftp.example", std::vector{address("10.0.0.3"), both[1]}, g.changes);
  CHECK(g.told() == "10.0.0.3:2121 gone>up (in the DNS)\n10.0.0.1:2121 up>drain (left the DNS)\n");
  const auto spread = g.spread(9);
  CHECK(spread == Spread{{1, 3}, {3, 3}, {9, 3}});
  CHECK(g.group.sessions(running->id) == 1);
  g.group.released(running->id, g.changes);
  CHECK(g.told() == "10.0.0.1:2121 drain>gone (its last session ended)\n");
  // A name that left the configuration while it was asked for.
  g.group.configure(backend({at(9)}), g.changes);
  g.told();
  g.group.resolved("ftp.example", both, g.changes);
  CHECK(g.told().empty());
}

TEST_CASE("names: a record that is missing for a moment comes back as it was") {
  struct Row {
    std::string_view reason;
    std::optional<ServerOrder> order;  ///< Else it fails.
    config::HealthCheck check;
    Instant later;
    std::string_view states;
  };
  using enum config::HealthCheck;
  for (const Row& row : {Row{"maintenance", ServerOrder::Maintenance, Off, 1h, "up maintenance "},
                         Row{"drain", ServerOrder::Drain, Greeting, 1h, "up drain "},
                         Row{"down", {}, Off, 1s, "up down "}, Row{"down, checked", {}, Greeting, 1s, "up down "},
                         Row{"down, checked, an interval later", {}, Greeting, 10s, "up up "}}) {
    for (const bool has_session : {false, true}) {
      CAPTURE(row.reason);
      CAPTURE(has_session);
      auto settings = backend({name("ftp.example")});
      settings.health.check = row.check;
      settings.health.fall = 1;
      Group g(settings);
      const std::vector both{server_address(1), server_address(2)};
      g.group.resolved("ftp.example", both, g.changes);
      const auto other = g.group.servers()[0].id;
      const auto session = g.pick({other});
      REQUIRE(session->at.address == both[1]);
      g.group.due_checks(g.now, 100);  // never answered
      if (row.order) {
        g.group.set_state("10.0.0.2:2121", *row.order, g.changes);
      } else {
        g.fail(g.pick({other})->id);
      }
      if (!has_session) g.group.released(session->id, g.changes);
      g.group.resolved("ftp.example", std::vector{both[0]}, g.changes);
      if (has_session) g.group.released(session->id, g.changes);
      CHECK(g.states() == "up ");
      g.group.configure(settings, g.changes);
      g.now += row.later;
      g.group.due_checks(g.now, 100);
      g.group.resolved("ftp.example", both, g.changes);
      CHECK(g.states() == row.states);
      // It is checked again, and an order can be taken back.
      CHECK(g.group.set_state("10.0.0.2:2121", ServerOrder::Up, g.changes));
      g.now += 1h;
      if (row.check != Off) CHECK(g.group.due_checks(g.now, 100).back().at.address == both[1]);
    }
  }
}

TEST_CASE("names: an order goes with its name, and not more than so many are kept") {
  Group g(backend({name("ftp.example")}));
  const auto round = [&](std::size_t first) {  // a record on its own, ordered down and gone
    g.group.resolved("ftp.example",
                     std::vector{ftp::Address::v4(
                         {10, 1, static_cast<std::uint8_t>(first / 200), static_cast<std::uint8_t>(first % 200)})},
                     g.changes);
    return g.states();
  };
  for (std::size_t i = 0; i <= ServerGroup::kMostLeft + 1; ++i) {
    round(i);
    g.group.set_state(g.group.servers()[0].server, ServerOrder::Drain, g.changes);
  }
  CHECK(round(1) == "drain ");
  CHECK(round(0) == "up ");
  g.group.configure(backend({at(1)}), g.changes);
  g.group.configure(backend({name("ftp.example")}), g.changes);
  CHECK(round(3) == "up ");
}

TEST_CASE("names: one that wasn't asked for holds nobody whom another server can take") {
  const auto backup_name = [] {
    auto entry = name("backup.example");
    entry.backup = true;
    return entry;
  };
  struct Row {
    std::string_view reason;
    std::vector<config::Server> servers;
    std::string_view order;
    NoServer then;
  };
  for (const Row& row : {Row{"another server", {at(9, 1, 1), name("ftp.example")}, "9", NoServer::Unresolved},
                         Row{"a backup is for those without", {at(9, 1, 1), backup_name()}, "9", NoServer::Unresolved},
                         Row{"no backup instead", {name("ftp.example"), at(9, 1, 0, true)}, "", NoServer::Unresolved},
                         Row{"nothing to wait for", {at(9, 1, 1), at(8, 1, 1)}, "98", NoServer::Full}}) {
    CAPTURE(row.reason);
    Group g(backend(row.servers));
    std::string order;
    auto picked = g.pick();
    for (; picked; picked = g.pick()) order += std::to_string(picked->at.address.octets().back());
    CHECK(order == row.order);
    CHECK(picked.error() == row.then);
  }
}

TEST_CASE("names: one that doesn't resolve is waited for once") {
  Group g(backend({name("ftp.example"), at(9)}));
  g.group.resolved("ftp.example", {}, g.changes);
  CHECK(g.order(1) == "9");
  g.group.resolved("ftp.example", std::vector{address("10.0.0.1")}, g.changes);
  CHECK(g.order(1) == "1");
}

TEST_CASE("names: not more records than are good") {
  Group g(backend({name("ftp.example")}));
  std::vector<ftp::Address> many;
  many.reserve(100);
  for (std::size_t i = 0; i < 100; ++i) many.push_back(server_address(i));
  g.group.resolved("ftp.example", many, g.changes);
  CHECK(g.group.servers().size() == ServerGroup::kMostRecords);
  // Later answers don't make it more, but a place that became free is taken.
  many.erase(many.begin());
  g.group.resolved("ftp.example", many, g.changes);
  CHECK(g.group.servers().size() == ServerGroup::kMostRecords);
}

TEST_CASE("why there is no server, for people") {
  for (const auto& [why, words] :
       {std::pair<NoServer, std::string_view>{NoServer::Unresolved, "no name was resolved yet"},
        {NoServer::Failed, "no server could be connected to"},
        {NoServer::Down, "every server is down"},
        {NoServer::Full, "every server has its max_sessions"},
        {NoServer::Withdrawn, "no server is there to take new sessions"}}) {
    CHECK(gateway::no_server_name(why) == words);
  }
}

TEST_CASE("spoken to in another way: TLS and PROXY headers, and nothing else") {
  using Change = void (*)(config::Backend&);
  struct Row {
    std::string_view what;
    bool same;
    Change change;
  };
  const Row rows[] = {
      {"nothing", true, [](config::Backend&) {}},
      {"its servers", true, [](config::Backend& one) { one.servers = {at(9)}; }},
      {"its strategy", true, [](config::Backend& one) { one.strategy = config::Strategy::RoundRobin; }},
      {"tls", false, [](config::Backend& one) { one.tls = config::BackendTls::Explicit; }},
      {"tls_ca", false, [](config::Backend& one) { one.tls_ca = "none"; }},
      {"tls_name", false, [](config::Backend& one) { one.tls_name = "ftp.internal"; }},
      {"tls_minimum_version", false, [](config::Backend& one) { one.tls_minimum_version = config::TlsVersion::V1_3; }},
      {"tls_ciphers", false, [](config::Backend& one) { one.tls_ciphers = "HIGH"; }},
      {"tls_private_data", false, [](config::Backend& one) { one.tls_private_data = false; }},
      {"proxy_protocol", false, [](config::Backend& one) { one.proxy_protocol = config::ProxyProtocol::V2; }},
      {"proxy_protocol_data", false, [](config::Backend& one) { one.proxy_protocol_data = true; }},
  };
  const auto settings = backend({at(1)});
  const Group g(settings);
  for (const Row& row : rows) {
    CAPTURE(row.what);
    auto other = settings;
    row.change(other);
    CHECK(g.group.is_spoken_to_as(other) == row.same);
  }
}

TEST_CASE("a server that is named twice is one") {
  Group g(backend({at(1, 3), at(1, 1, 1), name("ftp.example")}));
  g.group.resolved("ftp.example", std::vector{server_address(1)}, g.changes);
  REQUIRE(g.group.servers().size() == 2);  // the name's port is another
  CHECK(g.group.servers()[0].weight == 3);
}
