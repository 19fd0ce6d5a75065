#include "allocator/page/metadata_arena.h"

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

size_t MetadataArena::Rounded(size_t size) {
  return AlignUp(size == 0 ? 1 : size, kGranule);
}

void* MetadataArena::Allocate(size_t size, RecordKind kind, size_t alignment) {
  size = Rounded(size);
  SPANMALLOC_ASSERT(alignment == kGranule || size > kMaxReusable);
  MutexLock lock(&lock_);
  void* block = nullptr;
  if (size <= kMaxReusable) block = TakeFreed(size, size);
  if (block == nullptr && size > kChunkSize / 4 && !Fits(size, alignment)) {
    // Too large to throw away the rest of a chunk for.
    block = Reserve(AlignUp(size, kMaxSystemPageSize));
  }
  if (block == nullptr &&
      (Fits(size, alignment) || GetChunk(size, alignment))) {
    const size_t gap = Gap(alignment);
    block = next_ + gap;
    next_ += gap + size;
    left_ -= gap + size;
  }
  for (size_t larger = size + kGranule;
       block == nullptr && larger <= kMaxReusable; larger += kGranule) {
    block = TakeFreed(size, larger);
  }
  if (block != nullptr) Add(&used(kind), size);
  return block;
}

// The front of a freed block of `block_size` bytes, the rest of which is freed
// again; null if there is none.
void* MetadataArena::TakeFreed(size_t size, size_t block_size) {
  FreeBlock*& head = free_[block_size / kGranule];
  FreeBlock* const block = head;
  if (block == nullptr) return nullptr;
  head = block->next;
  if (block_size > size) {
    AddFree(reinterpret_cast<char*>(block) + size, block_size - size);
  }
  return block;
}

void MetadataArena::AddFree(void* p, size_t size) {
  FreeBlock* const block = static_cast<FreeBlock*>(p);
  block->next = free_[size / kGranule];
  free_[size / kGranule] = block;
}

void* MetadataArena::Reserve(size_t bytes) {
  void* const memory = system_->reserve(bytes);
  if (memory != nullptr) Add(&system_bytes_, bytes);
  return memory;
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
    if (void* const start = Reserve(bytes)) {
      Chunk* const chunk = static_cast<Chunk*>(start);
      chunk->next = chunks_.load(std::memory_order_relaxed);
      chunk->bytes = bytes;
      chunks_.store(chunk, std::memory_order_release);
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

void MetadataArena::Free(void* p, size_t size, RecordKind kind) {
  size = Rounded(size);
  SPANMALLOC_ASSERT(size <= kMaxReusable);
  MutexLock lock(&lock_);
  AddFree(p, size);
  Add(&used(kind), 0 - size);
}

}  // namespace spanmalloc
