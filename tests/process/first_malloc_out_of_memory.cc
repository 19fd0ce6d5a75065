// A thread's very first allocation when no memory is left: NULL and ENOMEM (or
// bad_alloc), not a crash, although the thread has no cache yet. When memory is
// there again, the same thread goes on.

#include <pthread.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "tests/process/harness.h"

namespace {

constexpr int kThreads = 8;
pthread_barrier_t full;
pthread_barrier_t tried;
pthread_barrier_t freed;
void** chain = nullptr;

void Exhaust() {
  for (size_t size = size_t{1} << 20; size >= sizeof(void*); size /= 2) {
    for (;;) {
      auto* const block = static_cast<void**>(malloc(size));
      if (block == nullptr) break;
      *block = chain;
      chain = block;
    }
  }
}

void* Body(void* argument) {
  const auto number = reinterpret_cast<size_t>(argument);
  pthread_barrier_wait(&full);
  errno = 0;
  void* block = nullptr;
  switch (number % 4) {
    case 0:
      block = malloc(100);
      break;
    case 1:
      block = calloc(10, 10);
      break;
    case 2:
      block = realloc(nullptr, 100000);
      break;
    default:
      try {
        block = operator new(48);
      } catch (const std::bad_alloc&) {
        errno = ENOMEM;
      }
  }
  CHECK(block != nullptr || errno == ENOMEM);
  free(block);
  free(nullptr);
  pthread_barrier_wait(&tried);
  pthread_barrier_wait(&freed);
  process::Churn(static_cast<unsigned>(number), 2000);
  return nullptr;
}

}  // namespace

int main() {
  process::Begin(60);
  pthread_t threads[kThreads];
  CHECK(pthread_barrier_init(&full, nullptr, kThreads + 1) == 0);
  CHECK(pthread_barrier_init(&tried, nullptr, kThreads + 1) == 0);
  CHECK(pthread_barrier_init(&freed, nullptr, kThreads + 1) == 0);
  for (size_t i = 0; i < kThreads; i++) {
    CHECK(pthread_create(&threads[i], nullptr, &Body,
                         reinterpret_cast<void*>(i)) == 0);
  }
  const size_t limit = process::VirtualBytes() + (size_t{64} << 20);
  const rlimit tight = {limit, RLIM_INFINITY};
  CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
  Exhaust();
  pthread_barrier_wait(&full);
  pthread_barrier_wait(&tried);
  while (chain != nullptr) {
    void** const block = chain;
    chain = static_cast<void**>(*block);
    free(block);
  }
  const rlimit wide = {RLIM_INFINITY, RLIM_INFINITY};
  CHECK(setrlimit(RLIMIT_AS, &wide) == 0);
  pthread_barrier_wait(&freed);
  for (const pthread_t thread : threads)
    CHECK(pthread_join(thread, nullptr) == 0);
  return 0;
}
