#pragma once

#include "cli/probe.h"

namespace pasvgate::cli {

/// Color for what goes to `descriptor`: when it is a terminal, and neither --no-color nor NO_COLOR (no-color.org: set
/// to anything but nothing) says otherwise.
bool allows_color();  ///< NO_COLOR alone.
Color color_for(int descriptor, bool no_color);

}  // namespace pasvgate::cli
