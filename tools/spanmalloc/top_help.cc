#include "tools/spanmalloc/top_help.h"

#include <string>

namespace spanmalloc_tool {

const char kTopUsage[] =
    "usage: spanmalloc top [--interval SECONDS] [--once] [PID]\n"
    "\n"
    "Shows all processes that run on spanmalloc, or one of them in detail. "
    "They\n"
    "are neither stopped nor asked, and do not notice.\n"
    "\n"
    "  --interval  seconds between two looks, 0.1 to 3600; default 2\n"
    "  --once      prints the table, or the detail of PID, as text, and ends;\n"
    "              takes one interval, for rates need two looks\n"
    "\n"
    "Columns, and the keys that sort by them (again: the other way round):\n"
    "  r RSS     memory of the whole process   i IDLE      free, not released\n"
    "  u IN USE  blocks of the program         a ALLOC/s   bytes each second\n"
    "  h HELD    free in caches and spans      m MALLOC/s  blocks each second\n"
    "    FRAG    HELD of all that is in spans  p PID       n COMMAND\n"
    "  in the detail: u live bytes, m mallocs, s size\n"
    "\n"
    "Keys:\n"
    "  Up Down j k, PgUp PgDn, Home End  move    R      the other way round\n"
    "  Enter  one process in detail              Space  look again now\n"
    "  Esc    back (also Backspace)              + -    interval\n"
    "  ?      this help                          q      quit (also Ctrl-C)\n"
    "\n"
    "A ~ before a name: it was read in the middle of a step, some figures may\n"
    "be one step apart. Processes of other users can be read by root alone.\n";

Lines TopHelp() {
  const std::string usage = kTopUsage;
  Lines lines;
  size_t start = usage.find("Columns,");
  while (start < usage.size()) {
    const size_t end = usage.find('\n', start);
    const std::string text = usage.substr(start, end - start);
    const bool is_title = !text.empty() && text.back() == ':';
    lines.emplace_back(text, is_title ? Style::kTitle : Style::kPlain);
    start = end + 1;
  }
  return lines;
}

}  // namespace spanmalloc_tool
