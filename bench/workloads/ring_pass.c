// Threads in a ring, each of which frees what the one before it allocated.
//
// Usage:    ring_pass [THREADS=2] [BLOCKS=4000000] [MIX=mixed]
// Measures: Remote frees by threads that allocate themselves: what comes in
//           from a neighbour may serve the next allocation or go back to its
//           owner. Each thread has kAhead bundles under way to the next one. A
//           ring of one thread frees its own blocks, oldest first.
// Counted:  2 operations a block; BLOCKS is the number for each thread.
//
// No deadlock: a thread sends only while it is at most kAhead bundles ahead of
// what it has received, and a channel holds more than that. So not all threads
// can wait for room, nor all for a bundle; and behind a thread that waits for
// room stands one that has a bundle to take.

#include "bundles.h"

enum { kAhead = 8 };

_Static_assert((int)kAhead < (int)kChannelBundles, "all could wait for room");

typedef struct {
  Channel* in;
  Channel* out;
  uint64_t block_count;
  uint64_t checksum;
} Member;

static SizeMix mix;

static void* Run(void* argument) {
  Member* member = (Member*)argument;
  uint64_t block_count = member->block_count;
  uint64_t made = 0;
  uint64_t freed = 0;
  uint64_t checksum = 0;
  while (freed < block_count) {
    if (made < block_count)
      made += FillBundle(member->out, &mix, made, block_count - made);
    if (made - freed >= kAhead * kBundleSize || made == block_count)
      freed += EmptyBundle(member->in, &checksum);
  }
  member->checksum = checksum;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 2);
  uint64_t block_count = NumberArgument(argc, argv, 2, 4000000);
  InitSizeMix(&mix, TextArgument(argc, argv, 3, "mixed"));
  Channel* channels = (Channel*)MapArray(count, sizeof(Channel));
  Member* members = (Member*)MapArray(count, sizeof(Member));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < count; i++) {
    InitChannel(&channels[i]);
    members[i].in = &channels[i];
    members[i].out = &channels[(i + 1) % count];
    members[i].block_count = block_count;
  }
  RunThreads(count, Run, members, sizeof(Member));
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < count; i++) checksum += members[i].checksum;
  Report(2 * count * block_count, NowNs() - start, checksum);
  return 0;
}
