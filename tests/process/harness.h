// What every program in this folder needs: checks that allocate nothing, a
// watchdog, and a few numbers about the process from the kernel.
//
// Each program is one test: exit status 0 passed, 1 failed, 77 skipped, a
// signal failed. It runs plain (the system's allocator, to show that the test
// itself is right), under LD_PRELOAD and, where that makes sense, linked
// statically. The environment variable SPANMALLOC_TEST_EXPECTED tells it that
// it must find itself on spanmalloc.
//
// Not here: GoogleTest. These programs do to their process what no framework
// survives.

#ifndef SPANMALLOC_TESTS_PROCESS_HARNESS_H_
#define SPANMALLOC_TESTS_PROCESS_HARNESS_H_

#include <sys/types.h>

#include <cstddef>

namespace process {

constexpr int kSkipped = 77;

// Prints without allocating and ends the process with status 1.
[[noreturn]] void Fail(const char* file, int line, const char* what);

// Starts the watchdog, in seconds; SIGALRM ends a process that hangs. A forked
// child needs its own. Fails if spanmalloc is expected and absent.
void Begin(unsigned seconds);

// True if the program's malloc is spanmalloc's.
bool OnSpanmalloc();

// From /proc/self/statm, in bytes.
size_t VirtualBytes();
size_t ResidentBytes();

// Starts the program again if SPANMALLOC_OPTIONS is not yet this text.
void WithOptions(char** argv, const char* options);

// How many threads of the process have that name.
int ThreadsNamed(const char* name);

// Waits for a child and fails unless it exited with status 0.
void ExpectSuccess(pid_t child, const char* file, int line);

// An allocation that the compiler cannot remove, filled with a byte.
void* Allocate(size_t size, int fill);

// Mixed sizes allocated, resized, checked and freed; `seed` makes it differ
// from others.
void Churn(unsigned seed, int steps);

}  // namespace process

#define CHECK(condition) \
  ((condition) ? (void)0 : ::process::Fail(__FILE__, __LINE__, #condition))
#define EXPECT_SUCCESS(child) \
  ::process::ExpectSuccess((child), __FILE__, __LINE__)

#endif  // SPANMALLOC_TESTS_PROCESS_HARNESS_H_
