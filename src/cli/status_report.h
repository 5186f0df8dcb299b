#pragma once

#include <cstddef>
#include <string>

#include "cli/admin_values.h"
#include "cli/text_table.h"

/// `pasvgate status`: values in, text out. Pure.
namespace pasvgate::cli {

struct StatusLayout {
  std::size_t width = 0;   ///< Columns; 0: as wide as it needs.
  std::size_t height = 0;  ///< Lines; 0: as many as it needs.
  Color color = Color::Off;
  Glyphs glyphs = Glyphs::Ascii;
};

/// The state, what it carries, servers with their health, transfers, the last refusals; what doesn't fit the height is
/// counted. Each line ends with a line feed.
std::string status_text(const GatewayView& view, const StatusLayout& layout);

}  // namespace pasvgate::cli
