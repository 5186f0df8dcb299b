#include <doctest/doctest.h>

#include <string_view>

#include "config/read.h"

using namespace pasvgate::config;

TEST_CASE("duration: what is read and how it is written") {
  struct Row {
    std::string_view reason;
    std::string_view text;
    std::string_view written;
  };
  const Row rows[] = {
      {"milliseconds", "500ms", "500ms"},
      {"seconds", "30s", "30s"},
      {"minutes", "5m", "5m"},
      {"hours", "1h", "1h"},
      {"a bare number is seconds", "45", "45s"},
      {"the largest unit that divides it", "3600", "1h"},
      {"no unit divides it but the smallest", "61001ms", "61001ms"},
      {"90 seconds aren't whole minutes", "90s", "90s"},
      {"nothing", "0", "0s"},
      {"leading zeros are decimal", "010s", "10s"},
      {"a year", "8760h", "8760h"},
      {"a year in milliseconds", "31536000000ms", "8760h"},
      {"over a year", "8761h", "none"},
      {"over a year by a millisecond", "31536000001ms", "none"},
      {"a number that no type holds", "99999999999999999999999999h", "none"},
      {"nothing at all", "", "none"},
      {"a unit alone", "s", "none"},
      {"days are left out: an hour is enough", "1d", "none"},
      {"capital letters", "1H", "none"},
      {"fraction", "1.5s", "none"},
      {"negative", "-1s", "none"},
      {"blank inside", "1 s", "none"},
      {"blank behind", "1s ", "none"},
      {"two units", "1m30s", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto duration = parse_duration(row.text);
    CHECK((duration ? write_duration(*duration) : "none") == row.written);
    if (duration) CHECK(parse_duration(write_duration(*duration)) == duration);
  }
}
