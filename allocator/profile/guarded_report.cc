#include "allocator/profile/guarded_report.h"

#include <string.h>
#include <time.h>

#include <atomic>
#include <new>

#include "allocator/base/annotations.h"
#include "allocator/base/message.h"
#include "allocator/os/errno_saver.h"
#include "allocator/os/small_file.h"

namespace spanmalloc {
namespace {

// ---- Where code is

// One line of /proc/self/maps.
struct Mapping {
  uintptr_t start;
  uintptr_t end;
  uintptr_t offset;
  uint64_t inode;
  const char* name;  // Empty if it has none.
};

bool ParseHex(const char** text, uintptr_t* value) {
  const char* at = *text;
  uintptr_t n = 0;
  for (;; ++at) {
    uintptr_t digit;
    if (*at >= '0' && *at <= '9') {
      digit = static_cast<uintptr_t>(*at - '0');
    } else if (*at >= 'a' && *at <= 'f') {
      digit = static_cast<uintptr_t>(*at - 'a' + 10);
    } else {
      break;
    }
    n = n * 16 + digit;
  }
  if (at == *text) return false;
  *text = at;
  *value = n;
  return true;
}

bool Skip(const char** text, char c) {
  if (**text != c) return false;
  ++*text;
  return true;
}

// Moves behind the next word and the spaces after it.
void SkipWord(const char** text) {
  while (**text != '\0' && **text != ' ') ++*text;
  while (**text == ' ') ++*text;
}

// start-end rwxp offset device inode   name
bool ParseMapping(const char* line, Mapping* mapping) {
  if (!ParseHex(&line, &mapping->start) || !Skip(&line, '-') ||
      !ParseHex(&line, &mapping->end) || !Skip(&line, ' ')) {
    return false;
  }
  SkipWord(&line);
  if (!ParseHex(&line, &mapping->offset) || !Skip(&line, ' ')) return false;
  SkipWord(&line);
  if (!ParseDecimal(&line, &mapping->inode)) return false;
  SkipWord(&line);
  mapping->name = line;
  return true;
}

// The modules of one stack's frames. Large, so there is one for all reports,
// and it belongs to the report that goes on.
class Modules {
 public:
  void Find(void* const* frames, size_t depth) {
    for (size_t i = 0; i < depth; ++i) places_[i].name = nullptr;
    used_ = 0;
    LineReader* const reader = new (reader_) LineReader("/proc/self/maps");
    uintptr_t base = 0;
    uint64_t base_inode = 0;
    Mapping mapping;
    while (const char* const line = reader->Next()) {
      if (!ParseMapping(line, &mapping) || mapping.name[0] == '\0') continue;
      if (mapping.offset == 0) {
        base = mapping.start;
        base_inode = mapping.inode;
      } else if (mapping.inode != base_inode) {
        base = mapping.start - mapping.offset;
        base_inode = mapping.inode;
      }
      const char* name = nullptr;
      for (size_t i = 0; i < depth; ++i) {
        const uintptr_t pc = reinterpret_cast<uintptr_t>(frames[i]);
        if (pc < mapping.start || pc >= mapping.end) continue;
        if (name == nullptr) name = Keep(mapping.name);
        places_[i] = {name, pc - base};
      }
    }
    reader->~LineReader();
  }

  // Null: in none.
  const char* name(size_t i) const { return places_[i].name; }
  uintptr_t offset(size_t i) const { return places_[i].offset; }

 private:
  struct Place {
    const char* name;
    uintptr_t offset;
  };
  static constexpr size_t kNameBytes = 8 << 10;
  // The end of a longer one, so that a line has room for it.
  static constexpr size_t kMaxName = 255;

  const char* Keep(const char* name) {
    size_t length = strlen(name);
    if (length > kMaxName) {
      name += length - kMaxName;
      length = kMaxName;
    }
    if (length + 1 > kNameBytes - used_) return nullptr;
    char* const kept = names_ + used_;
    memcpy(kept, name, length + 1);
    used_ += length + 1;
    return kept;
  }

  Place places_[GuardedEvent::kMaxFrames];
  size_t used_;
  char names_[kNameBytes];
  alignas(LineReader) char reader_[sizeof(LineReader)];
};

Modules modules;

// Not inlined, as all that has a line: signal stacks have room for one or two.
SPANMALLOC_COLD void PrintFrame(size_t i, const void* frame) {
  Message line("    #");
  line.Decimal(i).Text(" ").Pointer(frame);
  if (modules.name(i) != nullptr) {
    line.Text(" ").Text(modules.name(i)).Text("+").Hex(modules.offset(i));
  }
  line.Print();
}

SPANMALLOC_COLD void PrintText(const char* text) { Message(text).Print(); }

void PrintStack(const GuardedEvent& event) {
  if (event.depth == 0) PrintText("    no stack");
  modules.Find(event.frames, event.depth);
  for (size_t i = 0; i < event.depth; ++i) PrintFrame(i, event.frames[i]);
}

// ---- What happened

const char* NameOf(Fault::Access access) {
  switch (access) {
    case Fault::Access::kRead:
      return "read";
    case Fault::Access::kWrite:
      return "write";
    case Fault::Access::kExecute:
      return "execution";
    case Fault::Access::kUnknown:
      break;
  }
  return "access";
}

void AddBytes(uint64_t n, Message* line) {
  line->Decimal(n).Text(n == 1 ? " byte" : " bytes");
}

// "3 bytes after a block of 100 bytes at 0x7f12345678"
void AddPlace(uintptr_t address, const GuardedBlock& block, Message* line) {
  const uintptr_t end = block.address + block.size;
  if (address < block.address) {
    AddBytes(block.address - address, line);
    line->Text(" before ");
  } else if (address >= end) {
    AddBytes(address - end, line);
    line->Text(" after ");
  } else {
    AddBytes(address - block.address, line);
    line->Text(" inside ");
  }
  line->Text(block.is_freed ? "a freed block of " : "a block of ");
  AddBytes(block.size, line);
  line->Text(" at ").Hex(block.address);
}

SPANMALLOC_COLD void PrintHeadline(const GuardedReport& report) {
  Message line;
  switch (report.error) {
    case GuardedError::kDoubleFree:
      line.Text("double free of ").Hex(report.address).Text(" (");
      line.Decimal(report.block->size).Text("-byte block)").Print();
      return;
    case GuardedError::kInvalidPointer:
      line.Text(report.operation).Text(" of ").Hex(report.address);
      line.Text(", which is not the start of a live block").Print();
      return;
    case GuardedError::kWrongSize:
      line.Text("sized free of ").Hex(report.address).Text(" with size ");
      line.Decimal(report.size).Text(", but the block has ");
      AddBytes(report.block->size, &line);
      line.Print();
      return;
    case GuardedError::kOverflowBeforeFree:
    case GuardedError::kUnderflowBeforeFree:
      line.Text(report.error == GuardedError::kOverflowBeforeFree
                    ? "buffer overflow"
                    : "buffer underflow");
      line.Text(", found when the block was freed: write of ");
      line.Hex(report.address).Text(", ");
      AddPlace(report.address, *report.block, &line);
      line.Print();
      return;
    case GuardedError::kUseAfterFree:
      line.Text("use after free");
      break;
    case GuardedError::kOverflow:
      line.Text("buffer overflow");
      break;
    case GuardedError::kUnderflow:
      line.Text("buffer underflow");
      break;
    case GuardedError::kInvalidAccess:
      line.Text("invalid access");
      break;
  }
  line.Text(": ").Text(NameOf(report.access)).Text(" of ").Hex(report.address);
  if (report.block != nullptr) {
    line.Text(", ");
    AddPlace(report.address, *report.block, &line);
  }
  line.Print();
}

bool IsFault(GuardedError error) {
  return error == GuardedError::kUseAfterFree ||
         error == GuardedError::kOverflow ||
         error == GuardedError::kUnderflow ||
         error == GuardedError::kInvalidAccess;
}

// "  read by thread 1234:"
SPANMALLOC_COLD void PrintNow(const GuardedReport& report) {
  Message line("  ");
  line.Text(IsFault(report.error) ? NameOf(report.access) : report.operation);
  line.Text(" by thread ").Decimal(report.now->thread).Text(":").Print();
}

// "  freed by thread 1234, 0.125 s before:"
SPANMALLOC_COLD void PrintEarlier(const char* what, const GuardedEvent& event,
                                  uint64_t now) {
  Message line("  ");
  line.Text(what).Text(" by thread ").Decimal(event.thread).Text(", ");
  const uint64_t age = now > event.time_ns ? now - event.time_ns : 0;
  const uint64_t milliseconds = age / 1'000'000;
  const char digits[] = {'.', static_cast<char>('0' + milliseconds / 100 % 10),
                         static_cast<char>('0' + milliseconds / 10 % 10),
                         static_cast<char>('0' + milliseconds % 10)};
  line.Decimal(milliseconds / 1000).Text(digits, sizeof(digits));
  line.Text(" s before:").Print();
}

void PrintStacks(const GuardedReport& report) {
  PrintNow(report);
  PrintStack(*report.now);
  if (report.block == nullptr) return;
  const uint64_t now = report.now->time_ns;
  if (report.block->is_freed) {
    PrintEarlier("freed", report.block->freed, now);
    PrintStack(report.block->freed);
  }
  PrintEarlier("allocated", report.block->allocated, now);
  PrintStack(report.block->allocated);
}

// ---- One at a time

std::atomic<bool> busy{false};

bool Begin() {
  constexpr int kTries = 2000;
  for (int i = 0; i < kTries; ++i) {
    if (!busy.exchange(true, std::memory_order_acquire)) return true;
    const timespec millisecond = {0, 1'000'000};
    nanosleep(&millisecond, nullptr);
  }
  return false;
}

void End() { busy.store(false, std::memory_order_release); }

}  // namespace

void PrintGuardedReport(const GuardedReport& report) {
  ErrnoSaver errno_saver;
  const bool alone = Begin();
  PrintHeadline(report);
  if (!alone) return;
  PrintStacks(report);
  End();
}

}  // namespace spanmalloc
