#include "allocator/page/pagemap.h"

namespace spanmalloc {

bool PageMap::Ensure(uintptr_t address, size_t count, MetadataArena* arena) {
  if (count == 0) return true;
  const uintptr_t last = address + count * kHugePageSize - 1;
  if (last < address || last >> kAddressBits != 0) return false;
  // Fresh from the arena, so all entries are null.
  Root* root = root_.load(std::memory_order_relaxed);
  if (root == nullptr) {
    root =
        static_cast<Root*>(arena->Allocate(sizeof(Root), RecordKind::kPageMap));
    if (root == nullptr) return false;
    root_.store(root, std::memory_order_release);
  }
  for (size_t i = address >> kLeafShift; i <= last >> kLeafShift; ++i) {
    if (root->leaves[i].load(std::memory_order_relaxed) != nullptr) continue;
    Leaf* const leaf =
        static_cast<Leaf*>(arena->Allocate(sizeof(Leaf), RecordKind::kPageMap));
    if (leaf == nullptr) return false;
    root->leaves[i].store(leaf, std::memory_order_release);
  }
  return true;
}

}  // namespace spanmalloc
