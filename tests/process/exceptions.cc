// C++ exceptions thrown while the allocator is near: through qsort's frames,
// from many threads at once, out of operator new when memory has run out, and
// carried from thread to thread.

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

struct Carrier {
  explicit Carrier(size_t size) : bytes(size, 'x') {}
  std::string bytes;
};

int DeepThrow(int depth, size_t size) {
  const std::vector<char> local(100 + size % 1000, 'l');
  if (depth == 0) throw Carrier(size);
  return DeepThrow(depth - 1, size) + local[0];
}

void ThrowAndCatch() {
  for (size_t i = 0; i < 2000; i++) {
    bool caught = false;
    try {
      DeepThrow(10, i * 7);
    } catch (const Carrier& carrier) {
      CHECK(carrier.bytes.size() == i * 7);
      caught = true;
    }
    CHECK(caught);
  }
}

void AcrossThreads() {
  for (int i = 0; i < 200; i++) {
    std::exception_ptr carried;
    std::thread([&carried] {
      try {
        throw std::runtime_error(
            "a message that is too long to be stored in place");
      } catch (...) {
        carried = std::current_exception();
      }
    }).join();
    try {
      std::rethrow_exception(carried);
    } catch (const std::runtime_error& error) {
      CHECK(std::string(error.what()).size() == 48);
    }
  }
}

// bad_alloc where not a byte is left: its own object must not need one that is
// not there.
void WhenNothingIsLeft() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    const size_t limit = process::VirtualBytes() + (size_t{64} << 20);
    const rlimit address_space = {limit, limit};
    CHECK(setrlimit(RLIMIT_AS, &address_space) == 0);
    for (size_t size = size_t{1} << 20; size > 0; size /= 2) {
      while (malloc(size) != nullptr) {
      }
    }
    for (int i = 0; i < 1000; i++) {
      bool caught = false;
      try {
        char* volatile kept =
            new char[100000];  // Volatile: no compiler may drop the pair.
        delete[] kept;
      } catch (const std::bad_alloc&) {
        caught = true;
      }
      CHECK(caught);
    }
    _exit(0);
  }
  EXPECT_SUCCESS(child);
}

}  // namespace

int main() {
  process::Begin(120);
  ThrowAndCatch();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back(&ThrowAndCatch);
  for (std::thread& thread : threads) thread.join();
  AcrossThreads();
  WhenNothingIsLeft();
  return 0;
}
