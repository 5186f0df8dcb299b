#include <doctest/doctest.h>

#include <limits>

#include "cli/text_table.h"

namespace pasvgate::cli {

TEST_CASE("columns of a text") {
  CHECK(columns_of("") == 0);
  CHECK(columns_of("abc") == 3);
  CHECK(columns_of("äöü") == 3);
  CHECK(columns_of("e\xCC\x81") == 1);  // with a combining acute accent
  CHECK(columns_of("日本") == 4);
  CHECK(columns_of("😀") == 2);
}

TEST_CASE("a text is cut at a character, with an ellipsis") {
  struct Row {
    std::string_view text;
    std::size_t width;
    Cut cut;
    std::string_view fitted;
  };
  const Row rows[] = {
      {"abcdef", 6, Cut::Back, "abcdef"}, {"abcdef", 4, Cut::Back, "abc…"}, {"abcdef", 4, Cut::Front, "…def"},
      {"abcdef", 1, Cut::Back, "…"},      {"abcdef", 0, Cut::Front, ""},    {"日本語", 4, Cut::Back, "日…"},
      {"日本語", 4, Cut::Front, "…語"},   {"äöü", 2, Cut::Back, "ä…"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CAPTURE(row.width);
    CHECK(fitted(row.text, row.width, row.cut, Glyphs::Unicode) == row.fitted);
  }
  CHECK(fitted("abcdef", 4, Cut::Back, Glyphs::Ascii) == "abc~");
}

TEST_CASE("a line is cut to its width, colors don't count") {
  const TextLine line{{"one ", Paint::Strong}, {"two "}, {"three", Paint::Bad}};
  CHECK(painted(line, 0, Color::Off, Glyphs::Ascii) == "one two three");
  CHECK(painted(line, 13, Color::Off, Glyphs::Ascii) == "one two three");
  CHECK(painted(line, 12, Color::Off, Glyphs::Ascii) == "one two thr~");
  CHECK(painted(line, 8, Color::Off, Glyphs::Ascii) == "one two~");
  CHECK(painted(line, 4, Color::Off, Glyphs::Ascii) == "one~");
  CHECK(painted(line, 0, Color::On, Glyphs::Ascii) == "\x1b[1mone \x1b[0mtwo \x1b[31mthree\x1b[0m");
  CHECK(painted(line, 9, Color::On, Glyphs::Ascii) == "\x1b[1mone \x1b[0mtwo \x1b[31m~\x1b[0m");
}

TEST_CASE("a table: columns as wide as they need, the widest that may shrink gives way") {
  TextTable table({{"NAME", Align::Left, Shrink::Back}, {"N", Align::Right}, {"FILE", Align::Left, Shrink::Front}});
  table.add({{"anna"}, {"7"}, {"short"}});
  table.add({{"somebody else"}, {"1234"}, {"a/long/path/to/it"}});
  const auto text = [&](std::size_t width) {
    std::string out;
    for (const auto& line : table.lines(width, Glyphs::Ascii))
      out += painted(line, width, Color::Off, Glyphs::Ascii) + "|";
    return out;
  };
  CHECK(text(0) == "NAME              N  FILE|anna              7  short|somebody else  1234  a/long/path/to/it|");
  CHECK(text(30) == "NAME            N  FILE|anna            7  short|somebody e~  1234  ~path/to/it|");
  CHECK(text(10) == "NAME     ~|anna     ~|somebod~ ~|");
}

TEST_CASE("numbers in words") {
  constexpr double kEndless = std::numeric_limits<double>::infinity();
  struct Row {
    double value;
    std::string_view bytes;
    std::string_view time;
  };
  const Row rows[] = {
      {-1, "0 B", "0.0 s"},
      {0, "0 B", "0.0 s"},
      {1.25, "1 B", "1.2 s"},
      {59.96, "59 B", "1 min 0 s"},
      {1023, "1023 B", "17 min 3 s"},
      {1024, "1.0 KiB", "17 min 4 s"},
      {3599.7, "3.5 KiB", "1 h 0 min"},
      {86399, "84.4 KiB", "23 h 59 min"},
      {86400, "84.4 KiB", "1 d 0 h"},
      {1048575, "1.0 MiB", "12 d 3 h"},
      {1.5 * 1024 * 1024 * 1024 * 1024, "1.5 TiB", "very long"},
      {1e300, "very many", "very long"},
      {kEndless, "0 B", "0.0 s"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.value);
    CHECK(bytes_text(row.value) == row.bytes);
    CHECK(time_text(row.value) == row.time);
  }
  CHECK(rate_text(2048) == "2.0 KiB/s");
}

TEST_CASE("sparklines and bars") {
  CHECK(sparkline({}, 10, Glyphs::Ascii).empty());
  CHECK(sparkline({1, 2}, 0, Glyphs::Ascii).empty());
  CHECK(sparkline({0, 0, 0}, 10, Glyphs::Ascii) == "___");
  CHECK(sparkline({0, 1, 50, 100}, 10, Glyphs::Ascii) == "_.+#");
  CHECK(sparkline({0, 1, 50, 100}, 10, Glyphs::Unicode) == "▁▂▅█");
  CHECK(sparkline({0, 100, 0, 0, 50, -5}, 3, Glyphs::Ascii) == "#_+");  // of each group the highest
  CHECK(bar(0, 10, 4) == "[....]");
  CHECK(bar(0.1, 10, 4) == "[#...]");
  CHECK(bar(5, 10, 4) == "[##..]");
  CHECK(bar(20, 10, 4) == "[####]");
  CHECK(bar(1, 0, 4) == "[....]");
}

}  // namespace pasvgate::cli
