#include "tools/spanmalloc/process_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace spanmalloc_tool {
namespace {

// Fields as proc(5) counts them. The first behind the name is the state.
constexpr size_t kState = 3;
constexpr size_t kFlags = 9;
constexpr size_t kStartTime = 22;
constexpr size_t kRss = 24;
constexpr size_t kStartCode = 26;
constexpr size_t kStartStack = 28;

constexpr uint64_t kKernelThread = 0x00200000;  // The kernel's PF_KTHREAD.

}  // namespace

bool ParseProcessStat(const std::string& text, uint64_t page_bytes,
                      ProcessStat* stat) {
  // The name may have blanks, parentheses and line ends in it; nothing behind
  // it has.
  const size_t open = text.find(" (");
  const size_t close = text.rfind(") ");
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return false;
  }
  *stat = {};
  stat->pid = static_cast<pid_t>(std::strtol(text.c_str(), nullptr, 10));
  stat->command = text.substr(open + 2, close - open - 2);

  const char state = text[close + 2];
  uint64_t fields[kStartStack + 1] = {};
  const char* at = text.c_str() + close + 3;
  for (size_t i = kState + 1; i <= kStartStack; ++i) {
    char* end;
    fields[i] = std::strtoull(at, &end, 10);
    if (end == at) return false;
    at = end;
  }
  stat->image = {fields[kStartTime], fields[kStartCode], fields[kStartStack]};
  stat->rss_bytes = fields[kRss] * page_bytes;
  stat->has_memory = state != 'Z' && state != 'X' && state != 'x' &&
                     (fields[kFlags] & kKernelThread) == 0;
  return stat->pid > 0;
}

bool ReadProcessStat(pid_t pid, ProcessStat* stat) {
  static const uint64_t page_bytes =
      static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[4096];
  ssize_t n;
  do {
    n = read(file, text, sizeof(text));
  } while (n < 0 && errno == EINTR);
  close(file);
  return n > 0 && ParseProcessStat(std::string(text, static_cast<size_t>(n)),
                                   page_bytes, stat);
}

std::vector<pid_t> ListProcesses() {
  std::vector<pid_t> pids;
  DIR* const folder = opendir("/proc");
  if (folder == nullptr) return pids;
  while (const dirent* const entry = readdir(folder)) {
    char* end;
    const long pid = std::strtol(entry->d_name, &end, 10);
    if (pid > 0 && *end == '\0') pids.push_back(static_cast<pid_t>(pid));
  }
  closedir(folder);
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace spanmalloc_tool
