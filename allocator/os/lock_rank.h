// The order in which the allocator's locks are taken.
//
// Place:    os/, beside the mutex that checks it.
// Rule:     a thread may only take a lock of a higher rank than every lock it
//           holds; locks of one rank are never held together, except by fork,
//           which takes all of them in this order (see ForkLock in mutex.h).
#ifndef SPANMALLOC_ALLOCATOR_OS_LOCK_RANK_H_
#define SPANMALLOC_ALLOCATOR_OS_LOCK_RANK_H_

namespace spanmalloc {

enum class LockRank : unsigned char {
  kScavenger,
  kThreadRegistry,
  kTransferCache,
  kCentralFreeList,
  kPageHeap,
  kGuardedHeap,
  kProfile,
  kMetadataArena,
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_LOCK_RANK_H_
