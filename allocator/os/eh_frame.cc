#include "allocator/os/eh_frame.h"

#include <algorithm>
#include <cstring>

#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

// .eh_frame_hdr: relative to its start, int32.
constexpr uint8_t kTableEncoding = 0x3b;
constexpr size_t kTableEntrySize = 2 * sizeof(int32_t);

int32_t Int32At(uintptr_t address) {
  int32_t value;
  memcpy(&value, reinterpret_cast<const void*>(address), sizeof(value));
  return value;
}

uintptr_t Plus(uintptr_t base, int64_t offset) {
  return base + static_cast<uintptr_t>(offset);
}

// A block with its length before it, as .eh_frame consists of. Empty at its
// end. What remains of the reader is the block.
ByteRange ReadEntry(ByteReader* reader) {
  uint64_t length = reader->Read<uint32_t>();
  if (length == UINT32_MAX) length = reader->Read<uint64_t>();
  return reader->ReadBlock(length);
}

// What functions have in common: a CIE.
struct Common {
  uint64_t code_alignment = 1;
  int64_t data_alignment = 1;
  uint8_t pointer_encoding = 0x00;
  bool has_augmentation_size = false;
  bool is_signal_frame = false;
  ByteRange program;
};

bool ReadAugmentation(const char* letters, ByteReader* reader, Common* common) {
  for (; *letters != 0; ++letters) {
    switch (*letters) {
      case 'R':
        common->pointer_encoding = reader->Read<uint8_t>();
        break;
      case 'P':  // The function that exceptions call.
        reader->ReadFormatted(reader->Read<uint8_t>());
        break;
      case 'L':
        reader->Read<uint8_t>();
        break;
      case 'S':
        common->is_signal_frame = true;
        break;
      case 'B':  // Signed with the second key.
      case 'G':  // Tagged memory.
        break;
      default:
        return false;
    }
  }
  return !reader->failed();
}

bool ReadCommon(ByteRange readable, uintptr_t address, Common* common) {
  if (!readable.Contains(address)) return false;
  ByteReader entries({address, readable.end});
  ByteReader reader(ReadEntry(&entries));
  if (reader.Read<uint32_t>() != 0) return false;  // Not a CIE.
  const uint8_t version = reader.Read<uint8_t>();
  if (version != 1 && version != 3) return false;

  char letters[8] = {};
  for (size_t i = 0;; ++i) {
    if (i == sizeof(letters)) return false;
    letters[i] = static_cast<char>(reader.Read<uint8_t>());
    if (letters[i] == 0) break;
  }
  common->code_alignment = reader.ReadUnsignedLeb();
  common->data_alignment = reader.ReadSignedLeb();
  const uint64_t return_address =
      version == 1 ? reader.Read<uint8_t>() : reader.ReadUnsignedLeb();
  if (ColumnOfDwarfRegister(return_address) != kReturnAddress) return false;

  if (letters[0] == 'z') {
    common->has_augmentation_size = true;
    ByteReader augmentation(reader.ReadBlock(reader.ReadUnsignedLeb()));
    if (!ReadAugmentation(letters + 1, &augmentation, common)) return false;
  } else if (letters[0] != 0) {
    return false;
  }
  common->program = reader.rest();
  return !reader.failed();
}

// Runs the program of a table until the row for an address is there.
class Machine {
 public:
  Machine(ByteRange readable, const Common& common, uintptr_t start,
          uintptr_t pc, FrameRow* row)
      : readable_(readable),
        common_(common),
        location_(start),
        pc_(pc),
        row_(*row) {}

  bool Run() {
    if (!Execute(common_.program)) return false;
    initial_ = row_;
    return true;
  }
  bool Run(ByteRange program) { return Execute(program); }

 private:
  // Compilers nest them once.
  static constexpr size_t kMostRemembered = 4;

  bool Execute(ByteRange program);
  bool ExecuteExtended(uint8_t operation, ByteReader* reader);

  // False: the row that is there is the one.
  bool Advance(uint64_t count) {
    location_ += count * common_.code_alignment;
    return location_ <= pc_;
  }

  bool Fits(int64_t offset) const {
    return offset == static_cast<int32_t>(offset);
  }

  // Rules of registers that are not tracked are read and forgotten.
  bool Set(uint64_t number, RegisterRule::Kind kind, int64_t offset) {
    const size_t column = ColumnOfDwarfRegister(number);
    if (column == kNoColumn) return true;
    row_.registers[column] = {kind, static_cast<int32_t>(offset)};
    return Fits(offset);
  }
  bool SetScaled(uint64_t number, RegisterRule::Kind kind, int64_t factor) {
    int64_t offset;
    return !__builtin_mul_overflow(factor, common_.data_alignment, &offset) &&
           Set(number, kind, offset);
  }
  bool SetCfa(uint64_t number, int64_t offset) {
    row_.cfa_is_expression = false;
    // One that is not tracked is an error only if this is the row.
    row_.cfa_column = static_cast<uint8_t>(ColumnOfDwarfRegister(number));
    return SetCfaOffset(offset);
  }
  bool SetCfaOffset(int64_t offset) {
    row_.cfa_offset = static_cast<int32_t>(offset);
    return Fits(offset);
  }
  bool SetScaledCfaOffset(int64_t factor) {
    int64_t offset;
    return !__builtin_mul_overflow(factor, common_.data_alignment, &offset) &&
           SetCfaOffset(offset);
  }
  void Restore(uint64_t number) {
    const size_t column = ColumnOfDwarfRegister(number);
    if (column != kNoColumn) {
      row_.registers[column] = initial_.registers[column];
    }
  }
  // Skips an expression and says where it was.
  int64_t ReadExpression(ByteReader* reader) {
    const uintptr_t start = reader->position();
    reader->Skip(reader->ReadUnsignedLeb());
    return static_cast<int64_t>(start - readable_.start);
  }

  const ByteRange readable_;
  const Common& common_;
  uintptr_t location_;
  const uintptr_t pc_;
  FrameRow& row_;
  FrameRow initial_;
  FrameRow remembered_[kMostRemembered];
  size_t remembered_count_ = 0;
};

bool Machine::Execute(ByteRange program) {
  ByteReader reader(program);
  while (!reader.at_end()) {
    const uint8_t operation = reader.Read<uint8_t>();
    const uint8_t operand = operation & 0x3f;
    switch (operation >> 6) {
      case 1:  // DW_CFA_advance_loc
        if (!Advance(operand)) return true;
        break;
      case 2:  // DW_CFA_offset
        if (!SetScaled(operand, RegisterRule::Kind::kSaved,
                       static_cast<int64_t>(reader.ReadUnsignedLeb()))) {
          return false;
        }
        break;
      case 3:  // DW_CFA_restore
        Restore(operand);
        break;
      default: {
        const uintptr_t before = location_;
        if (!ExecuteExtended(operand, &reader)) return false;
        if (location_ != before && location_ > pc_) return !reader.failed();
        break;
      }
    }
  }
  return !reader.failed();
}

bool Machine::ExecuteExtended(uint8_t operation, ByteReader* reader) {
  using Kind = RegisterRule::Kind;
  // Operands are read in order, whatever order arguments are evaluated in.
  const auto number = [reader] { return reader->ReadUnsignedLeb(); };
  const auto positive = [reader] {
    return static_cast<int64_t>(reader->ReadUnsignedLeb());
  };
  const auto either = [reader] { return reader->ReadSignedLeb(); };
  uint64_t which = 0;
  switch (operation) {
    case 0x00:  // DW_CFA_nop
      return true;
    case 0x01:  // DW_CFA_set_loc
      location_ = reader->ReadPointer(common_.pointer_encoding);
      return true;
    case 0x02:  // DW_CFA_advance_loc1
      Advance(reader->Read<uint8_t>());
      return true;
    case 0x03:  // DW_CFA_advance_loc2
      Advance(reader->Read<uint16_t>());
      return true;
    case 0x04:  // DW_CFA_advance_loc4
      Advance(reader->Read<uint32_t>());
      return true;
    case 0x05:  // DW_CFA_offset_extended
      which = number();
      return SetScaled(which, Kind::kSaved, positive());
    case 0x06:  // DW_CFA_restore_extended
      Restore(number());
      return true;
    case 0x07:  // DW_CFA_undefined
      return Set(number(), Kind::kUndefined, 0);
    case 0x08:  // DW_CFA_same_value
      return Set(number(), Kind::kSame, 0);
    case 0x09: {  // DW_CFA_register
      which = number();
      const size_t column = ColumnOfDwarfRegister(number());
      return column == kNoColumn
                 ? Set(which, Kind::kUndefined, 0)
                 : Set(which, Kind::kRegister, static_cast<int64_t>(column));
    }
    case 0x0a:  // DW_CFA_remember_state
      if (remembered_count_ == kMostRemembered) return false;
      remembered_[remembered_count_++] = row_;
      return true;
    case 0x0b:  // DW_CFA_restore_state
      if (remembered_count_ == 0) return false;
      row_ = remembered_[--remembered_count_];
      return true;
    case 0x0c:  // DW_CFA_def_cfa
      which = number();
      return SetCfa(which, positive());
    case 0x0d:  // DW_CFA_def_cfa_register
      return SetCfa(number(), row_.cfa_offset);
    case 0x0e:  // DW_CFA_def_cfa_offset
      return SetCfaOffset(positive());
    case 0x0f: {  // DW_CFA_def_cfa_expression
      row_.cfa_is_expression = true;
      return SetCfaOffset(ReadExpression(reader));
    }
    case 0x10:  // DW_CFA_expression
      which = number();
      return Set(which, Kind::kSavedExpression, ReadExpression(reader));
    case 0x11:  // DW_CFA_offset_extended_sf
      which = number();
      return SetScaled(which, Kind::kSaved, either());
    case 0x12: {  // DW_CFA_def_cfa_sf
      which = number();
      return SetCfa(which, 0) && SetScaledCfaOffset(either());
    }
    case 0x13:  // DW_CFA_def_cfa_offset_sf
      return SetScaledCfaOffset(either());
    case 0x14:  // DW_CFA_val_offset
      which = number();
      return SetScaled(which, Kind::kValue, positive());
    case 0x15:  // DW_CFA_val_offset_sf
      which = number();
      return SetScaled(which, Kind::kValue, either());
    case 0x16:  // DW_CFA_val_expression
      which = number();
      return Set(which, Kind::kValueExpression, ReadExpression(reader));
    case 0x2d:  // DW_CFA_AARCH64_negate_ra_state: signatures are stripped.
      return kHasLinkRegister;
    case 0x2e:  // DW_CFA_GNU_args_size
      number();
      return true;
    case 0x2f:  // DW_CFA_GNU_negative_offset_extended
      which = number();
      return SetScaled(which, Kind::kSaved, static_cast<int64_t>(0 - number()));
    default:
      return false;
  }
}

}  // namespace

bool ReadFrameIndex(ByteRange readable, uintptr_t header, FrameIndex* index) {
  if (!readable.Contains(header)) return false;
  ByteReader reader({header, readable.end});
  const uint8_t version = reader.Read<uint8_t>();
  const uint8_t start_encoding = reader.Read<uint8_t>();
  const uint8_t count_encoding = reader.Read<uint8_t>();
  const uint8_t table_encoding = reader.Read<uint8_t>();
  if (version != 1 || count_encoding == kPointerOmitted ||
      table_encoding != kTableEncoding) {
    return false;
  }
  if (start_encoding != kPointerOmitted) reader.ReadFormatted(start_encoding);
  const uint64_t count = reader.ReadFormatted(count_encoding);
  if (reader.failed() || count == 0) return false;
  if (count > (readable.end - reader.position()) / kTableEntrySize) {
    return false;
  }
  *index = {header, reader.position(), count};
  return true;
}

bool FindFrameDescription(ByteRange readable, const FrameIndex& index,
                          uintptr_t pc, uintptr_t* description) {
  SPANMALLOC_ASSERT(
      readable.Contains(index.table, index.count * kTableEntrySize));
  (void)readable;
  uint64_t first = 0, count = index.count;
  // The last entry that does not start behind `pc` is before first + count.
  while (count > 1) {
    const uint64_t half = count / 2;
    const uintptr_t entry = index.table + (first + half) * kTableEntrySize;
    if (Plus(index.header, Int32At(entry)) <= pc) {
      first += half;
      count -= half;
    } else {
      count = half;
    }
  }
  const uintptr_t entry = index.table + first * kTableEntrySize;
  if (Plus(index.header, Int32At(entry)) > pc) return false;
  *description = Plus(index.header, Int32At(entry + sizeof(int32_t)));
  return true;
}

bool ReadFrameRow(ByteRange readable, uintptr_t description, uintptr_t pc,
                  FrameRow* row) {
  if (!readable.Contains(description)) return false;
  ByteReader entries({description, readable.end});
  ByteReader reader(ReadEntry(&entries));
  const uintptr_t here = reader.position();
  const uint32_t to_common = reader.Read<uint32_t>();
  if (reader.failed() || to_common == 0) return false;  // A CIE.
  Common common;
  if (!ReadCommon(readable, here - to_common, &common)) return false;

  const uintptr_t start = reader.ReadPointer(common.pointer_encoding);
  const uint64_t size = reader.ReadFormatted(common.pointer_encoding);
  if (common.has_augmentation_size) reader.Skip(reader.ReadUnsignedLeb());
  if (reader.failed() || pc - start >= size) return false;

  *row = FrameRow();
  Machine machine(readable, common, start, pc, row);
  if (!machine.Run() || !machine.Run(reader.rest())) return false;
  row->is_signal_frame = common.is_signal_frame;
  return row->cfa_is_expression || row->cfa_column < kColumns;
}

ByteRange ExpressionBlock(ByteRange readable, int32_t offset) {
  const uintptr_t start = Plus(readable.start, offset);
  if (!readable.Contains(start)) return {};
  ByteReader reader({start, readable.end});
  const ByteRange block = reader.ReadBlock(reader.ReadUnsignedLeb());
  return reader.failed() ? ByteRange{} : block;
}

}  // namespace spanmalloc
