#include "gateway/ban_list.h"

#include <doctest/doctest.h>

using namespace pasvgate;
using namespace pasvgate::gateway;
using namespace std::chrono_literals;

TEST_CASE("bans: they hold for a network and a time, and can be lifted") {
  BanList bans;
  const auto client = ftp::Address::v4({192, 0, 2, 7});
  const auto network = *ftp::Cidr::parse("192.0.2.0/24");
  CHECK_FALSE(bans.holds(client, 0ms));
  bans.add(network, 1000ms, "once");
  CHECK(bans.holds(client, 0ms));
  CHECK(bans.holds(client, 999ms));
  CHECK_FALSE(bans.holds(client, 1000ms));
  CHECK_FALSE(bans.holds(ftp::Address::v4({192, 0, 3, 7}), 0ms));
  bans.add(network, 2000ms, "again");
  REQUIRE(bans.current(1500ms).size() == 1);
  CHECK(bans.current(1500ms).front().why == "again");
  bans.add(*ftp::Cidr::parse("2001:db8::1/128"), 5000ms, "another");
  CHECK(bans.current(2000ms).size() == 1);
  CHECK_FALSE(bans.lift(network));
  CHECK(bans.lift(*ftp::Cidr::parse("2001:db8::1")));
  CHECK(bans.empty());
}

TEST_CASE("bans: each length of prefix by itself") {
  struct Row {
    const char* network;
    const char* in;
    const char* out;
  };
  const Row rows[] = {{"0.0.0.0/0", "192.0.2.1", "2001:db8::1"},
                      {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
                      {"192.0.2.0/31", "192.0.2.1", "192.0.2.2"},
                      {"::/0", "2001:db8::1", "192.0.2.1"},
                      {"2001:db8::/64", "2001:db8::1:2:3:4", "2001:db8:0:1::"}};
  for (const auto& row : rows) {
    CAPTURE(row.network);
    BanList bans;
    bans.add(*ftp::Cidr::parse(row.network), 1ms, "");
    CHECK(bans.holds(*ftp::Address::parse(row.in), 0ms));
    CHECK_FALSE(bans.holds(*ftp::Address::parse(row.out), 0ms));
    CHECK(bans.current(0ms).at(0).network.text() == row.network);
  }
}

TEST_CASE("bans: the gateway's own are bounded, the oldest goes; the operator's stay") {
  BanList bans;
  bans.add(*ftp::Cidr::parse("10.0.0.1"), 10s, "by the operator");
  const auto address = [](std::size_t number) {
    return ftp::Address::v4(
        {192, 0, static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number & 0xFFU)});
  };
  for (std::size_t number = 0; number < BanList::kMostAutomatic + 2; ++number) {
    bans.add({address(number), 32}, 10s, "failed logins", BanList::By::Gateway);
  }
  CHECK(bans.size() == BanList::kMostAutomatic + 1);
  CHECK(bans.holds(ftp::Address::v4({10, 0, 0, 1}), 0ms));
  CHECK_FALSE(bans.holds(address(0), 0ms));
  CHECK_FALSE(bans.holds(address(1), 0ms));
  CHECK(bans.holds(address(2), 0ms));
  // One that was lifted makes room, and one again for the same network takes none.
  CHECK(bans.lift({address(3), 32}));
  bans.add({address(4), 32}, 20s, "again", BanList::By::Gateway);
  bans.add({address(0), 32}, 20s, "new", BanList::By::Gateway);
  CHECK(bans.holds(address(2), 0ms));
  CHECK(bans.current(10s).size() == 2);
  CHECK(bans.size() == 2);
  CHECK(bans.current(20s).empty());
  CHECK(bans.empty());
}

TEST_CASE("bans: of operators alone") {
  BanList bans;
  const auto client = ftp::Address::v4({192, 0, 2, 7});
  bans.add(*ftp::Cidr::parse("192.0.2.0/24"), 1000ms, "guessed", BanList::By::Gateway);
  CHECK(bans.holds(client, 0ms));
  CHECK_FALSE(bans.holds(client, 0ms, BanList::Bans::OfOperators));
  bans.add(*ftp::Cidr::parse("192.0.2.7/32"), 1000ms, "ordered");
  CHECK(bans.holds(client, 0ms, BanList::Bans::OfOperators));
}
