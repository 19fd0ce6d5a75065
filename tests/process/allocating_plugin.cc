// A plug-in that allocates, in stacks that begin in it. See unloaded_plugin.cc.
#include <cstddef>
#include <cstdlib>

extern "C" __attribute__((noinline)) void* PluginAllocate(size_t size) {
  void* const block = malloc(size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}
