// What a trivial program pays for the allocator: address space, resident memory
// and start-up time, with LD_PRELOAD as it stands in the environment and
// without. Asserted is only the address space: at most 200 MiB more than
// without; the times are printed.

#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/process/harness.h"

extern char** environ;

namespace {

constexpr size_t kAllowance = size_t{200} << 20;
constexpr int kStarts = 200;

struct Cost {
  size_t virtual_bytes = 0;
  size_t resident_bytes = 0;
  double microseconds = 0;  // The least of all starts.
};

double Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 +
         static_cast<double>(now.tv_nsec) / 1e3;
}

Cost Measure(const char* program, bool preload) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; entry++) {
    if (!preload && strncmp(*entry, "LD_PRELOAD=", 11) == 0) continue;
    environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  Cost cost;
  for (int i = 0; i < kStarts; i++) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    char number[16];
    snprintf(number, sizeof(number), "%d", ends[1]);
    char* const arguments[] = {const_cast<char*>(program), number, nullptr};
    pid_t child = -1;
    const double start = Now();
    CHECK(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments,
                      environment.data()) == 0);
    EXPECT_SUCCESS(child);
    const double spent = Now() - start;
    if (i == 0 || spent < cost.microseconds) cost.microseconds = spent;
    size_t sizes[2] = {};
    CHECK(read(ends[0], sizes, sizeof(sizes)) ==
          static_cast<ssize_t>(sizeof(sizes)));
    close(ends[0]);
    close(ends[1]);
    cost.virtual_bytes = sizes[0];
    cost.resident_bytes = sizes[1];
  }
  return cost;
}

void Print(const char* name, const Cost& cost) {
  printf("%s: virtual %zu KiB, resident %zu KiB, start and end %.0f us\n", name,
         cost.virtual_bytes >> 10, cost.resident_bytes >> 10,
         cost.microseconds);
}

// The trivial program.
int Trivial(int file) {
  free(process::Allocate(1000, 1));
  const size_t sizes[2] = {process::VirtualBytes(), process::ResidentBytes()};
  return write(file, sizes, sizeof(sizes)) ==
                 static_cast<ssize_t>(sizeof(sizes))
             ? 0
             : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return Trivial(atoi(argv[1]));
  process::Begin(120);
  const Cost with = Measure(argv[0], true);
  const Cost without = Measure(argv[0], false);
  Print("as it stands   ", with);
  Print("without preload", without);
  CHECK(with.virtual_bytes <= without.virtual_bytes + kAllowance);
  // Linked, there is nothing to compare with: the allowance, and what a plain
  // program has.
  CHECK(with.virtual_bytes <= kAllowance + (size_t{32} << 20));
  return 0;
}
