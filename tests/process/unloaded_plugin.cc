// Code that has allocated is unloaded, and something else may lie where it was.
// The heap profiler keeps addresses in it, and what it has learned of how to
// walk through them; profiles are written all the same.
//
// Argument: the plug-in's file. Not run statically: there is no dlopen.

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <initializer_list>

#include "tests/process/harness.h"

namespace {

// Nothing to do where there is no profiler.
void WriteProfile() {
  auto* const write = reinterpret_cast<int (*)(int, const char*)>(
      dlsym(RTLD_DEFAULT, "spanmalloc_write_profile"));
  if (write == nullptr) return;
  const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (const char* type : {"heap", "peak", "growth", "lifetimes"}) {
    CHECK(write(fd, type) == 0);
  }
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  process::Begin(60);
  CHECK(argc == 2);
  void* kept[20] = {};
  for (void*& block : kept) {
    void* const plugin = dlopen(argv[1], RTLD_NOW);
    CHECK(plugin != nullptr);
    auto* const allocate =
        reinterpret_cast<void* (*)(size_t)>(dlsym(plugin, "PluginAllocate"));
    CHECK(allocate != nullptr);
    for (size_t size = 1; size < 5000; size += 7) free(allocate(size));
    block = allocate(1000);
    WriteProfile();
    CHECK(dlclose(plugin) == 0);
    WriteProfile();
    process::Churn(1, 100);
  }
  WriteProfile();
  for (void* block : kept) free(block);
  return 0;
}
