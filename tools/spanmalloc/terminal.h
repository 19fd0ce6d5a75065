// The terminal, by ncurses: shows lines, and waits for keys.
//
// Purpose:  All that is curses is in here; a build without it has no terminal.
//           Signals come through only while we wait, never in the middle of
//           drawing.
// Not here: what is shown (top_screen.h).
//
// Failure: whichever way it ends, the terminal is as it was before.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TERMINAL_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TERMINAL_H_

#include <signal.h>

#include <cstddef>
#include <string>

#include "tools/spanmalloc/screen_text.h"

namespace spanmalloc_tool {

class Terminal {
 public:
  // False if this build has no ncurses.
  static bool IsBuiltIn();

  ~Terminal();

  // False, with a line that says why, if there is no terminal that can do it.
  bool Open(std::string* error);
  // Gives the terminal back.
  void Close();

  size_t width() const;
  size_t height() const;
  void Show(const Lines& lines);

  enum class Event { kKey, kTimeout, kResize, kEnd };
  // Waits for one of them. A key is a character or one of top_screen.h's.
  Event Wait(double seconds, int* key);

  // The signal that was the end; 0 if there was none (the terminal is gone).
  int end_signal() const;

 private:
  [[maybe_unused]] bool is_open_ = false;
  [[maybe_unused]] sigset_t outside_;  // The signals that were blocked before.
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TERMINAL_H_
