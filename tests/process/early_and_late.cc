// malloc before constructors, in them, in destructors and exit handlers, after
// them, and in threads that outlive main.

#include <malloc.h>
#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/process/harness.h"

namespace {

using process::Allocate;

char* from_preinit = nullptr;
char* from_constructor = nullptr;

void BeforeEverything() {
  from_preinit = static_cast<char*>(Allocate(1000, 'p'));
  CHECK(from_preinit != nullptr);
  void* const zeroed = calloc(100, 100);
  CHECK(zeroed != nullptr);
  free(realloc(zeroed, 200000));
}

// The dynamic linker calls these before any library's constructors.
__attribute__((section(".preinit_array"),
               used)) void (*const preinit)() = &BeforeEverything;

__attribute__((constructor(101))) void FirstConstructor() {
  CHECK(from_preinit != nullptr && from_preinit[999] == 'p');
  from_constructor = static_cast<char*>(Allocate(300000, 'c'));
  CHECK(from_constructor != nullptr);
  process::Churn(101, 1000);
}

// The last thing that runs in this program's own code.
__attribute__((destructor(101))) void LastDestructor() {
  CHECK(from_constructor[299999] == 'c');
  free(from_preinit);
  free(from_constructor);
  process::Churn(102, 1000);
  void* aligned = nullptr;
  CHECK(posix_memalign(&aligned, 4096, 10000) == 0);
  free(aligned);
}

struct Global {
  Global()
      : words(1000, "a string too long for the small string optimisation") {}
  ~Global() {
    words.resize(2000);
    for (const std::string& word : words) CHECK(word.empty() || word[0] == 'a');
    process::Churn(103, 1000);
  }
  std::vector<std::string> words;
};
Global global;

void AtExit() { process::Churn(104, 1000); }

void* Forever(void*) {
  for (unsigned seed = 1;; seed++) process::Churn(seed, 500);
}

}  // namespace

int main() {
  process::Begin(120);
  CHECK(atexit(&AtExit) == 0);
  // Threads that are still allocating while the destructors run.
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, &Forever, nullptr) == 0);
    CHECK(pthread_detach(thread) == 0);
  }
  process::Churn(105, 10000);
  return 0;
}
