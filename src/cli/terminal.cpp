#include "cli/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace pasvgate::cli {

bool allows_color() {
  const char* variable = std::getenv("NO_COLOR");
  return variable == nullptr || *variable == '\0';
}

Color color_for(int descriptor, bool no_color) {
  return !no_color && allows_color() && ::isatty(descriptor) == 1 ? Color::On : Color::Off;
}

}  // namespace pasvgate::cli
