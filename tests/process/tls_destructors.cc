// Destructors of thread-local objects and of pthread keys that allocate and
// free, in every order relative to the allocator's own key, and in rounds until
// the system stops calling them.

#include <pthread.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/harness.h"

namespace {

pthread_key_t early_key;  // Created before the first allocation of main.
pthread_key_t late_key;   // Created after threads have run.

// Runs once for each round: PTHREAD_DESTRUCTOR_ITERATIONS in all, mostly 4.
struct Rounds {
  pthread_key_t* key;
  int left;
};

void Destroy(void* value) {
  auto* const rounds = static_cast<Rounds*>(value);
  process::Churn(static_cast<unsigned>(rounds->left), 200);
  if (--rounds->left > 0) {
    CHECK(pthread_setspecific(*rounds->key, rounds) == 0);
    return;
  }
  free(rounds);
}

void Arm(pthread_key_t* key) {
  auto* const rounds = static_cast<Rounds*>(malloc(sizeof(Rounds)));
  CHECK(rounds != nullptr);
  *rounds = {key, 4};
  CHECK(pthread_setspecific(*key, rounds) == 0);
}

struct Local {
  std::vector<std::string> words;
  ~Local() {
    words.emplace_back(1000, 'x');
    process::Churn(7, 200);
  }
};
thread_local Local local;
thread_local std::unique_ptr<std::string> pointer;

void Body(bool late) {
  local.words.emplace_back(100, 'y');
  pointer = std::make_unique<std::string>(5000, 'z');
  Arm(&early_key);
  if (late) Arm(&late_key);
  process::Churn(3, 200);
}

// A thread whose only allocations happen in its destructors.
void OnlyAtTheEnd() {
  static thread_local struct Last {
    int armed = 0;
    ~Last() { process::Churn(5, 100); }
  } last;
  last.armed = 1;
}

__attribute__((constructor(101))) void CreateTheEarlyKey() {
  CHECK(pthread_key_create(&early_key, &Destroy) == 0);
}

}  // namespace

int main() {
  process::Begin(120);
  std::thread([] { Body(false); }).join();
  CHECK(pthread_key_create(&late_key, &Destroy) == 0);
  size_t before = 0;
  for (int i = 0; i < 2000; i++) {
    if (i == 500) before = process::ResidentBytes();
    std::thread one([] { Body(true); });
    std::thread two(&OnlyAtTheEnd);
    one.join();
    two.join();
  }
  CHECK(process::ResidentBytes() < before + (size_t{8} << 20));
  Body(true);  // And the main thread's own destructors.
  return 0;
}
