#include "allocator/page/metadata_arena.h"

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

size_t MetadataArena::Rounded(size_t size) {
  return AlignUp(size == 0 ? 1 : size, kGranule);
}

void* MetadataArena::Allocate(size_t size) {
  size = Rounded(size);
  MutexLock lock(&lock_);
  if (size <= kMaxReusable) {
    FreeBlock*& head = free_[size / kGranule];
    if (head != nullptr) {
      FreeBlock* const block = head;
      head = block->next;
      used_bytes_ += size;
      return block;
    }
  }
  if (size > left_) {
    // A large block gets its own mapping if the rest of the chunk is worth
    // keeping.
    const bool own = size > kChunkSize / 4 && left_ > 0;
    const size_t bytes = own || size > kChunkSize
                             ? AlignUp(size, kMaxSystemPageSize)
                             : kChunkSize;
    char* const chunk = static_cast<char*>(system_->reserve(bytes));
    if (chunk == nullptr) return nullptr;
    system_bytes_ += bytes;
    if (own) {
      used_bytes_ += size;
      return chunk;
    }
    next_ = chunk;
    left_ = bytes;
  }
  void* const block = next_;
  next_ += size;
  left_ -= size;
  used_bytes_ += size;
  return block;
}

void MetadataArena::Free(void* p, size_t size) {
  size = Rounded(size);
  SPANMALLOC_ASSERT(size <= kMaxReusable);
  MutexLock lock(&lock_);
  FreeBlock* const block = static_cast<FreeBlock*>(p);
  block->next = free_[size / kGranule];
  free_[size / kGranule] = block;
  used_bytes_ -= size;
}

size_t MetadataArena::system_bytes() const {
  MutexLock lock(&lock_);
  return system_bytes_;
}

size_t MetadataArena::used_bytes() const {
  MutexLock lock(&lock_);
  return used_bytes_;
}

}  // namespace spanmalloc
