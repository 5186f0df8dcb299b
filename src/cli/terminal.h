#pragma once

#include <cstddef>
#include <string_view>

#include "cli/text_table.h"

namespace pasvgate::cli {

/// Color for what goes to `descriptor`: when it is a terminal, and neither --no-color nor NO_COLOR (no-color.org: set
/// to anything but nothing) says otherwise.
bool allows_color();  ///< NO_COLOR alone.
Color color_for(int descriptor, bool no_color);

/// Blocks and lines for figures where the locale's characters are UTF-8.
Glyphs glyphs_for_locale();

struct TerminalSize {
  std::size_t width = 0;
  std::size_t height = 0;
};
/// Of the terminal behind stdout, as it is now; for anything else no height, and the width that COLUMNS says if it says
/// one. 0: no limit.
TerminalSize terminal_size();

/// The alternate screen of the terminal behind stdout, drawn over and over; the screen before is back at its end. Where
/// stdout is no terminal, or one that understands nothing (TERM=dumb), texts follow each other with an empty line
/// between.
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  [[nodiscard]] bool is_terminal() const { return is_terminal_; }
  /// Shows `text`, whose lines end with a line feed. False when it can't be written.
  bool show(std::string_view text);
  /// Gives the terminal back while the process is stopped (SIGTSTP), and takes it again afterwards.
  void pause();

 private:
  void enter();
  void leave();

  bool is_terminal_;
  bool is_first_ = true;
};

/// One line that says what is being done, over and over, where stderr is a terminal that can erase it; else nothing.
class StepLine {
 public:
  StepLine();
  ~StepLine() { clear(); }
  StepLine(const StepLine&) = delete;
  StepLine& operator=(const StepLine&) = delete;

  /// `text` is what the user gave and our own words.
  void show(std::string_view text);
  void clear();

 private:
  bool is_terminal_;
  bool is_shown_ = false;
};

/// All of `text` to stdout; false when it can't be written: the pipe is closed, the disk is full.
bool write_out(std::string_view text);

}  // namespace pasvgate::cli
