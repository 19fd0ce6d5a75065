// A table of values that are replaced at random, or go when they have aged.
//
// Purpose:  The long-lived objects of a server: of all ages, of log-normal size
//           and life, freed by whichever thread comes by.
// Threads:  A lock guards the slots whose number it divides; no lock is held
//           while a block is allocated or freed.
// Check:    Every entry counts once, when it is freed, so the sums of all
//           threads together do not depend on who frees it.

#ifndef SPANMALLOC_BENCH_WORKLOADS_AGEING_CACHE_H_
#define SPANMALLOC_BENCH_WORKLOADS_AGEING_CACHE_H_

#include <pthread.h>

#include "size_mix.h"

enum { kCacheLocks = 64 };

// What one thread did.
typedef struct {
  uint64_t operations;
  uint64_t checksum;
} Tally;

typedef struct {
  unsigned char* value;
  size_t size;
  uint64_t expires;
} CacheEntry;

typedef struct {
  CacheEntry** slots;
  uint64_t slot_count;
  pthread_mutex_t locks[kCacheLocks];
  SizeMix sizes;      // in bytes
  SizeMix lifetimes;  // in ticks of the caller's clock
} AgeingCache;

static inline void InitCache(AgeingCache* cache, uint64_t slot_count) {
  cache->slots = (CacheEntry**)MapArray(slot_count, sizeof(CacheEntry*));
  cache->slot_count = slot_count;
  for (int i = 0; i < kCacheLocks; i++)
    pthread_mutex_init(&cache->locks[i], NULL);
  InitSizeMix(&cache->sizes, "mixed");
  InitSizeMix(&cache->lifetimes, "buffers");
}

static inline void FreeEntry(Tally* tally, CacheEntry* entry) {
  if (entry == NULL) return;
  tally->checksum += ReadEnds(entry->value, entry->size);
  free(entry->value);
  free(entry);
  tally->operations += 2;
}

// Puts a new value, drawn by number, in place of what is in the slot.
static inline void PutEntry(AgeingCache* cache, Tally* tally, uint64_t slot,
                            uint64_t draw, uint64_t now) {
  CacheEntry* entry = (CacheEntry*)Allocate(sizeof(CacheEntry));
  entry->size = SizeAt(&cache->sizes, draw);
  entry->value = (unsigned char*)Allocate(entry->size);
  entry->expires = now + SizeAt(&cache->lifetimes, draw);
  WriteEnds(entry->value, entry->size, (unsigned char)draw);
  tally->operations += 2;
  pthread_mutex_t* lock = &cache->locks[slot % kCacheLocks];
  pthread_mutex_lock(lock);
  CacheEntry* replaced = cache->slots[slot];
  cache->slots[slot] = entry;
  pthread_mutex_unlock(lock);
  FreeEntry(tally, replaced);
}

// Reads the value in the slot, and takes it out if its time is over.
static inline void VisitEntry(AgeingCache* cache, Tally* tally, uint64_t slot,
                              uint64_t now) {
  CacheEntry* expired = NULL;
  pthread_mutex_t* lock = &cache->locks[slot % kCacheLocks];
  pthread_mutex_lock(lock);
  CacheEntry* entry = cache->slots[slot];
  if (entry != NULL) {
    if (entry->value[0] != entry->value[entry->size - 1])
      Fail("a value in the cache has changed");
    if (entry->expires <= now) {
      expired = entry;
      cache->slots[slot] = NULL;
    }
  }
  pthread_mutex_unlock(lock);
  FreeEntry(tally, expired);
}

// REQUIRES: no other thread uses the cache.
static inline void ClearCache(AgeingCache* cache, Tally* tally) {
  for (uint64_t i = 0; i < cache->slot_count; i++) {
    FreeEntry(tally, cache->slots[i]);
    cache->slots[i] = NULL;
  }
}

#endif  // SPANMALLOC_BENCH_WORKLOADS_AGEING_CACHE_H_
