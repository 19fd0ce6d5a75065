// dlopen of plug-ins that need static TLS. The C library keeps a small surplus
// of it for them; an allocator that takes much for itself makes such a dlopen
// fail with "cannot allocate memory in static TLS block".
//
// Argument: the plug-in's file. Not run statically: there is no dlopen.

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/process/harness.h"

int main(int argc, char** argv) {
  process::Begin(60);
  CHECK(argc == 2);
  process::Churn(1, 1000);
  void* const plugin = dlopen(argv[1], RTLD_NOW);
  if (plugin == nullptr) fprintf(stderr, "%s\n", dlerror());
  CHECK(plugin != nullptr);
  auto* const block =
      reinterpret_cast<char* (*)()>(dlsym(plugin, "PluginBlock"));
  CHECK(block != nullptr);
  CHECK(block()[0] == 1);
  std::thread([block] {
    CHECK(block()[0] == 1);
    block()[0] = 2;
    process::Churn(2, 1000);
  }).join();
  CHECK(block()[0] == 1);
  CHECK(dlclose(plugin) == 0);
  process::Churn(3, 1000);
  return 0;
}
