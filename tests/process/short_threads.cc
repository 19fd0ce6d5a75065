// A hundred thousand threads that live for a few allocations each. What a dead
// thread had cached is used by later ones: the heap does not grow.

#include <pthread.h>

#include <cstdio>
#include <cstdlib>

#include "tests/process/harness.h"

namespace {

constexpr int kThreads = 100000;
constexpr int kWarm = 10000;
constexpr size_t kSlack = size_t{4} << 20;

void* handed_over[8];  // Blocks of a thread that its successor frees.

void* Body(void*) {
  for (void*& block : handed_over) free(block);
  void* own[24];
  size_t size = 10;
  for (void*& block : own) {
    block = process::Allocate(size, 1);
    CHECK(block != nullptr);
    size = size * 5 / 4 + 3;
  }
  for (void* block : own) free(block);
  for (void*& block : handed_over) {
    block = process::Allocate(size, 2);
    size = size * 2 / 3 + 1;
  }
  return nullptr;
}

}  // namespace

int main() {
  process::Begin(280);
  size_t resident = 0;
  size_t virtual_size = 0;
  for (int i = 0; i < kThreads; i += 2) {
    if (i == kWarm) {
      resident = process::ResidentBytes();
      virtual_size = process::VirtualBytes();
    }
    // In pairs: one hands over, the other only comes and goes beside it.
    pthread_t one;
    pthread_t two;
    CHECK(pthread_create(&one, nullptr, &Body, nullptr) == 0);
    CHECK(pthread_create(
              &two, nullptr,
              [](void*) -> void* {
                process::Churn(9, 20);
                return nullptr;
              },
              nullptr) == 0);
    CHECK(pthread_join(one, nullptr) == 0);
    CHECK(pthread_join(two, nullptr) == 0);
  }
  printf("resident %zu -> %zu KiB, virtual %zu -> %zu KiB\n", resident >> 10,
         process::ResidentBytes() >> 10, virtual_size >> 10,
         process::VirtualBytes() >> 10);
  CHECK(process::ResidentBytes() < resident + kSlack);
  // The system's malloc may map another of its arenas at any time.
  if (process::OnSpanmalloc()) {
    CHECK(process::VirtualBytes() < virtual_size + 16 * kSlack);
  }
  return 0;
}
