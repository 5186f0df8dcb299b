#include "config/issue.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

#include "config/nearest.h"
#include "config/read.h"

using namespace pasvgate::config;

TEST_CASE("issue: the line that people read") {
  CHECK(describe({"/listeners/0/adress", R"(no such key; did you mean "address"?)"}, "pasvgate.json") ==
        R"(pasvgate.json: /listeners/0/adress: no such key; did you mean "address"?)");
  CHECK(describe({"12:5", "',' or '}' expected, found string literal"}, "pasvgate.json") ==
        "pasvgate.json:12:5: ',' or '}' expected, found string literal");
  CHECK(describe({"", "a list is no object"}, "pasvgate.json") == "pasvgate.json: a list is no object");
  CHECK(describe({"--listen", "missing"}, "pasvgate.json") == "--listen: missing");
  CHECK(describe({"PASVGATE_LISTEN", "missing"}, "") == "PASVGATE_LISTEN: missing");
}

TEST_CASE("issue: what was found is safe to print") {
  CHECK(in_quotes("a\x1b[2J\n\"b") == R"("a\u001b[2J\n\"b")");
  CHECK(in_quotes("\xff") == "\"\xEF\xBF\xBD\"");
  CHECK(in_quotes(std::string(1000, 'x')) == "\"" + std::string(60, 'x') + "...\"");
  // 59 letters and a character of two bytes: none is cut in half.
  CHECK(in_quotes(std::string(59, 'x') + "\xC3\xA9y") == "\"" + std::string(59, 'x') + "...\"");
  CHECK(pointer_step("a/b~c\n") == "a~1b~0c\\n");
}

TEST_CASE("nearest: a slip is forgiven, another word is not") {
  constexpr std::array<std::string_view, 4> known{"address", "backend", "log", "listeners"};
  struct Row {
    std::string_view reason;
    std::string_view name;
    std::string_view meant;
  };
  const Row rows[] = {
      {"a letter missing", "adress", "address"},
      {"a letter too many", "addresss", "address"},
      {"a letter replaced", "bakkend", "backend"},
      {"two letters swapped", "bcakend", "backend"},
      {"capitals", "Listeners", "listeners"},
      {"singular", "listener", "listeners"},
      {"another word of the same length", "tls", "none"},
      {"nothing", "", "none"},
      {"far away", "something", "none"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(nearest(row.name, known).value_or("none") == row.meant);
  }
  CHECK_FALSE(nearest(std::string(100'000, 'x'), known));
}
