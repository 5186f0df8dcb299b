#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/probe.h"

/// Lines for a terminal: how wide text is there, cut and painted. Pure. The text must be fit to be printed already
/// (ftp::escaped): the only escape sequences of the result are the colors.
namespace pasvgate::cli {

enum class Glyphs : std::uint8_t {
  Ascii,
  Unicode  ///< The terminal shows UTF-8.
};
enum class Paint : std::uint8_t { None, Strong, Dim, Good, Warning, Bad };

/// Columns that `text` takes: two for an East Asian wide character, none for a combining one.
std::size_t columns_of(std::string_view text);

enum class Cut : std::uint8_t { Front, Back };
/// `text` in at most `width` columns, with an ellipsis where something was cut.
std::string fitted(std::string_view text, std::size_t width, Cut cut, Glyphs glyphs);

struct Cell {
  std::string text;
  Paint paint = Paint::None;
};
/// Cells that follow each other without a gap.
using TextLine = std::vector<Cell>;
/// The line in `width` columns (0: no limit), without the end of the line.
std::string painted(const TextLine& line, std::size_t width, Color color, Glyphs glyphs);

enum class Align : std::uint8_t { Left, Right };
enum class Shrink : std::uint8_t { No, Front, Back };
struct Column {
  std::string title;
  Align align = Align::Left;
  Shrink shrink = Shrink::No;  ///< Where its text is cut when the table is too wide.
};

/// Rows below titles, each column as wide as it needs.
class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool is_empty() const { return rows_.empty(); }
  /// The titles and every row, within `width` columns where the shrinking columns allow it (0: no limit).
  [[nodiscard]] std::vector<TextLine> lines(std::size_t width, Glyphs glyphs) const;

 private:
  [[nodiscard]] std::vector<std::size_t> widths(std::size_t width) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// Numbers in words.
std::string bytes_text(double bytes);    ///< "17 B", "1.2 MiB"
std::string rate_text(double rate);      ///< Bytes a second: "1.2 MiB/s"
std::string time_text(double duration);  ///< Seconds: "1.2 s", "12 min 3 s", "3 h 12 min", "2 d 3 h"

/// One character for each of at most `width` groups of values, higher for more; the highest value is the top.
std::string sparkline(const std::vector<double>& values, std::size_t width, Glyphs glyphs);
/// "[####......]", `width` characters between the brackets; anything above nothing shows at least one.
std::string bar(double part, double whole, std::size_t width);

}  // namespace pasvgate::cli
