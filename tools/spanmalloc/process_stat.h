// What the system says about any process, whoever's it is: /proc/PID/stat.
//
// Place:   process_stat -> process_scan -> process_table -> top_screen
// Purpose: One small file tells whether a process is worth a look, how much
//          memory it has, and whether it is still the one it was.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_STAT_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_STAT_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace spanmalloc_tool {

// The program that a process runs. A PID is used again after its process has
// ended, and exec puts another program into the same process: the one changes
// the time of the start, the other where the code and the stack lie.
struct ProcessImage {
  uint64_t start_time = 0;   // In ticks since boot.
  uint64_t start_code = 0;   // These two are constant for those who may not
  uint64_t start_stack = 0;  // read the process.
};
inline bool operator==(const ProcessImage& a, const ProcessImage& b) {
  return a.start_time == b.start_time && a.start_code == b.start_code &&
         a.start_stack == b.start_stack;
}
inline bool operator!=(const ProcessImage& a, const ProcessImage& b) {
  return !(a == b);
}

struct ProcessStat {
  pid_t pid = 0;
  std::string command;  // As it calls itself: any bytes.
  ProcessImage image;
  uint64_t rss_bytes = 0;
  // It has memory of its own: it is no thread of the kernel, and has not ended.
  bool has_memory = false;
};

// False if the text is no such file.
bool ParseProcessStat(const std::string& text, uint64_t page_bytes,
                      ProcessStat* stat);

// False if there is no such process.
bool ReadProcessStat(pid_t pid, ProcessStat* stat);

// All that can be seen, in ascending order.
std::vector<pid_t> ListProcesses();

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_STAT_H_
