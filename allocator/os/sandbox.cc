#include "allocator/os/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "allocator/os/errno_saver.h"
#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

// SECCOMP_MODE_FILTER of <linux/seccomp.h>.
constexpr int kFiltered = 2;
constexpr uint64_t kUnknown = UINT64_MAX;

uint64_t SeccompFilters() {
  // A thread's own file: /proc/self is the thread that started the program.
  char text[4096];
  if (!ReadSmallFile("/proc/thread-self/status", text, sizeof(text))) {
    return kUnknown;
  }
  return ParseSeccompFilters(text);
}

}  // namespace

int SeccompMode() {
  ErrnoSaver errno_saver;
  const int mode = prctl(PR_GET_SECCOMP);
  if (mode >= 0) return mode;
  return errno == EINVAL ? 0 : -1;
}

uint64_t ParseSeccompFilters(const char* text) {
  static constexpr char kKey[] = "\nSeccomp_filters:";
  const char* at = strstr(text, kKey);
  if (at == nullptr) return kUnknown;
  at += sizeof(kKey) - 1;
  while (*at == ' ' || *at == '\t') ++at;
  uint64_t filters;
  return ParseDecimal(&at, &filters) ? filters : kUnknown;
}

void SandboxWatch::Start() {
  mode_ = SeccompMode();
  if (mode_ == kFiltered) filters_ = SeccompFilters();
}

bool SandboxWatch::Changed() const {
  const int mode = SeccompMode();
  if (mode != mode_ || mode < 0) return true;
  if (mode != kFiltered) return false;
  const uint64_t filters = SeccompFilters();
  return filters != filters_ || filters == kUnknown;
}

}  // namespace spanmalloc
