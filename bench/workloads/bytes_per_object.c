// What one small object costs in memory, with everything that belongs to it.
//
// Usage:    bytes_per_object [OBJECTS=2000000] [LENGTHS=1..15]
//           LENGTHS is N..M, each of them as often as the others, or a file
//           with a number a line, each as often as it stands there.
// Measures: By how much the resident memory of the process grows: when all
//           objects have just been allocated, and again after three random
//           ones an object were freed and replaced by one of another length.
//           bench/bytes_per_object.py divides that and runs it for many
//           lengths.
// Counted:  2 operations a replacement. Further lines are requested_bytes (when
//           all are just allocated), fresh_bytes, churned_bytes (growth of RSS)
//           and churn_cpu_ns, the CPU time of the replacements.
// Cost:     A replacement touches two cache lines at random: the slot's and the
//           object's, which are in no cache.

#include <fcntl.h>
#include <unistd.h>

#include "workload.h"

enum { kMaxLengths = 1 << 20, kReplacements = 3 };

typedef struct {
  uint64_t count;
  uint16_t at[kMaxLengths];
} Lengths;

static void AddLength(Lengths* lengths, unsigned length) {
  if (length == 0 || length > UINT16_MAX) Fail("not a length");
  if (lengths->count == kMaxLengths) Fail("too many lengths");
  lengths->at[lengths->count++] = (uint16_t)length;
}

static void ReadLengths(Lengths* lengths, const char* text) {
  unsigned first;
  unsigned last;
  char rest;
  if (sscanf(text, "%u..%u%c", &first, &last, &rest) == 2) {
    for (unsigned i = first; i <= last; i++) AddLength(lengths, i);
  } else {
    FILE* file = fopen(text, "r");
    if (file == NULL) Fail("LENGTHS is neither N..M nor a file");
    while (fscanf(file, "%u", &first) == 1) AddLength(lengths, first);
    if (!feof(file)) Fail("not a number in the file of lengths");
    fclose(file);
  }
  if (lengths->count == 0) Fail("no lengths");
}

// Of this process. From smaps_rollup, which walks the page table: statm lags
// behind by up to 64 pages a processor. No stdio, which would allocate.
static uint64_t ResidentBytes(void) {
  char text[4096];
  int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
  if (length < 0) Fail("/proc/self/smaps_rollup cannot be read");
  close(file);
  text[length] = '\0';
  const char* line = strstr(text, "\nRss:");
  if (line == NULL) Fail("no Rss in /proc/self/smaps_rollup");
  return strtoull(line + strlen("\nRss:"), NULL, 10) * 1024;
}

static uint64_t CpuNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Returns the length.
static size_t Fill(unsigned char** slot, const Lengths* lengths,
                   Random* random) {
  size_t length = lengths->at[RandomBelow(random, lengths->count)];
  *slot = (unsigned char*)Allocate(length);
  WriteEnds(*slot, length, (unsigned char)random->state);
  return length;
}

static void ReportBytes(const char* name, uint64_t bytes) {
  printf("%s %" PRIu64 "\n", name, bytes);
}

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 2000000);
  if (count > UINT32_MAX) Fail("too many objects");
  Lengths* lengths = (Lengths*)MapArray(1, sizeof(Lengths));
  ReadLengths(lengths, TextArgument(argc, argv, 2, "1..15"));
  unsigned char** slots = (unsigned char**)MapArray(count, sizeof(*slots));
  memset(slots, 1, count * sizeof(*slots));  // So that they are resident.
  Random random = {41};
  uint64_t requested = 0;
  uint64_t checksum = 0;

  uint64_t before = ResidentBytes();
  for (uint64_t i = 0; i < count; i++)
    requested += Fill(&slots[i], lengths, &random);
  uint64_t fresh = ResidentBytes();
  uint64_t start = NowNs();
  uint64_t cpu_start = CpuNs();
  for (uint64_t i = 0; i < kReplacements * count; i++) {
    unsigned char** slot = &slots[RandomBelow(&random, count)];
    checksum = 3 * checksum + **slot;
    free(*slot);
    Fill(slot, lengths, &random);
  }
  uint64_t cpu_end = CpuNs();
  uint64_t end = NowNs();
  uint64_t churned = ResidentBytes();

  ReportBytes("requested_bytes", requested);
  ReportBytes("fresh_bytes", fresh - before);
  ReportBytes("churned_bytes", churned - before);
  printf("churn_cpu_ns %" PRIu64 "\n", cpu_end - cpu_start);
  Report(2 * kReplacements * count, end - start, checksum);
  return 0;
}
