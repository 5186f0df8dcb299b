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
