// Limits that are too low. Above the soft one the program goes on, with little
// that is idle. At the hard one allocations fail as they do without memory, and
// what was allocated before stays usable.

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

constexpr size_t kMebibyte = 1 << 20;

// A program that holds 64 MiB and lets ten times as much come and go.
void LiveAboveSoftLimit(bool is_low) {
  std::vector<char*> live(64);
  for (char*& block : live) {
    block = static_cast<char*>(process::Allocate(kMebibyte, 7));
    CHECK(block != nullptr);
  }
  for (int round = 0; round < 20; round++) {
    for (const size_t size : {50, 3000, 40000, 500000}) {
      std::vector<void*> blocks(32 * kMebibyte / size);
      for (void*& block : blocks) {
        block = process::Allocate(size, 1);
        CHECK(block != nullptr);
      }
      for (void* block : blocks) free(block);
    }
    process::Churn(static_cast<unsigned>(round), 2000);
    if (is_low && process::OnSpanmalloc()) {
      CHECK(process::ResidentBytes() < 96 * kMebibyte);
    }
  }
  for (char* block : live) {
    CHECK(block[0] == 7 && block[kMebibyte - 1] == 7);
    free(block);
  }
}

void FillToHardLimit(size_t size) {
  std::vector<char*> blocks;
  blocks.reserve(200 * kMebibyte / size);
  const size_t most = blocks.capacity();
  errno = 0;
  while (blocks.size() < most) {
    char* const block = static_cast<char*>(process::Allocate(size, 3));
    if (block == nullptr) break;
    blocks.push_back(block);
  }
  if (process::OnSpanmalloc()) {
    CHECK(blocks.size() < most && errno == ENOMEM);
    CHECK(process::ResidentBytes() < 140 * kMebibyte);
    bool thrown = false;
    try {
      ::operator delete(::operator new(100 * kMebibyte));
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    CHECK(thrown);
    CHECK(realloc(blocks[0], 100 * kMebibyte) == nullptr);
    CHECK(calloc(100, kMebibyte) == nullptr);
  }
  for (char* block : blocks) CHECK(block[0] == 3 && block[size - 1] == 3);
  // What is freed can be had again, in other sizes.
  for (char* block : blocks) free(block);
  const size_t other = size < 10000 ? 300000 : 500;
  std::vector<void*> others(40 * kMebibyte / other);
  for (void*& block : others) {
    block = process::Allocate(other, 1);
    CHECK(block != nullptr);
  }
  for (void* block : others) free(block);
}

void InChild(char** argv, const char* what, const char* options) {
  const pid_t child = fork();
  if (child == 0) {
    char* const arguments[] = {argv[0], const_cast<char*>(what), nullptr};
    CHECK(setenv("SPANMALLOC_OPTIONS", options, 1) == 0);
    execv("/proc/self/exe", arguments);
    process::Fail(__FILE__, __LINE__, "execv");
  }
  EXPECT_SUCCESS(child);
}

}  // namespace

int main(int argc, char** argv) {
  process::Begin(250);
  if (argc == 2 && strcmp(argv[1], "hard") != 0) {
    const bool is_low = strcmp(argv[1], "soft") == 0;
    LiveAboveSoftLimit(is_low);
    std::thread(LiveAboveSoftLimit, is_low).join();
    return 0;
  }
  if (argc == 2) {
    for (const size_t size : {40, 1000, 20000, 100000}) FillToHardLimit(size);
    std::thread(FillToHardLimit, 5000).join();
    return 0;
  }
  InChild(argv, "soft", "memory_limit=32M,scavenger=off");
  InChild(argv, "soft", "memory_limit=32M,scavenger=inline");
  InChild(argv, "soft", "memory_limit=32M,scavenge_delay=5ms");
  InChild(argv, "hard", "memory_limit_hard=100M");
  InChild(argv, "hard", "memory_limit_hard=100M,memory_limit=50M");
  InChild(argv, "hard", "memory_limit_hard=100M,release=lazily");
  InChild(argv, "any", "memory_limit=cgroup");
  return 0;
}
