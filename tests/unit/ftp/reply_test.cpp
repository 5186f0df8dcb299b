#include "ftp/reply.h"

#include <doctest/doctest.h>

#include <string_view>
#include <vector>

using namespace pasvgate::ftp;
using Place = ReplyLine::Place;

namespace {

struct Expected {
  std::string_view line;
  Place place;
  int code;
  std::string_view text;
};

struct Row {
  std::string_view reason;
  std::vector<Expected> lines;
};

}  // namespace

TEST_CASE("reply: where each line stands") {
  const Row rows[] = {
      {"one line", {{"220 ready", Place::Only, 220, "ready"}}},
      {"code only (F4)", {{"200", Place::Only, 200, ""}, {"226 ok", Place::Only, 226, "ok"}}},
      {"code and blank", {{"200 ", Place::Only, 200, ""}}},
      {"more blanks are text", {{"200  ok ", Place::Only, 200, " ok "}}},
      {"several lines",
       {{"211-Features:", Place::First, 211, "Features:"},
        {" MDTM", Place::Middle, 211, " MDTM"},
        {"211 End", Place::Last, 211, "End"}}},
      {"not indented (F1)",
       {{"214-Help", Place::First, 214, "Help"},
        {"USER PASS", Place::Middle, 214, "USER PASS"},
        {"214 End", Place::Last, 214, "End"}}},
      {"same code with a hyphen inside (F2)",
       {{"220-a", Place::First, 220, "a"}, {"220-b", Place::Middle, 220, "b"}, {"220 c", Place::Last, 220, "c"}}},
      {"same code and a letter inside (F2)",
       {{"220-a", Place::First, 220, "a"},
        {"220b", Place::Middle, 220, "220b"},
        {"2200 b", Place::Middle, 220, "2200 b"},
        {"220 c", Place::Last, 220, "c"}}},
      {"another code inside (F2, A21)",
       {{"211-status", Place::First, 211, "status"},
        {"227 =10,0,0,5,4,5", Place::Middle, 211, "227 =10,0,0,5,4,5"},
        {"227-x", Place::Middle, 211, "227-x"},
        {"211 end", Place::Last, 211, "end"}}},
      {"indented end is text",
       {{"211-a", Place::First, 211, "a"},
        {" 211 end", Place::Middle, 211, " 211 end"},
        {"211 end", Place::Last, 211, "end"}}},
      {"last line is the code only (F4)",
       {{"211-a", Place::First, 211, "a"}, {"211", Place::Last, 211, ""}, {"200 b", Place::Only, 200, "b"}}},
      {"empty lines with a hyphen (F5)",
       {{"200-", Place::First, 200, ""}, {"200-", Place::Middle, 200, ""}, {"200 ok", Place::Last, 200, "ok"}}},
      {"blank line between replies (F11)", {{"", Place::Stray, 0, ""}, {"200 ok", Place::Only, 200, "ok"}}},
      {"blank line inside", {{"200-a", Place::First, 200, "a"}, {"", Place::Middle, 200, ""}}},
      {"text outside a reply (F6)", {{"Welcome!", Place::Stray, 0, "Welcome!"}}},
      {"two digits", {{"22 a", Place::Stray, 0, "22 a"}}},
      {"four digits", {{"2200 a", Place::Stray, 0, "2200 a"}}},
      {"no separator", {{"220a", Place::Stray, 0, "220a"}}},
      {"a code under 100", {{"099 a", Place::Stray, 0, "099 a"}}},
      {"zero would be no code", {{"000-a", Place::Stray, 0, "000-a"}, {"200 b", Place::Only, 200, "b"}}},
      {"signed", {{"+20 a", Place::Stray, 0, "+20 a"}}},
      {"protected reply (F12)", {{"631 abc", Place::Only, 631, "abc"}}},
      {"999 (F12)", {{"999-a", Place::First, 999, "a"}, {"999 b", Place::Last, 999, "b"}}},
      {"multi-line 227, tuple at the end (A6)",
       {{"227-Entering", Place::First, 227, "Entering"}, {"227 (1,2,3,4,5,6)", Place::Last, 227, "(1,2,3,4,5,6)"}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    ReplyReader reader;
    for (const Expected& expected : row.lines) {
      CAPTURE(expected.line);
      const ReplyLine line = reader.read(expected.line);
      CHECK(line.place == expected.place);
      CHECK(line.code == expected.code);
      CHECK(line.line == expected.line);
      CHECK(line.text == expected.text);
      CHECK(line.ends_reply() == (expected.place == Place::Only || expected.place == Place::Last));
      CHECK(reader.is_inside() == (expected.place == Place::First || expected.place == Place::Middle));
    }
  }
}

TEST_CASE("reply: classes of codes") {
  const auto line = [](std::string_view text) { return ReplyReader().read(text); };
  CHECK(line("150 a").is_preliminary());
  CHECK(line("125 a").is_preliminary());
  CHECK_FALSE(line("150 a").is_success());
  CHECK(line("226 a").is_success());
  CHECK(line("250 a").is_success());
  CHECK_FALSE(line("331 a").is_success());
  CHECK_FALSE(line("331 a").is_failure());
  CHECK(line("425 a").is_failure());
  CHECK(line("550 a").is_failure());
  CHECK_FALSE(line("hello").is_failure());
}

TEST_CASE("reply: written replies") {
  CHECK(write_reply(200, "ok") == "200 ok\r\n");
  CHECK(write_reply(200, "") == "200 \r\n");
  CHECK(write_reply(500, "a\r\nb") == "500 a  b\r\n");
}
