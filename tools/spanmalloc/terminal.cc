#include "tools/spanmalloc/terminal.h"

#include "tools/spanmalloc/top_screen.h"

#ifdef SPANMALLOC_TOOL_CURSES
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#endif

namespace spanmalloc_tool {

#ifdef SPANMALLOC_TOOL_CURSES

namespace {

volatile sig_atomic_t end_signal_seen = 0;

void NoteEnd(int signal) { end_signal_seen = signal; }

// That end the program,
constexpr int kEndSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
// and those that ncurses answers to.
constexpr int kCursesSignals[] = {SIGWINCH, SIGTSTP};

constexpr int kEscapeDelay = 50;  // Milliseconds that a sequence may take.

// Pairs of colours.
enum : short { kHeaderPair = 1, kSelectedPair, kWarningPair, kBarPair };

attr_t Attributes(Style style) {
  const auto pair = [](short number) {
    return has_colors() ? static_cast<attr_t>(COLOR_PAIR(number)) : A_NORMAL;
  };
  switch (style) {
    case Style::kPlain:
      return A_NORMAL;
    case Style::kTitle:
      return A_BOLD;
    case Style::kQuiet:
      return A_DIM;
    case Style::kHeader:
      return has_colors() ? pair(kHeaderPair) : A_REVERSE;
    case Style::kSortedHeader:
      return (has_colors() ? pair(kHeaderPair) : A_REVERSE) | A_BOLD;
    case Style::kSelected:
      return has_colors() ? pair(kSelectedPair) | A_BOLD : A_REVERSE;
    case Style::kWarning:
      return pair(kWarningPair) | A_BOLD;
    case Style::kBar:
      return pair(kBarPair);
  }
  return A_NORMAL;
}

void StartColors() {
  if (!has_colors()) return;
  start_color();
  const short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
  init_pair(kHeaderPair, COLOR_BLACK, COLOR_CYAN);
  init_pair(kSelectedPair, COLOR_WHITE, COLOR_BLUE);
  init_pair(kWarningPair, COLOR_YELLOW, background);
  init_pair(kBarPair, COLOR_GREEN, background);
}

int Translate(int key) {
  switch (key) {
    case KEY_UP:
      return kKeyUp;
    case KEY_DOWN:
      return kKeyDown;
    case KEY_PPAGE:
      return kKeyPageUp;
    case KEY_NPAGE:
      return kKeyPageDown;
    case KEY_HOME:
      return kKeyHome;
    case KEY_END:
      return kKeyEnd;
    case KEY_ENTER:
    case '\n':
    case '\r':
      return kKeyEnter;
    case KEY_BACKSPACE:
    case KEY_LEFT:
    case '\b':
    case 127:
    case 27:
      return kKeyBack;
    case KEY_F(1):
      return '?';
  }
  return key < 0x100 ? key : 0;
}

// Whether there is something to read, waiting for no longer than that. False
// also if a signal came. The end of the terminal is *gone.
bool HasInput(double seconds, const sigset_t& signals, bool* gone) {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  timespec time;
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - std::floor(seconds)) * 1e9);
  const int n = ppoll(&input, 1, &time, &signals);
  *gone = n > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  return n > 0 && !*gone;
}

}  // namespace

bool Terminal::IsBuiltIn() { return true; }

Terminal::~Terminal() { Close(); }

bool Terminal::Open(std::string* error) {
  if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) {
    *error = isatty(STDOUT_FILENO) == 0 ? "stdout is no terminal; use --once"
                                        : "stdin is no terminal; use --once";
    return false;
  }
  // From here on signals wait until we do.
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int signal : kEndSignals) sigaddset(&blocked, signal);
  for (const int signal : kCursesSignals) sigaddset(&blocked, signal);
  sigprocmask(SIG_BLOCK, &blocked, &outside_);
  // Ours are there first, so ncurses leaves them alone. What was ignored before
  // (by nohup, say) stays so.
  struct sigaction action = {};
  action.sa_handler = NoteEnd;
  for (const int signal : kEndSignals) {
    struct sigaction before;
    if (sigaction(signal, nullptr, &before) == 0 &&
        before.sa_handler != SIG_IGN) {
      sigaction(signal, &action, nullptr);
    }
  }

  setlocale(LC_CTYPE, "");
  if (newterm(nullptr, stdout, stdin) == nullptr) {
    const char* const name = std::getenv("TERM");
    *error = "the terminal " + std::string(name == nullptr ? "" : name) +
             " (TERM) is not known; use --once";
    sigprocmask(SIG_SETMASK, &outside_, nullptr);
    return false;
  }
  is_open_ = true;
  StartColors();
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  set_escdelay(kEscapeDelay);
  curs_set(0);
  return true;
}

void Terminal::Close() {
  if (!is_open_) return;
  is_open_ = false;
  endwin();
  sigprocmask(SIG_SETMASK, &outside_, nullptr);
}

size_t Terminal::width() const { return static_cast<size_t>(COLS); }
size_t Terminal::height() const { return static_cast<size_t>(LINES); }

void Terminal::Show(const Lines& lines) {
  erase();
  for (size_t y = 0; y < lines.size(); ++y) {
    move(static_cast<int>(y), 0);
    for (const Piece& piece : lines[y].pieces()) {
      attrset(Attributes(piece.style));
      addstr(piece.text.c_str());
    }
  }
  attrset(A_NORMAL);
  refresh();
}

Terminal::Event Terminal::Wait(double seconds, int* key) {
  bool gone = false;
  sigset_t signals = outside_;
  for (const int signal : kEndSignals) sigdelset(&signals, signal);
  for (const int signal : kCursesSignals) sigdelset(&signals, signal);
  const bool has_input = HasInput(seconds, signals, &gone);
  if (gone || end_signal_seen != 0) return Event::kEnd;
  // Also if a signal came: the change of size is a key to curses.
  const int read = getch();
  if (read == KEY_RESIZE) return Event::kResize;
  // What was stopped has missed the signal.
  winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
      size.ws_col > 0 && is_term_resized(size.ws_row, size.ws_col)) {
    resizeterm(size.ws_row, size.ws_col);
    if (read == ERR) return Event::kResize;
  }
  if (read == ERR) {
    // Something to read that is nothing: the end of the file, or an incomplete
    // character.
    char byte;
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (has_input && poll(&input, 1, 0) > 0 &&
        ::read(STDIN_FILENO, &byte, 1) == 0) {
      return Event::kEnd;
    }
    return Event::kTimeout;
  }
  *key = Translate(read);
  return Event::kKey;
}

int Terminal::end_signal() const { return end_signal_seen; }

#else  // !SPANMALLOC_TOOL_CURSES

bool Terminal::IsBuiltIn() { return false; }
Terminal::~Terminal() = default;
bool Terminal::Open(std::string* error) {
  *error = "this build has no full screen, for it has no ncurses; use --once";
  return false;
}
void Terminal::Close() {}
size_t Terminal::width() const { return 0; }
size_t Terminal::height() const { return 0; }
void Terminal::Show(const Lines&) {}
Terminal::Event Terminal::Wait(double, int*) { return Event::kEnd; }
int Terminal::end_signal() const { return 0; }

#endif  // SPANMALLOC_TOOL_CURSES

}  // namespace spanmalloc_tool
