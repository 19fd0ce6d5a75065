// A limit on the address space (RLIMIT_AS, `ulimit -v`). At the limit malloc
// returns NULL with ENOMEM, every block is intact, and when all are freed at
// least three quarters of the room can be had again, in blocks of any other
// size up to 1 MiB. And whole programs run under small limits.
//
// The three quarters are spanmalloc's promise; the system's allocator is not
// held to it.

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "tests/process/harness.h"

namespace {

constexpr size_t kRoom = size_t{64} << 20;
constexpr size_t kSizes[] = {16, 100, 1000, 5000, 33000, 200000, 1 << 20};

// Blocks chained through their first word, the address of each in its last.
struct Chain {
  void** newest = nullptr;
  size_t bytes = 0;

  void Fill(size_t size) {
    for (;;) {
      errno = 0;
      auto* const block = static_cast<void**>(malloc(size));
      if (block == nullptr) break;
      block[size / sizeof(void*) - 1] = block;
      block[0] = newest;
      newest = block;
      bytes += size;
    }
    CHECK(errno == ENOMEM);
  }

  void FreeAll(size_t size) {
    while (newest != nullptr) {
      void** const block = newest;
      newest = static_cast<void**>(block[0]);
      if (size >= 2 * sizeof(void*))
        CHECK(block[size / sizeof(void*) - 1] == block);
      free(block);
    }
    bytes = 0;
  }
};

void LimitRoom(size_t room) {
  const size_t limit = process::VirtualBytes() + room;
  const rlimit address_space = {limit, limit};
  CHECK(setrlimit(RLIMIT_AS, &address_space) == 0);
}

// Exhausts the room with one size, then, everything freed, with another; then
// mixed sizes.
void FillTwice(size_t first, size_t second) {
  alarm(100);
  LimitRoom(kRoom);
  Chain chain;
  chain.Fill(first);
  const size_t first_bytes = chain.bytes;
  // The other entries fail in the same way, and leave what they were given.
  errno = 0;
  CHECK(calloc(2, kRoom / 2) == nullptr && errno == ENOMEM);
  errno = 0;
  CHECK(chain.newest == nullptr || realloc(chain.newest, kRoom) == nullptr);
  CHECK(errno == ENOMEM);
  chain.FreeAll(first);
  chain.Fill(second);
  const size_t second_bytes = chain.bytes;
  chain.FreeAll(second);
  process::Churn(1, 5000);
  const bool enough = second_bytes >= kRoom / 4 * 3;
  if (!enough || first == second) {
    printf("%zu-byte blocks: %zu KiB of %zu; then %zu-byte blocks: %zu KiB\n",
           first, first_bytes >> 10, kRoom >> 10, second, second_bytes >> 10);
    fflush(stdout);
  }
  if (process::OnSpanmalloc()) CHECK(enough);
  _exit(0);
}

// What a whole program gets that was started under a limit.
int RunUnderLimit(size_t limit) {
  Chain chain;
  chain.Fill(50000);
  printf("started under %zu MiB: %zu MiB of blocks\n", limit >> 20,
         chain.bytes >> 20);
  if (process::OnSpanmalloc()) CHECK(chain.bytes >= limit / 2);
  chain.FreeAll(50000);
  process::Churn(1, 5000);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return RunUnderLimit(strtoul(argv[1], nullptr, 10) << 20);
  process::Begin(280);
  for (const size_t first : kSizes) {
    for (const size_t second : kSizes) {
      const pid_t child = fork();
      if (child == 0) FillTwice(first, second);
      EXPECT_SUCCESS(child);
    }
  }
  for (const char* mebibytes : {"48", "64", "128", "256", "1024"}) {
    const pid_t child = fork();
    if (child == 0) {
      const size_t limit = strtoul(mebibytes, nullptr, 10) << 20;
      const rlimit address_space = {limit, limit};
      CHECK(setrlimit(RLIMIT_AS, &address_space) == 0);
      execl("/proc/self/exe", argv[0], mebibytes, nullptr);
      _exit(1);
    }
    EXPECT_SUCCESS(child);
  }
  return 0;
}
