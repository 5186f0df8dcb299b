#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string>

#include "cli/interrupts.h"
#include "ftp/line.h"

namespace pasvgate::cli {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

std::size_t columns_variable() {
  const std::string_view text = variable("COLUMNS");
  std::size_t columns = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), columns);
  return error == std::errc() && end == text.data() + text.size() ? columns : 0;
}

bool write_to(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

bool allows_color() { return variable("NO_COLOR").empty(); }

Color color_for(int descriptor, bool no_color) {
  return !no_color && allows_color() && ::isatty(descriptor) == 1 ? Color::On : Color::Off;
}

Glyphs glyphs_for_locale() {
  // The first of them that is set says it (POSIX, XBD 8.2).
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view locale = variable(name);
    if (locale.empty()) continue;
    const bool is_utf8 =
        locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
    return is_utf8 ? Glyphs::Unicode : Glyphs::Ascii;
  }
  return Glyphs::Ascii;
}

TerminalSize terminal_size() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) != 1) return {columns_variable(), 0};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {80, 24};
  return {size.ws_col, size.ws_row};
}

Screen::Screen() : is_terminal_(::isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb") { enter(); }

Screen::~Screen() { leave(); }

// Neither a cursor nor a line that goes on in the next one: a width guessed wrong must not shift everything below.
void Screen::enter() {
  if (is_terminal_) write_out("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
}

void Screen::leave() {
  if (is_terminal_) write_out("\x1b[?7h\x1b[?25h\x1b[?1049l");
}

void Screen::pause() {
  leave();
  stop_process();
  enter();
}

bool Screen::show(std::string_view text) {
  if (!is_terminal_) {
    const std::string gap = is_first_ ? "" : "\n";
    is_first_ = false;
    return write_out(gap + std::string(text));
  }
  std::string out = "\x1b[H";
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    // The last line has no line feed, or a full screen would scroll.
    out += std::string(text.substr(0, end)) + "\x1b[K";
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!text.empty()) out += "\r\n";
  }
  return write_out(out + "\x1b[J");
}

StepLine::StepLine() : is_terminal_(::isatty(STDERR_FILENO) == 1 && variable("TERM") != "dumb") {}

void StepLine::show(std::string_view text) {
  if (!is_terminal_) return;
  winsize size{};
  const bool is_known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  is_shown_ = true;
  // A line that is full may go on in the next one, which then stays.
  write_to(STDERR_FILENO, "\r" + ftp::escaped(text).substr(0, is_known ? size.ws_col - 1 : 79) + "\x1b[K");
}

void StepLine::clear() {
  if (is_shown_) write_to(STDERR_FILENO, "\r\x1b[K");
  is_shown_ = false;
}

bool write_out(std::string_view text) { return write_to(STDOUT_FILENO, text); }
}  // namespace pasvgate::cli
