#include "allocator/os/process_info.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "allocator/os/small_file.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

using Number = ProcessInfo::Number;

// The system's start, in seconds since 1970: the line "btime <n>" of
// /proc/stat, some of whose lines are as long as the machine is large.
Number ReadBootSeconds() {
  static constexpr char kKey[] = "\nbtime ";
  constexpr size_t kKeySize = sizeof(kKey) - 1;
  const int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  Number seconds;
  char part[512];
  size_t matched = 0;
  ssize_t size;
  bool done = false;
  while (!done && (size = read(fd, part, sizeof(part))) > 0) {
    for (ssize_t i = 0; i < size && !done; ++i) {
      const char c = part[i];
      if (matched == kKeySize) {
        if (c >= '0' && c <= '9') {
          seconds.known = true;
          seconds.value = seconds.value * 10 + uint64_t(c - '0');
        } else {
          done = true;
        }
      } else if (c == kKey[matched]) {
        ++matched;
      } else {
        matched = c == kKey[0];
      }
    }
  }
  close(fd);
  return seconds;
}

// The entries of /proc/self/fd that are not the folder's own descriptor, . or
// ... opendir would allocate.
Number CountOpenFiles() {
  struct Entry {  // The kernel's linux_dirent64, up to the name.
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[1];
  };
  const int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return {};
  alignas(8) char part[1024];
  uint64_t entries = 0;
  long size;
  while ((size = syscall(SYS_getdents64, fd, part, sizeof(part))) > 0) {
    for (long at = 0; at < size;) {
      const Entry* const entry = reinterpret_cast<const Entry*>(part + at);
      entries += entry->name[0] != '.';
      at += entry->size;
    }
  }
  close(fd);
  if (size < 0 || entries == 0) return {};
  return {true, entries - 1};
}

Number Limit(int resource) {
  rlimit limit;
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
    return {};
  }
  return {true, limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur};
}

}  // namespace

bool ParseProcessStat(const char* text, ProcessStat* stat) {
  // The second field is the program's name in parentheses, and may hold
  // anything.
  const char* at = strrchr(text, ')');
  if (at == nullptr) return false;
  ++at;
  struct {
    int field;
    uint64_t* value;
  } const wanted[] = {{14, &stat->user_ticks},
                      {15, &stat->system_ticks},
                      {22, &stat->start_ticks},
                      {23, &stat->virtual_bytes},
                      {24, &stat->resident_pages}};
  int field = 2;
  for (const auto& next : wanted) {
    while (field < next.field) {
      at = strchr(at, ' ');
      if (at == nullptr) return false;
      ++at;
      ++field;
    }
    if (!ParseDecimal(&at, next.value)) return false;
  }
  return true;
}

ProcessInfo ReadProcessInfo() {
  const int saved_errno = errno;
  ProcessInfo info;
  char text[1024];
  ProcessStat stat;
  const long ticks = sysconf(_SC_CLK_TCK);
  if (ticks > 0 && ReadSmallFile("/proc/self/stat", text, sizeof(text)) &&
      ParseProcessStat(text, &stat)) {
    const uint64_t per_second = static_cast<uint64_t>(ticks);
    info.cpu_hundredths = {
        true, (stat.user_ticks + stat.system_ticks) * 100 / per_second};
    info.virtual_bytes = {true, stat.virtual_bytes};
    info.resident_bytes = {true, stat.resident_pages * SystemPageSize()};
    const Number boot = ReadBootSeconds();
    info.start_hundredths = {
        boot.known, boot.value * 100 + stat.start_ticks * 100 / per_second};
  }
  info.open_files = CountOpenFiles();
  info.max_files = Limit(RLIMIT_NOFILE);
  info.max_virtual_bytes = Limit(RLIMIT_AS);
  errno = saved_errno;
  return info;
}

}  // namespace spanmalloc
