// What the programs of resident.py share: their own RSS, and objects to fill
// it.
//
// Purpose:  Let a program watch its resident memory and disturb nothing: what
// is
//           read comes through open, read and close, what is printed goes
//           through write. Neither these functions nor the C library's behind
//           them call malloc.
// Output:   `idle` once, when the program has done its work and only waits:
//           resident.py then starts the next one. `sample X KIB` is a point of
//           RSS over time, X in milliseconds if the program says nothing else.
//           Other lines are `KEY NUMBER`.
// Objects:  They are linked through themselves and written as a whole, so that
//           the driver has no memory of its own beside them.
// Failure:  Ends the program, as in workload.h.

#ifndef SPANMALLOC_BENCH_RESIDENT_RESIDENT_H_
#define SPANMALLOC_BENCH_RESIDENT_RESIDENT_H_

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "../workloads/size_mix.h"

// When an idle program looks at itself, in milliseconds.
static const uint64_t kIdleSamples[] = {0,     100,   200,    500,    1000,
                                        2000,  5000,  10000,  20000,  30000,
                                        60000, 90000, 180000, 270000, 360000};
enum { kIdleSampleCount = sizeof(kIdleSamples) / sizeof(kIdleSamples[0]) };

static inline void WriteText(const char* text, size_t length) {
  if (write(STDOUT_FILENO, text, length) != (ssize_t)length)
    Fail("cannot write to standard output");
}

static inline void WriteNumber(const char* key, uint64_t number) {
  char line[128];
  int length = snprintf(line, sizeof(line), "%s %" PRIu64 "\n", key, number);
  WriteText(line, (size_t)length);
}

// The beginning of a file in /proc, as text.
static inline void ReadProc(const char* path, char* text, size_t capacity) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, capacity - 1);
  if (length <= 0) Fail("cannot read from /proc");
  close(file);
  text[length] = '\0';
}

static inline uint64_t ReadRssKib(void) {
  char text[256];
  ReadProc("/proc/self/statm", text, sizeof(text));
  char* second = strchr(text, ' ');
  if (second == NULL) Fail("/proc/self/statm is not as expected");
  return strtoull(second, NULL, 10) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

// The highest RSS so far.
static inline uint64_t ReadPeakKib(void) {
  char text[4096];
  ReadProc("/proc/self/status", text, sizeof(text));
  const char* peak = strstr(text, "VmHWM:");
  if (peak == NULL) Fail("/proc/self/status has no VmHWM");
  return strtoull(peak + strlen("VmHWM:"), NULL, 10);
}

static inline void WriteSample(uint64_t at) {
  char line[64];
  int length = snprintf(line, sizeof(line), "sample %" PRIu64 " %" PRIu64 "\n",
                        at, ReadRssKib());
  WriteText(line, (size_t)length);
}

static inline void SleepUntilNs(uint64_t moment) {
  struct timespec until = {(time_t)(moment / 1000000000u),
                           (long)(moment % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
    continue;
}

// Says that the work is done, and waits, with a look at RSS now and then.
static inline void StayIdle(uint64_t seconds) {
  uint64_t start = NowNs();
  WriteText("idle\n", strlen("idle\n"));
  for (int i = 0; i < kIdleSampleCount; i++) {
    if (kIdleSamples[i] > 1000 * seconds) break;
    SleepUntilNs(start + 1000000u * kIdleSamples[i]);
    WriteSample(kIdleSamples[i]);
  }
}

typedef struct Object {
  struct Object* next;
  size_t size;
} Object;

// From the oldest object to the youngest.
typedef struct {
  Object* first;
  Object** end;
  uint64_t bytes;
} Heap;

static inline void InitHeap(Heap* heap) {
  heap->first = NULL;
  heap->end = &heap->first;
  heap->bytes = 0;
}

// Adds objects of `smallest` to `largest` bytes until there are `bytes`.
// REQUIRES: smallest >= sizeof(Object).
static inline void GrowTo(Heap* heap, Random* random, uint64_t bytes,
                          uint64_t smallest, uint64_t largest) {
  while (heap->bytes < bytes) {
    size_t size = LogUniformSize(random, smallest, largest);
    Object* object = (Object*)Allocate(size);
    memset(object, (int)(size & 255), size);
    Escape(object);
    object->next = NULL;
    object->size = size;
    *heap->end = object;
    heap->end = &object->next;
    heap->bytes += size;
  }
}

// Frees all but one object of `keep_every`, chosen at random; all if it is 0.
static inline void Shrink(Heap* heap, Random* random, uint64_t keep_every) {
  Object** link = &heap->first;
  while (*link != NULL) {
    Object* object = *link;
    if (keep_every != 0 && RandomBelow(random, keep_every) == 0) {
      link = &object->next;
    } else {
      *link = object->next;
      heap->bytes -= object->size;
      free(object);
    }
  }
  heap->end = link;
}

#endif  // SPANMALLOC_BENCH_RESIDENT_RESIDENT_H_
