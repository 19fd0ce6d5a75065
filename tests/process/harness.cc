// See harness.h.

#include "tests/process/harness.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace process {
namespace {

void Say(const char* text) {
  const ssize_t ignored = write(2, text, strlen(text));
  static_cast<void>(ignored);
}

size_t Statm(int field) {
  char text[128] = {};
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t got = read(file, text, sizeof(text) - 1);
  close(file);
  if (got <= 0) return 0;
  char* at = text;
  size_t value = 0;
  for (int i = 0; i <= field; i++) value = strtoul(at, &at, 10);
  return value * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Fail(const char* file, int line, const char* what) {
  char text[512];
  snprintf(text, sizeof(text), "%s:%d: failed: %s (errno %d)\n", file, line,
           what, errno);
  Say(text);
  _exit(1);
}

void Begin(unsigned seconds) {
  alarm(seconds);
  if (getenv("SPANMALLOC_TEST_EXPECTED") != nullptr) CHECK(OnSpanmalloc());
}

size_t VirtualBytes() { return Statm(0); }
size_t ResidentBytes() { return Statm(1); }

void WithOptions(char** argv, const char* options) {
  const char* const now = getenv("SPANMALLOC_OPTIONS");
  if (now != nullptr && strcmp(now, options) == 0) return;
  CHECK(setenv("SPANMALLOC_OPTIONS", options, 1) == 0);
  execv("/proc/self/exe", argv);
  Fail(__FILE__, __LINE__, "execv");
}

int ThreadsNamed(const char* name) {
  const size_t length = strlen(name);
  int count = 0;
  // Without opendir, which allocates.
  const int folder =
      open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(folder >= 0);
  alignas(8) char entries[4096];
  for (;;) {
    const long got = syscall(SYS_getdents64, folder, entries, sizeof(entries));
    CHECK(got >= 0);
    if (got == 0) break;
    for (long at = 0; at < got;) {
      // A struct linux_dirent64: two numbers of 8 bytes, the entry's length in
      // 2, its type in 1, and its name.
      unsigned short size;
      memcpy(&size, entries + at + 16, sizeof(size));
      char path[64], text[32] = {};
      snprintf(path, sizeof(path), "%s/comm", entries + at + 19);
      at += size;
      const int file = openat(folder, path, O_RDONLY | O_CLOEXEC);
      if (file < 0) continue;
      if (read(file, text, sizeof(text) - 1) > 0 &&
          strncmp(text, name, length) == 0 && text[length] == '\n') {
        count++;
      }
      close(file);
    }
  }
  close(folder);
  return count;
}

void ExpectSuccess(pid_t child, const char* file, int line) {
  if (child < 0) Fail(file, line, "no child");
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) Fail(file, line, "waitpid");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  char text[128];
  snprintf(text, sizeof(text), "child ended by %s %d",
           WIFEXITED(status) ? "status" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  Fail(file, line, text);
}

void* Allocate(size_t size, int fill) {
  void* const block = malloc(size);
  if (block != nullptr) memset(block, fill, size);
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

void Churn(unsigned seed, int steps) {
  constexpr int kSlots = 64;
  unsigned char* slots[kSlots] = {};
  size_t sizes[kSlots] = {};
  unsigned state = seed * 2654435761u + 1;
  const auto next = [&state] {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
  };
  for (int step = 0; step < steps; step++) {
    const unsigned i = next() % kSlots;
    const auto mark = static_cast<unsigned char>(i + 1);
    if (slots[i] != nullptr) {
      CHECK(slots[i][0] == mark);
      CHECK(slots[i][sizes[i] - 1] == mark);
    }
    size_t size = 1 + next() % 200;
    if (step % 16 == 0) size = 1 + next() % 5000;
    if (step % 256 == 0) size = 1 + next() % 300000;
    if (next() % 4 == 0) {
      slots[i] = static_cast<unsigned char*>(realloc(slots[i], size));
    } else {
      free(slots[i]);
      slots[i] = static_cast<unsigned char*>(malloc(size));
    }
    CHECK(slots[i] != nullptr);
    slots[i][0] = mark;
    slots[i][size - 1] = mark;
    sizes[i] = size;
  }
  for (unsigned char* slot : slots) free(slot);
}

}  // namespace process
