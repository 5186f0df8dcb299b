#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/trace_report.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

/// One line for each letter.
std::vector<TraceLine> lines(std::string_view letters) {
  std::vector<TraceLine> lines;
  for (const char letter : letters) lines.push_back({1, "client", {letter}});
  return lines;
}

SessionTrace session(std::string id, std::string_view letters) {
  return {std::move(id), "192.0.2.7:1", lines(letters)};
}

}  // namespace

TEST_CASE("trace: what is new since the last look") {
  struct Row {
    std::string_view what;
    std::string_view before;
    std::string_view now;
    std::size_t first;
    bool has_gap;
  };
  const Row rows[] = {
      {"the first look", "", "abc", 0, false},         {"nothing yet", "", "", 0, false},
      {"nothing new", "abc", "abc", 3, false},         {"one more", "abc", "abcd", 3, false},
      {"the oldest are gone", "abc", "bcd", 2, false}, {"all but one are gone", "abc", "cde", 1, false},
      {"all are gone", "abc", "def", 0, true},         {"all alike", "aaa", "aaaa", 3, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto news = trace_news(lines(row.before), lines(row.now));
    CHECK(news.first == row.first);
    CHECK(news.has_gap == row.has_gap);
  }
}

TEST_CASE("trace: a session from its first line to its end") {
  TraceFollower follower(Color::Off);
  CHECK_FALSE(follower.has_sessions());
  CHECK(follower.look({session("01", "a")}) ==
        "session 01, client 192.0.2.7:1\n"
        "     1.000  client   a\n");
  CHECK(follower.firsts() == std::vector<std::size_t>{0});
  CHECK(follower.look({session("01", "a")}).empty());
  CHECK(follower.look({session("01", "ab")}) == "     1.000  client   b\n");
  CHECK(follower.firsts() == std::vector<std::size_t>{1});
  CHECK(follower.look({session("01", "xy")}) ==
        "            (lines are missing here: more came than the gateway keeps)\n"
        "     1.000  client   x\n"
        "     1.000  client   y\n");
  CHECK(follower.has_sessions());
  CHECK(follower.look({}) == "session 01 has ended\n");
  CHECK_FALSE(follower.has_sessions());
  CHECK(follower.look({}).empty());
}

TEST_CASE("trace: sessions that speak in turn have their headings") {
  TraceFollower follower(Color::Off);
  CHECK(follower.look({session("01", "a"), session("02", "")}) ==
        "session 01, client 192.0.2.7:1\n"
        "     1.000  client   a\n"
        "\n"
        "session 02, client 192.0.2.7:1\n");
  CHECK(follower.look({session("01", "a"), session("02", "c")}) == "     1.000  client   c\n");
  CHECK(follower.look({session("01", "ab"), session("02", "c")}) ==
        "\n"
        "session 01, client 192.0.2.7:1\n"
        "     1.000  client   b\n");
  CHECK(follower.look({session("01", "ab")}) == "session 02 has ended\n");
}

TEST_CASE("trace: colors, and nothing raw out of a dialogue") {
  const auto answer = ordered_json::parse(R"({"id": "01", "client": "192.0.2.7:1", "lines": [
      {"age": 0.1, "from": "client", "text": "RETR \u001b]0;x\u0007\u009b2J\u202e"},
      {"age": 1e99, "from": "gateway", "text": "227: \u007f\u0000"},
      7, {"text": 7}]})");
  TraceFollower plain(Color::Off);
  const std::string text = plain.look({trace_of(answer)});
  CHECK(text ==
        "session 01, client 192.0.2.7:1\n"
        "     0.100  client   RETR \\x1B]0;x\\x07\\xC2\\x9B2J\\xE2\\x80\\xAE\n"
        "1000000000.000  gateway  227: \\x7F\\x00\n"
        "     0.000           \n"
        "     0.000           \n");
  TraceFollower colored(Color::On);
  CHECK(colored.look({trace_of(answer)}).find("\x1b[33m227: \\x7F\\x00\x1b[0m") != std::string::npos);
}

}  // namespace pasvgate::cli
