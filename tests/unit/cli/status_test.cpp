#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/admin_values.h"
#include "cli/status_report.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

ordered_json status_json() {
  return ordered_json::parse(R"({"version": "0.1.0", "state": "ready", "started": 1000.0, "now": 12345.5, "workers": 2,
    "sessions": {"active": 12, "total": 3456, "limit": 10000}, "transfers": {"active": 2},
    "bytes": {"download": 1099511627776, "upload": 456}, "ports": {"size": 100, "leased": 5},
    "history": {"interval": 5, "samples": [{"time": 12335, "sessions": 0, "download": 0, "upload": 0},
                                           {"time": 12340, "sessions": 12, "download": 1048576.0, "upload": 0.0}]},
    "refusals": [{"time": 12340.5, "client": "192.0.2.9", "what": "data connection", "why": "no lease waits for it"}]})");
}
ordered_json sessions_json() {
  return ordered_json::parse(R"({"total": 12, "sessions": [
    {"id": "00c0ffee01000001", "client": "192.0.2.7:51234", "user": "anna", "backend": "default", "transfer":
      {"direction": "download", "command": "RETR", "file": "dir/name", "bytes": 1536, "age": 1.25, "rate": 1028.3}},
    {"id": "00c0ffee01000002", "client": "192.0.2.8:51235", "user": "bob", "transfer": null},
    {"id": "00c0ffee01000003", "client": "[2001:db8::7]:5", "user": "carol", "transfer":
      {"direction": "upload", "command": "STOR", "file": "in.bin", "bytes": 7, "age": 75, "rate": 0}}]})");
}
ordered_json ports_json() {
  return ordered_json::parse(R"({"listen": "50000-50099", "advertise": "30000-30099", "mapping": "pool",
    "ports": [{"port": 50000, "leases": 3}, {"port": 50001, "leases": 2}, {"port": 50002, "leases": 0}]})");
}
ordered_json backends_json() {
  return ordered_json::parse(R"({"backends": [{"name": "default", "strategy": "first", "servers": [
    {"server": "10.0.0.5:21", "host": "ftp.internal", "state": "up", "why": "", "backup": false, "max_sessions": 0,
     "sessions": 3},
    {"server": "10.0.0.6:21", "host": "10.0.0.6", "state": "down", "why": "connection refused", "backup": true,
     "max_sessions": 50, "sessions": 0}]}]})");
}

GatewayView view_of(const ordered_json& status, const ordered_json& sessions) {
  return {.status = status_of(status),
          .transfers = transfers_of(sessions),
          .ports = ports_of(ports_json()),
          .servers = servers_of(backends_json())};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("status: as wide as it needs") {
  CHECK(status_text(view_of(status_json(), sessions_json()), {}) ==
        "pasvgate 0.1.0   ready   up 3 h 9 min   2 workers\n"
        "\n"
        "sessions    12 of 10000   3456 since the start      _#\n"
        "download    1.0 MiB/s     1.0 TiB since the start   _#\n"
        "upload      0 B/s         456 B since the start     __\n"
        "ports       2 of 100 in use by 5 leases  [#...................]  50000-50099, told as 30000-30099\n"
        "transfers   2\n"
        "\n"
        "BACKEND  SERVER                      STATE  SESSIONS  WHY\n"
        "default  10.0.0.5:21 (ftp.internal)  up            3\n"
        "default  10.0.0.6:21, backup         down    0 of 50  connection refused\n"
        "\n"
        "TRANSFER   SESSION           CLIENT           USER     BYTES       RATE         AGE  FILE\n"
        "down RETR  00c0ffee01000001  192.0.2.7:51234  anna   1.5 KiB  1.0 KiB/s       1.2 s  dir/name\n"
        "up   STOR  00c0ffee01000003  [2001:db8::7]:5  carol      7 B      0 B/s  1 min 15 s  in.bin\n"
        "\n"
        "REFUSED    CLIENT     WHAT             WHY\n"
        "5.0 s ago  192.0.2.9  data connection  no lease waits for it\n");
}

TEST_CASE("status: every line within the width, whatever it is") {
  auto status = status_json();
  auto sessions = sessions_json();
  sessions["sessions"][0]["transfer"]["file"] = std::string(300, 'a') + "/日本語.txt";
  sessions["sessions"][0]["user"] = std::string(100, 'u');
  status["refusals"][0]["why"] = std::string(200, 'w');
  for (const Glyphs glyphs : {Glyphs::Ascii, Glyphs::Unicode}) {
    for (std::size_t width = 1; width <= 200; ++width) {
      CAPTURE(width);
      for (const auto& line : lines_of(status_text(view_of(status, sessions), {.width = width, .glyphs = glyphs}))) {
        CAPTURE(line);
        CHECK(columns_of(line) <= width);
      }
    }
  }
  // The end of a file's name says more than its beginning.
  CHECK(has(status_text(view_of(status, sessions), {.width = 130, .glyphs = Glyphs::Unicode}), "/日本語.txt\n"));
}

TEST_CASE("status: ids where there is room for them") {
  const auto view = view_of(status_json(), sessions_json());
  CHECK_FALSE(has(status_text(view, {.width = 119}), "00c0ffee01000001"));
  CHECK(has(status_text(view, {.width = 120}), "00c0ffee01000001"));
}

TEST_CASE("status: every height; what is left out is counted") {
  auto status = status_json();
  auto sessions = ordered_json{{"sessions", ordered_json::array()}};
  for (int i = 0; i < 40; ++i) sessions["sessions"].push_back(sessions_json()["sessions"][0]);
  for (int i = 0; i < 40; ++i) status["refusals"].push_back(status["refusals"][0]);
  status["transfers"]["active"] = 100U;
  const auto view = view_of(status, sessions);
  const auto whole = lines_of(status_text(view, {.width = 100}));
  CHECK(std::ranges::count(whole, "and 60 more") == 1);  // the API lists a part only
  CHECK(std::ranges::count(whole, "and 31 more") == 1);  // refusals end at ten
  for (std::size_t height = 1; height <= 80; ++height) {
    CAPTURE(height);
    const auto lines = lines_of(status_text(view, {.width = 100, .height = height}));
    CHECK(lines.size() <= height);
    CHECK(lines.size() >= std::min<std::size_t>(height, whole.size()) - 1);
    CHECK(lines[0] == whole[0]);
  }
  const auto lines = lines_of(status_text(view, {.width = 100, .height = 40}));
  const auto rows = std::ranges::count_if(lines, [](const auto& line) { return line.starts_with("down RETR"); });
  CHECK(std::ranges::count(lines, "and " + std::to_string(100 - rows) + " more") == 1);
}

TEST_CASE("status: nothing runs, and an answer that lacks everything") {
  CHECK(status_text({}, {.width = 80}) ==
        "pasvgate       up 0.0 s   0 workers\n"
        "\n"
        "sessions    0       0 since the start\n"
        "download    0 B/s   0 B since the start\n"
        "upload      0 B/s   0 B since the start\n"
        "ports       0 in use  [....................]\n"
        "transfers   0\n"
        "\n"
        "no transfers\n"
        "\n"
        "no refusals\n");
  for (const auto* odd : {"{}", R"({"sessions": 7, "history": {"samples": [1, null, []]}, "refusals": [{}, "x"]})",
                          R"({"sessions": [1, {"transfer": {}}], "ports": [1, {"leases": -1}], "state": 3})",
                          R"({"backends": [{"servers": [null, {}]}, 3], "now": "x", "workers": 1.5})"}) {
    const auto json = ordered_json::parse(odd);
    const GatewayView view{status_of(json), transfers_of(json), ports_of(json), servers_of(json)};
    CHECK(has(status_text(view, {.width = 80}), "since the start"));
  }
}

TEST_CASE("status: the color says how it is") {
  struct Row {
    std::string_view state;
    std::string_view painted;
  };
  auto view = view_of(status_json(), sessions_json());
  for (const Row& row : {Row{"ready", "\x1b[32mready\x1b[0m"}, Row{"draining", "\x1b[33mdraining\x1b[0m"},
                         Row{"starting", "\x1b[33mstarting\x1b[0m"}}) {
    view.status.state = row.state;
    const auto text = status_text(view, {.color = Color::On});
    CHECK(has(text, row.painted));
    CHECK(has(text, "\x1b[31mdown "));
    CHECK_FALSE(has(status_text(view, {}), "\x1b"));
  }
  view.ports.in_use = 97;
  CHECK(has(status_text(view, {.color = Color::On}), "\x1b[31m[###"));
}

TEST_CASE("status: nothing raw reaches the terminal, wherever it stands") {
  // Every text of every answer, in turn, is what a stranger might have written.
  const std::string hostile =
      "\x1b[2J\x1b]0;x\x07\r\n\xc2\x9b"
      "1m\xe2\x80\xae\x7f";
  for (const auto* source : {"status", "sessions", "ports", "backends"}) {
    ordered_json all{{"status", status_json()},
                     {"sessions", sessions_json()},
                     {"ports", ports_json()},
                     {"backends", backends_json()}};
    const auto flat = all[source].flatten();
    for (const auto& [pointer, value] : flat.items()) {
      if (!value.is_string()) continue;
      CAPTURE(pointer);
      auto changed = all;
      changed[source][ordered_json::json_pointer(pointer)] = hostile;
      const GatewayView view{status_of(changed["status"]), transfers_of(changed["sessions"]),
                             ports_of(changed["ports"]), servers_of(changed["backends"])};
      for (const std::size_t width : {0, 40, 80, 200}) {
        const auto text = status_text(view, {.width = width, .glyphs = Glyphs::Unicode});
        CHECK(std::ranges::none_of(text, [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7F; }));
        CHECK_FALSE(has(text, "\xc2\x9b"));
        CHECK_FALSE(has(text, "\xe2\x80\xae"));
        CHECK(lines_of(text).size() == lines_of(status_text(view_of(status_json(), sessions_json()), {})).size());
      }
    }
  }
}

TEST_CASE("an answer is a JSON object, and not a deep one") {
  struct Row {
    std::string_view what;
    std::string body;
    bool is_good;
  };
  const Row rows[] = {
      {"an object", R"({"a": [1, {"b": null}]})", true},
      {"no JSON", "<html>", false},
      {"nothing", "", false},
      {"a list", "[]", false},
      {"cut", R"({"a": )", false},
      {"no UTF-8", "{\"a\": \"\xff\"}", false},
      {"a number too large", R"({"a": 1e999})", false},
      {"a bit deep", R"({"a":)" + std::string(10, '[') + std::string(10, ']') + "}", true},
      {"too deep", R"({"a":)" + std::string(100, '[') + std::string(100, ']') + "}", false},
      {"far too deep", R"({"a":)" + std::string(1'000'000, '['), false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto answer = parse_answer(row.body);
    CHECK(answer.has_value() == row.is_good);
    if (!answer) CHECK(answer.error() == "the answer is no JSON object");
  }
  CHECK(error_of(ordered_json{{"error", "no \x1b session"}}) == "no \\x1B session");
  CHECK(error_of(ordered_json{{"error", 7}}).empty());
}

}  // namespace pasvgate::cli
