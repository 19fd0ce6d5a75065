#include "tools/spanmalloc/published_record.h"

#include <chrono>
#include <thread>

namespace spanmalloc_tool {
namespace {

// A process that does nothing but write records leaves little time between two:
// the last tries give it time to do something else.
constexpr int kQuickTries = 40;
constexpr int kTries = 60;

}  // namespace

bool ReadPublished(const Memory& memory, uint64_t address, size_t words,
                   std::vector<uint64_t>* record, bool* torn) {
  record->resize(1 + words);
  for (int i = 0;; ++i) {
    uint64_t sequence;
    if (!memory.read(memory.context, address, record->data(),
                     record->size() * sizeof(uint64_t)) ||
        !memory.read(memory.context, address, &sequence, sizeof(sequence))) {
      return false;
    }
    *torn = sequence % 2 != 0 || sequence != record->front();
    if (!*torn || !memory.may_change || i == kTries) break;
    if (i >= kQuickTries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  record->erase(record->begin());
  return true;
}

}  // namespace spanmalloc_tool
