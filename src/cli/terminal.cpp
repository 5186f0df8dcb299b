#include "cli/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace pasvgate::cli {

Color color_for(int descriptor, bool no_color) {
  const char* variable = std::getenv("NO_COLOR");
  const bool forbidden = no_color || (variable != nullptr && *variable != '\0');
  return !forbidden && ::isatty(descriptor) == 1 ? Color::On : Color::Off;
}

}  // namespace pasvgate::cli
