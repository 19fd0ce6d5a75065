#include "allocator/page/metadata_arena.h"

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

size_t MetadataArena::Rounded(size_t size) {
  return AlignUp(size == 0 ? 1 : size, kGranule);
}

void* MetadataArena::Allocate(size_t size, RecordKind kind, size_t alignment) {
  size = Rounded(size);
  MutexLock lock(&lock_);
  // Some are too large to throw away the rest of a chunk for.
  const bool apart =
      size > kChunkSize / 4 && left_ != 0 && !Fits(size, alignment);
  void* const block = apart ? AllocateApart(size) : Bump(size, alignment);
  if (block != nullptr) Add(&used(kind), size);
  return block;
}

void* MetadataArena::Bump(size_t size, size_t alignment) {
  if (!Fits(size, alignment) && !GetChunk(size, alignment)) {
    return size > kChunkSize / 4 ? AllocateApart(size) : nullptr;
  }
  const size_t gap = Gap(alignment);
  void* const block = next_ + gap;
  next_ += gap + size;
  left_ -= gap + size;
  return block;
}

void* MetadataArena::AllocateApart(size_t size) {
  void* const chunk = Bump(kGranule, kGranule);
  if (chunk == nullptr) return nullptr;
  void* const block =
      Reserve(AlignUp(size, kMaxSystemPageSize), static_cast<Chunk*>(chunk));
  if (block == nullptr) {
    next_ -= kGranule;
    left_ += kGranule;
  }
  return block;
}

// Without `chunk`, that is at the start.
void* MetadataArena::Reserve(size_t bytes, Chunk* chunk) {
  void* const start = system_->reserve(bytes);
  if (start == nullptr) return nullptr;
  if (chunk == nullptr) chunk = static_cast<Chunk*>(start);
  chunk->next = chunks_.load(std::memory_order_relaxed);
  chunk->bytes = bytes;
  chunk->start = start;
  chunks_.store(chunk, std::memory_order_release);
  Add(&system_bytes_, bytes);
  return start;
}

// Starts a chunk with room for `size`. What is left of the old one was never
// touched, and is forgotten.
bool MetadataArena::GetChunk(size_t size, size_t alignment) {
  static_assert(sizeof(Chunk) <= kGranule);
  // The first multiple of it behind the chunk's own record.
  const size_t front = alignment;
  if (size > kChunkSize - front) return false;
  // Near the limit of the address space a little may still be had.
  for (size_t bytes = kChunkSize;
       bytes >= front + size && bytes >= kMaxSystemPageSize; bytes /= 2) {
    if (void* const start = Reserve(bytes, nullptr)) {
      next_ = static_cast<char*>(start) + kGranule;
      left_ = bytes - kGranule;
      return true;
    }
  }
  return false;
}

void MetadataArena::Donate(void* memory, size_t size) {
  MutexLock lock(&lock_);
  next_ = static_cast<char*>(memory);
  left_ = size;
  Add(&system_bytes_, size);
}

void MetadataArena::Count(RecordKind kind, size_t bytes) {
  MutexLock lock(&lock_);
  Add(&used(kind), bytes);
}

}  // namespace spanmalloc
