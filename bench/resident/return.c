// What a program gets back for its objects: fill a gibibyte, free it, wait.
//
// Usage:    resident_return [MIX=mixed] [FREE=all|most] [SECONDS=30]
//               [MEBIBYTES=1024]
// Measures: How soon freed memory goes back to the system, and how much of it.
//           With `most` one object of ten stays, chosen at random, so that few
//           pages become free as a whole.
// Mixes:    small 16 to 512 bytes, mixed 16 bytes to 64 KiB, large 64 KiB to
//           8 MiB; each doubling of the size is as likely as any other.
// Prints:   before_kib, top_kib, live_kib (what is still allocated), samples.

#include "resident.h"

enum { kKeepEvery = 10 };

typedef struct {
  const char* name;
  uint64_t smallest;
  uint64_t largest;
} Mix;

static const Mix kMixes[] = {
    {"small", 16, 512}, {"mixed", 16, 64 << 10}, {"large", 64 << 10, 8 << 20}};

static const Mix* FindMix(const char* name) {
  for (size_t i = 0; i < sizeof(kMixes) / sizeof(kMixes[0]); i++) {
    if (strcmp(kMixes[i].name, name) == 0) return &kMixes[i];
  }
  Fail("unknown mix of sizes");
}

int main(int argc, char** argv) {
  const Mix* mix = FindMix(TextArgument(argc, argv, 1, "mixed"));
  const char* which = TextArgument(argc, argv, 2, "all");
  bool most = strcmp(which, "most") == 0;
  if (!most && strcmp(which, "all") != 0) Fail("neither all nor most");
  uint64_t seconds = NumberArgument(argc, argv, 3, 30);
  uint64_t bytes = NumberArgument(argc, argv, 4, 1024) << 20;
  Random random = {61};
  Heap heap;
  InitHeap(&heap);

  WriteNumber("before_kib", ReadRssKib());
  GrowTo(&heap, &random, bytes, mix->smallest, mix->largest);
  WriteNumber("top_kib", ReadRssKib());
  Shrink(&heap, &random, most ? kKeepEvery : 0);
  WriteNumber("live_kib", heap.bytes / 1024);
  StayIdle(seconds);
  return 0;
}
