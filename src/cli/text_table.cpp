#include "cli/text_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace pasvgate::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kShortest = 8;  ///< What a shrinking column keeps.

struct Range {
  char32_t low;
  char32_t high;
};
// What matters in names of users and files; a wrong guess shifts a column and nothing else.
constexpr Range kNoWidth[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
                              {0x064B, 0x065F}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF},
                              {0x20D0, 0x20FF}, {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},  {0x3041, 0x33FF}, {0x3400, 0x4DBF},
                           {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},  {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},
                           {0xFE30, 0xFE4F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
                           {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

bool is_in(const auto& ranges, char32_t code) {
  return std::ranges::any_of(ranges, [&](const Range& range) { return code >= range.low && code <= range.high; });
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

/// Bytes of the character at the front of `text`, which isn't empty.
std::size_t character_size(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && size < 4 && continues(text[size])) ++size;
  return size;
}

std::size_t character_width(std::string_view character) {
  if (character.size() == 1) return 1;
  auto code = static_cast<char32_t>(static_cast<unsigned char>(character[0]) & (0x7FU >> character.size()));
  for (const char byte : character.substr(1)) code = code << 6U | (static_cast<unsigned char>(byte) & 0x3FU);
  if (is_in(kNoWidth, code)) return 0;
  return is_in(kWide, code) ? 2 : 1;
}

std::string padded(std::string_view text, std::size_t width, Align align) {
  const std::size_t used = columns_of(text);
  const std::string space(width > used ? width - used : 0, ' ');
  return align == Align::Left ? std::string(text) + space : space + std::string(text);
}

std::string_view sequence(Paint paint) {
  switch (paint) {
    case Paint::None:
      return "";
    case Paint::Strong:
      return "\x1b[1m";
    case Paint::Dim:
      return "\x1b[2m";
    case Paint::Good:
      return "\x1b[32m";
    case Paint::Warning:
      return "\x1b[33m";
    case Paint::Bad:
      return "\x1b[31m";
  }
  std::unreachable();
}

std::string decimal(double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f %s", value, unit);
  return text;
}

std::string two(double larger, const char* unit, double smaller, const char* small_unit) {
  char text[96];
  std::snprintf(text, sizeof text, "%.0f %s %.0f %s", larger, unit, smaller, small_unit);
  return text;
}

/// Neither negative nor anything that has no end; a clock may have been set back.
double counted(double value) { return std::isfinite(value) && value > 0 ? value : 0; }

}  // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    columns += character_width(text.substr(0, size));
    text.remove_prefix(size);
  }
  return columns;
}

std::string fitted(std::string_view text, std::size_t width, Cut cut, Glyphs glyphs) {
  std::size_t columns = columns_of(text);
  if (columns <= width) return std::string(text);
  if (width == 0) return {};
  const std::string_view ellipsis = glyphs == Glyphs::Unicode ? "…" : "~";
  if (cut == Cut::Front) {
    while (columns > width - 1) {
      const std::size_t size = character_size(text);
      columns -= character_width(text.substr(0, size));
      text.remove_prefix(size);
    }
    return std::string(ellipsis) + std::string(text);
  }
  std::size_t kept = 0;
  std::size_t used = 0;
  while (kept < text.size()) {
    const std::size_t size = character_size(text.substr(kept));
    const std::size_t wide = character_width(text.substr(kept, size));
    if (used + wide > width - 1) break;
    kept += size;
    used += wide;
  }
  return std::string(text.substr(0, kept)) + std::string(ellipsis);
}

std::string painted(const TextLine& line, std::size_t width, Color color, Glyphs glyphs) {
  std::size_t whole = 0;
  for (const Cell& cell : line) whole += columns_of(cell.text);
  std::size_t left = width == 0 ? whole : std::min(width, whole);
  std::string out;
  for (const Cell& cell : line) {
    std::string text = cell.text;
    const std::size_t columns = columns_of(text);
    // The last column is the ellipsis's, also when the cut falls between two cells.
    const bool is_cut = whole > left && columns >= left;
    if (is_cut) text = fitted(text.append(" "), left, Cut::Back, glyphs);
    const bool is_painted = color == Color::On && cell.paint != Paint::None && !text.empty();
    if (is_painted) out += sequence(cell.paint);
    out += text;
    if (is_painted) out += "\x1b[0m";
    if (is_cut) break;
    left -= columns;
    whole -= columns;
  }
  return out;
}

std::vector<std::size_t> TextTable::widths(std::size_t width) const {
  std::vector<std::size_t> widths;
  std::size_t sum = 0;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t widest = columns_of(columns_[i].title);
    for (const auto& row : rows_) widest = std::max(widest, columns_of(row[i].text));
    widths.push_back(widest);
    sum += widest + (i == 0 ? 0 : kGap);
  }
  while (width != 0 && sum > width) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const bool shrinks = columns_[i].shrink != Shrink::No && widths[i] > kShortest;
      if (shrinks && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
    --sum;
  }
  return widths;
}

std::vector<TextLine> TextTable::lines(std::size_t width, Glyphs glyphs) const {
  const auto wide = widths(width);
  std::vector<TextLine> lines;
  const auto add = [&](auto cell_of) {
    TextLine line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line.push_back({std::string(kGap, ' ')});
      Cell cell = cell_of(i);
      const Cut cut = columns_[i].shrink == Shrink::Front ? Cut::Front : Cut::Back;
      cell.text = fitted(cell.text, wide[i], cut, glyphs);
      const bool ends_line = i + 1 == columns_.size() && columns_[i].align == Align::Left;
      if (!ends_line) cell.text = padded(cell.text, wide[i], columns_[i].align);
      line.push_back(std::move(cell));
    }
    lines.push_back(std::move(line));
  };
  add([&](std::size_t i) { return Cell{columns_[i].title, Paint::Strong}; });
  for (const auto& row : rows_) add([&](std::size_t i) { return row[i]; });
  return lines;
}

std::string bytes_text(double bytes) {
  bytes = counted(bytes);
  if (bytes < 1024) return std::to_string(static_cast<int>(bytes)) + " B";
  const std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  bytes /= 1024;
  // 1023.95 would be printed as 1024.0.
  for (; bytes >= 1023.95 && unit + 1 < units.size(); ++unit) bytes /= 1024;
  return bytes < 1e6 ? decimal(bytes, units[unit]) : "very many";
}

std::string rate_text(double rate) { return bytes_text(rate) + "/s"; }

std::string time_text(double duration) {
  duration = counted(duration);
  if (duration < 59.95) return decimal(duration, "s");
  const double whole = std::round(duration);
  if (whole < 3600) return two(std::floor(whole / 60), "min", std::fmod(whole, 60), "s");
  if (whole < 86400) return two(std::floor(whole / 3600), "h", std::floor(std::fmod(whole, 3600) / 60), "min");
  if (whole > 1e9) return "very long";
  return two(std::floor(whole / 86400), "d", std::floor(std::fmod(whole, 86400) / 3600), "h");
}

std::string sparkline(const std::vector<double>& values, std::size_t width, Glyphs glyphs) {
  constexpr std::array kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::array kLetters{"_", ".", "-", "=", "+", "*", "%", "#"};
  if (values.empty() || width == 0) return {};
  const std::size_t count = std::min(width, values.size());
  std::vector<double> groups(count, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    double& group = groups[i * count / values.size()];
    group = std::max(group, counted(values[i]));
  }
  const double top = std::ranges::max(groups);
  std::string out;
  for (const double value : groups) {
    const auto level = top > 0 ? static_cast<std::size_t>(std::ceil(value / top * 7)) : 0;
    out += (glyphs == Glyphs::Unicode ? kBlocks : kLetters).at(std::min<std::size_t>(level, 7));
  }
  return out;
}

std::string bar(double part, double whole, std::size_t width) {
  const double share = whole > 0 ? std::min(1.0, counted(part) / whole) : 0;
  auto full = static_cast<std::size_t>(share * static_cast<double>(width));
  if (full == 0 && share > 0) full = std::min<std::size_t>(1, width);
  return "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
}

}  // namespace pasvgate::cli
