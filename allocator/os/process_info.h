// What the system counts for this process.
//
// Place:    os/.
// Purpose:  The numbers that the clients of Prometheus export as process_*.
// Not here: their names.
//
// Concurrency: pure reads of the system; call from any thread, and in a signal
//              handler. Nothing is allocated.
// Cost:        three files of /proc, one of them as long as there are open
//              files, and two system calls.
// Failure:     a number that cannot be read is not known. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_PROCESS_INFO_H_
#define SPANMALLOC_ALLOCATOR_OS_PROCESS_INFO_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

struct ProcessInfo {
  struct Number {
    bool known = false;
    uint64_t value = 0;
  };
  Number cpu_hundredths;    // Of a second, user and system.
  Number start_hundredths;  // Of a second, since 1970.
  Number virtual_bytes;
  Number max_virtual_bytes;  // UINT64_MAX: no limit.
  Number resident_bytes;
  Number open_files;
  Number max_files;  // UINT64_MAX: no limit.
};

ProcessInfo ReadProcessInfo();

// What /proc/<pid>/stat says, in its units.
struct ProcessStat {
  uint64_t user_ticks = 0;
  uint64_t system_ticks = 0;
  uint64_t start_ticks = 0;  // Since the system's start.
  uint64_t virtual_bytes = 0;
  uint64_t resident_pages = 0;
};
// `text` ends with a zero. False if it is not what Linux writes.
bool ParseProcessStat(const char* text, ProcessStat* stat);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_PROCESS_INFO_H_
