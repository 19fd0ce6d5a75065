#include "allocator/os/unwind_rule.h"

#include <cstring>

#include "allocator/os/frame_expression.h"
#include "allocator/os/loaded_object.h"
#include "allocator/os/lossy_cache.h"

namespace spanmalloc {
namespace {

constexpr size_t kMostRules = 4096;
constexpr size_t kMostObjects = 64;

// From stamp and address to UnwindRule::bits().
SPANMALLOC_CONSTINIT LossyCache<kMostRules> the_rules;

// From an object to addresses inside that have been seen to be readable.
SPANMALLOC_CONSTINIT LossyCache<kMostObjects> the_objects;

uint64_t Combine(uint64_t a, uint64_t b) { return MixBits(a ^ MixBits(b)); }

// Two places in an object, eight bytes each, that tell it from others.
struct Marks {
  uintptr_t last_function;
  uintptr_t build_id;  // The same again if there is none.
};

bool FindMarks(const LoadedObject& object, uint64_t key, Marks* marks) {
  const uint64_t second_key = MixBits(key);
  marks->last_function = the_objects.Find(key);
  marks->build_id = the_objects.Find(second_key);
  if (marks->last_function != 0 && marks->build_id != 0) return true;
  const ByteRange readable = ReadableSegment(object, object.frame_index);
  FrameIndex index;
  if (!ReadFrameIndex(readable, object.frame_index, &index)) return false;
  marks->last_function = index.table + (index.count - 1) * sizeof(uint64_t);
  const uintptr_t build_id = FindBuildId(object);
  marks->build_id = build_id != 0 ? build_id : marks->last_function;
  the_objects.Insert(key, marks->last_function);
  the_objects.Insert(second_key, marks->build_id);
  return true;
}

uint64_t Load(uintptr_t address) {
  uint64_t word;
  memcpy(&word, reinterpret_cast<const void*>(address), sizeof(word));
  return word;
}

// The number of words below the CFA, if it has kSlotBits.
bool SlotOfRule(const RegisterRule& rule, uint64_t* slot) {
  switch (rule.kind) {
    case RegisterRule::Kind::kSame:
      *slot = 0;
      return true;
    case RegisterRule::Kind::kSaved: {
      const int64_t below = -int64_t{rule.offset};
      constexpr int64_t kWord = sizeof(uintptr_t);
      if (below <= 0 || below % kWord != 0) return false;
      *slot = static_cast<uint64_t>(below / kWord);
      return *slot < uint64_t{1} << kSlotBits;
    }
    default:
      return false;
  }
}

}  // namespace

UnwindRule UnwindRule::OfRow(ByteRange readable, const FrameRow& row) {
  const RegisterRule& return_address = row.registers[kReturnAddress];
  if (return_address.kind == RegisterRule::Kind::kUndefined) {
    return UnwindRule(Kind::kOutermost);
  }
  constexpr UnwindRule kDoesNotFit = UnwindRule(Kind::kRow);
  if (row.is_signal_frame ||
      row.registers[kStackPointer].kind != RegisterRule::Kind::kSame) {
    return kDoesNotFit;
  }
  if (!kHasLinkRegister &&
      (return_address.kind != RegisterRule::Kind::kSaved ||
       return_address.offset != -int32_t{sizeof(uintptr_t)})) {
    return kDoesNotFit;
  }
  size_t column = row.cfa_column;
  int64_t offset = row.cfa_offset;
  uint64_t bits = static_cast<uint64_t>(Kind::kCompact) | kValid;
  if (row.cfa_is_expression) {
    if (!IsMemoryAtRegister(ExpressionBlock(readable, row.cfa_offset), &column,
                            &offset) ||
        offset != static_cast<int32_t>(offset)) {
      return kDoesNotFit;
    }
    bits |= kInMemory;
  }
  bits |= column << kColumnShift;
  bits |= static_cast<uint64_t>(static_cast<uint32_t>(offset)) << 32;
  for (size_t i = 0; i < kSavedRegisters; ++i) {
    uint64_t slot;
    if (!SlotOfRule(row.registers[i], &slot)) return kDoesNotFit;
    bits |= slot << (kSlotsShift + i * kSlotBits);
  }
  return UnwindRule(bits);
}

bool UnwindRules::Enter(uintptr_t pc) {
  LoadedObject object;
  if (!FindLoadedObject(pc, &object) || object.frame_index == 0) return false;
  const uint64_t key = Combine(Combine(object.range.start, object.range.end),
                               object.frame_index);
  Marks marks;
  if (!FindMarks(object, key, &marks)) return false;
  object_ = object.range;
  frame_index_ = object.frame_index;
  // The place of the last function is the number of the functions.
  stamp_ = Combine(Combine(key, marks.last_function),
                   Combine(Load(marks.last_function), Load(marks.build_id)));
  index_segment_ = {};
  return true;
}

UnwindRule UnwindRules::FindRemembered(uintptr_t pc) const {
  return UnwindRule(the_rules.Find(MixBits(pc ^ stamp_)));
}

UnwindRule UnwindRules::Find(uintptr_t pc, FrameRow* row, ByteRange* readable) {
  if (!object_.Contains(pc) && !Enter(pc)) {
    return UnwindRule(UnwindRule::Kind::kNoRow);
  }
  UnwindRule rule(UnwindRule::Kind::kNoRow);
  const LoadedObject object = {object_, frame_index_};
  if (index_segment_.start == 0) {
    index_segment_ = ReadableSegment(object, frame_index_);
  }
  FrameIndex index;
  uintptr_t description;
  if (ReadFrameIndex(index_segment_, frame_index_, &index) &&
      FindFrameDescription(index_segment_, index, pc, &description)) {
    *readable = index_segment_.Contains(description)
                    ? index_segment_
                    : ReadableSegment(object, description);
    if (ReadFrameRow(*readable, description, pc, row)) {
      rule = UnwindRule::OfRow(*readable, *row);
    }
  }
  // The row of one that does not fit has to be read again each time.
  if (rule.kind() != UnwindRule::Kind::kRow) {
    the_rules.Insert(MixBits(pc ^ stamp_), rule.bits());
  }
  return rule;
}

}  // namespace spanmalloc
