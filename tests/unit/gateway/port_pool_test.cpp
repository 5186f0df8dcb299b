#include <doctest/doctest.h>

#include <set>

#include "gateway/port_pool.h"

using namespace pasvgate;
using gateway::LeaseFailure;
using gateway::PortPool;

namespace {

config::PassivePorts ports(std::uint16_t count) {
  return {.listen = {50000, static_cast<std::uint16_t>(49999 + count)}};
}
ftp::Address client(std::uint8_t last) { return ftp::Address::v4({192, 0, 2, last}); }

}  // namespace

TEST_CASE("one port serves many clients of different addresses at once") {
  PortPool pool(ports(1), 10, 1, 1);
  std::set<std::uint64_t> ids;
  for (std::uint8_t one = 1; one <= 50; ++one) {
    const auto lease = pool.take(client(one), {.session = one});
    REQUIRE(lease);
    CHECK(lease->port == 50000);
    ids.insert(lease->id);
  }
  CHECK(ids.size() == 50);
  CHECK(pool.waiting(0) == 50);
  for (std::uint8_t one = 1; one <= 50; ++one) CHECK(pool.claim(0, client(one))->session == one);
  CHECK(pool.leased() == 0);
  CHECK(pool.waiting(0) == 0);
}

TEST_CASE("the same client never holds a port twice, and has it again when its connection came") {
  PortPool pool(ports(2), 10, 1, 1);
  const auto first = pool.take(client(1), {1});
  const auto second = pool.take(client(1), {2});
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->port != second->port);
  CHECK(pool.take(client(1), {3}).error() == LeaseFailure::Exhausted);
  CHECK(pool.claim(first->index, client(1)));
  const auto third = pool.take(client(1), {3});
  REQUIRE(third);
  CHECK(third->port == first->port);
}

TEST_CASE("a port by its number: that one or none") {
  PortPool pool(ports(4), 10, 1, 1);
  const auto lease = pool.take(client(1), {1}, 50002);
  REQUIRE(lease);
  CHECK(lease->port == 50002);
  CHECK(lease->advertised == 50002);
  CHECK(pool.take(client(1), {2}, 50002).error() == LeaseFailure::Exhausted);
  CHECK(pool.take(client(2), {2}, 50002));
  CHECK(pool.take(client(1), {1}, 49999).error() == LeaseFailure::NotInRange);
  CHECK(pool.take(client(1), {1}, 50004).error() == LeaseFailure::NotInRange);
}

TEST_CASE("the whole range for one client, beside leases and for as long as it is held") {
  PortPool pool(ports(3), 10, 1, 1);
  const gateway::Lessee blind{7};
  const gateway::Lessee second{8};
  CHECK_FALSE(pool.has_range(client(1)));
  pool.take_range(client(1), blind);
  pool.take_range(client(1), second);
  for (std::size_t index = 0; index < 3; ++index) CHECK(pool.waiting(index) == 2);
  CHECK(pool.leased() == 0);
  std::uint64_t lease_id = 99;
  // Again and again, on each port; nobody else.
  for (const std::size_t index : {0, 2, 2}) {
    CHECK(pool.claim(index, client(1), &lease_id) == blind);
    CHECK(lease_id == 0);
    CHECK_FALSE(pool.claim(index, client(2)));
  }
  // A lease of a session in clear comes first.
  const auto lease = pool.take(client(1), {1}, 50001);
  REQUIRE(lease);
  CHECK(pool.claim(1, client(1), &lease_id) == gateway::Lessee{1});
  CHECK(lease_id == lease->id);
  CHECK(pool.claim(1, client(1), &lease_id) == blind);
  pool.drop_range(blind);
  CHECK(pool.claim(1, client(1)) == second);
  CHECK(pool.has_range(client(1)));
  CHECK_FALSE(pool.has_range(client(2)));
  pool.drop_range(second);
  CHECK_FALSE(pool.has_range(client(1)));
  CHECK_FALSE(pool.claim(1, client(1)));
  CHECK(pool.waiting(0) == 0);
}

TEST_CASE("blind transfers are the client's, and all that hold its range learn of the first and of the last") {
  PortPool pool(ports(3), 10, 2, 1);
  const gateway::Lessee first{7, 0};
  const gateway::Lessee second{8, 1};
  pool.take_range(client(1), first);
  pool.take_range(client(2), {9, 0});
  pool.take_range(client(1), second);
  const std::vector<gateway::Lessee> both{first, second};
  CHECK_FALSE(pool.has_blind_transfers());
  CHECK(pool.blind_moved(client(1), 1) == both);
  CHECK(pool.blind_moved(client(1), 1).empty());
  CHECK(pool.blind_transfers(client(1)) == 2);
  CHECK(pool.blind_transfers(client(2)) == 0);
  CHECK(pool.blind_moved(client(1), -1).empty());
  CHECK(pool.has_blind_transfers());
  pool.drop_range(first);
  CHECK(pool.blind_moved(client(1), -1) == std::vector{second});
  CHECK(pool.blind_transfers(client(1)) == 0);
  CHECK_FALSE(pool.has_blind_transfers());
}

TEST_CASE("blind transfers at one time are bounded as a client's leases are") {
  PortPool pool(ports(3), 2, 1, 1);
  const gateway::Lessee blind{7};
  pool.take_range(client(1), blind);
  pool.take_range(client(2), {8});
  for (int count = 0; count < 2; ++count) {
    CHECK(pool.claim(0, client(1)) == blind);
    pool.blind_moved(client(1), 1);
  }
  CHECK_FALSE(pool.claim(0, client(1)));
  CHECK(pool.claim(0, client(2)) == gateway::Lessee{8});
  pool.blind_moved(client(1), -1);
  CHECK(pool.claim(0, client(1)) == blind);
}

TEST_CASE("a client's share is bounded, and another's is not touched by it") {
  PortPool pool(ports(10), 2, 1, 1);
  CHECK(pool.take(client(1), {1}));
  CHECK(pool.take(client(1), {1}));
  CHECK(pool.take(client(1), {1}).error() == LeaseFailure::ClientLimit);
  CHECK(pool.take(client(2), {1}));
}

TEST_CASE("a lease that isn't given isn't of a client's share") {
  PortPool pool(ports(1), 2, 1, 1);
  const auto lease = pool.take(client(1), {1});
  REQUIRE(lease);
  for (int count = 0; count < 3; ++count) {
    CHECK(pool.take(client(1), {2}).error() == LeaseFailure::Exhausted);
    CHECK(pool.take(client(1), {2}, 49999).error() == LeaseFailure::NotInRange);
  }
  CHECK(pool.drop(lease->id));
  CHECK(pool.take(client(1), {2}));
}

TEST_CASE("a stranger, and a claimed or dropped lease, claim nothing") {
  PortPool pool(ports(1), 10, 1, 1);
  const auto lease = pool.take(client(1), {1});
  CHECK_FALSE(pool.claim(0, client(2)));
  CHECK(pool.holds(lease->id));
  CHECK(pool.claim(0, client(1)));
  CHECK_FALSE(pool.holds(lease->id));
  CHECK_FALSE(pool.claim(0, client(1)));
  CHECK_FALSE(pool.drop(lease->id));
  const auto again = pool.take(client(1), {1});
  CHECK(pool.drop(again->id));
  CHECK_FALSE(pool.claim(0, client(1)));
}

TEST_CASE("data_source any: a lease is exclusive, whoever comes has it") {
  auto settings = ports(1);
  settings.data_source.match = config::DataSource::Match::Any;
  PortPool pool(settings, 10, 1, 1);
  CHECK(pool.take(client(1), {1}));
  CHECK(pool.take(client(2), {2}).error() == LeaseFailure::Exhausted);
  CHECK(pool.claim(0, client(99))->session == 1);
}

TEST_CASE("data_source prefix") {
  auto settings = ports(1);
  settings.data_source = {config::DataSource::Match::Prefix, 24, 64};
  PortPool pool(settings, 10, 1, 1);
  CHECK(pool.take(client(1), {1}));
  CHECK(pool.take(client(2), {2}).error() == LeaseFailure::Exhausted);
  CHECK_FALSE(pool.claim(0, ftp::Address::v4({192, 0, 3, 1})));
  CHECK(pool.claim(0, client(77))->session == 1);
}

TEST_CASE("the ports that a client used last come last") {
  PortPool pool(ports(8), 10, 1, 7);
  std::size_t previous = 99;
  for (int turn = 0; turn < 200; ++turn) {
    const auto lease = pool.take(client(1), {1});
    REQUIRE(lease);
    CHECK(lease->index != previous);
    previous = lease->index;
    pool.claim(lease->index, client(1));
  }
}

TEST_CASE("the choice is random and reaches every port") {
  PortPool pool(ports(100), 1000, 1, 3);
  std::set<std::uint16_t> seen;
  int neighbours = 0;
  std::uint16_t previous = 0;
  for (int turn = 0; turn < 100; ++turn) {
    const auto lease = pool.take(client(1), {1});
    REQUIRE(lease);
    seen.insert(lease->port);
    if (lease->port == previous + 1) ++neighbours;
    previous = lease->port;
  }
  CHECK(seen.size() == 100);
  CHECK(neighbours < 30);
}

TEST_CASE("advertised range and owners") {
  auto settings = ports(4);
  settings.advertise = ftp::PortRange{30000, 30003};
  PortPool pool(settings, 10, 2, 1);
  for (unsigned worker : {0U, 1U}) {
    const auto lease = pool.take(client(1), {1, worker});
    REQUIRE(lease);
    CHECK(lease->advertised == lease->port - 20000);
    CHECK(pool.owner(lease->index) == worker);
  }
}

TEST_CASE("those who wait are served in turn") {
  PortPool pool(ports(1), 10, 1, 1);
  const auto held = pool.take(client(1), {1});
  pool.wait(client(1), {2});
  pool.wait(client(1), {3});
  CHECK_FALSE(pool.serve_waiting());
  pool.drop(held->id);
  const auto next = pool.serve_waiting();
  REQUIRE(next);
  CHECK(next->lessee.session == 2);
  CHECK_FALSE(pool.serve_waiting());
  pool.stop_waiting({3});
  pool.drop(next->lease.id);
  CHECK_FALSE(pool.serve_waiting());
}

TEST_CASE("clients that are gone are forgotten") {
  PortPool pool(ports(4), 10, 1, 1);
  for (std::uint32_t number = 0; number < 20000; ++number) {
    const auto address = ftp::Address::v4({10, static_cast<std::uint8_t>(number >> 16U),
                                           static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)});
    const auto lease = pool.take(address, {1});
    REQUIRE(lease);
    REQUIRE(pool.claim(lease->index, address));
  }
  CHECK(pool.leased() == 0);
}
