#include <doctest/doctest.h>

#include <string>

#include "told.h"

using namespace pasvgate::config;

TEST_CASE("syntax: line, column and what was expected") {
  const ToldRow rows[] = {
      {"no text", "", "f:1:1: a value expected, found end of input"},
      {"object not closed", "{", "f:1:2: a key in quotes expected, found end of input"},
      {"comma missing", "{\"workers\": 1\n  \"log\": {}}", "f:2:3: ',' or '}' expected, found string literal"},
      {"comma missing in a list", R"({"listeners": [1 2]})", "f:1:18: ',' or ']' expected, found number literal"},
      {"comma too many", R"({"workers": 1,})", "f:1:15: a key in quotes expected, found '}'"},
      {"colon missing", R"({"workers" 1})", "f:1:12: ':' expected, found number literal"},
      {"word that JSON doesn't have", "{\"workers\": tru}", "f:1:16: invalid literal"},
      {"true for a key", "{true: 1}", "f:1:2: a key in quotes expected, found true literal"},
      {"text behind the end", "{} x", "f:1:4: invalid literal"},
      {"quote missing", R"({"workers)", "f:1:10: invalid string: missing closing quote"},
      {"a tab in a text", "{\"work\ters\": 1}",
       R"(f:1:7: invalid string: control character U+0009 (HT) must be escaped to \u0009 or \t)"},
      {"comment not closed", "{}\n/* open", "f:2:8: invalid comment; missing closing '*/'"},
      {"a number that no type holds", "{\"workers\": 1e999}", "f:1:13: number overflow parsing '1e999'"},
      {"leading zero", "{\"workers\": 01}", "f:1:14: ',' or '}' expected, found number literal"},
      {"bytes that are no UTF-8", "{\"\xff\": 1}", "f:1:3: invalid string: ill-formed UTF-8 byte"},
  };
  for (const ToldRow& row : rows) {
    CAPTURE(row.reason);
    CHECK(told(read_json(row.text)) == row.told);
  }
}

TEST_CASE("syntax: comments may stand anywhere") {
  const std::string text =
      "// first\n{ /* a */ \"listeners\": [ // b\n{\"address\": \"0.0.0.0:21\"}],\n"
      "\"backends\": {\"default\": {\"servers\": [\"a\" /* \"b\" */]}}} // last";
  CHECK(told(read_json(text)) == "ok");
}

TEST_CASE("syntax: a byte order mark is skipped") {
  CHECK(told(read_json("\xEF\xBB\xBF" + file_with(R"("workers": 1)"))) == "ok");
}

TEST_CASE("syntax: keys that stand twice") {
  CHECK(
      told(read_json(R"({"listeners": [{"address": "0.0.0.0:21"}, {"name": "x", "name": "y", "address": "0.0.0.0:22"}],
                           "backends": {"default": {"servers": ["a"]}}, "workers": 1, "workers": 2})")) ==
      "f: /listeners/1/name: stands twice in this object; keep one\n"
      "f: /workers: stands twice in this object; keep one");
}

TEST_CASE("syntax: no depth is too deep") {
  const std::string deep(100'000, '[');
  CHECK(told(read_json(deep)) == "f:1:100001: a value expected, found end of input");
  CHECK(told(read_json(file_with("\"workers\": " + deep + std::string(100'000, ']')))) ==
        "f: /workers: a list is no whole number; write a whole number from 0 to 1024");
}
