#include "allocator/api/leak_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "allocator/api/allocator.h"
#include "allocator/api/report_signals.h"
#include "allocator/observe/text_writer.h"
#include "allocator/os/mapped_file.h"
#include "allocator/os/own_module.h"
#include "allocator/os/report_file.h"
#include "allocator/os/reserved_array.h"
#include "allocator/profile/frame_names.h"
#include "allocator/profile/suppressions.h"

// The C++ runtime's, if there is one.
extern "C" __attribute__((weak)) char* __cxa_demangle(const char* name,
                                                      char* buffer,
                                                      size_t* size,
                                                      int* status);

namespace spanmalloc {
namespace {

constexpr size_t kStacksPrinted = 20;
// Of the mappings, with their names.
constexpr size_t kMappingBytes = 1 << 20;
// Decoding a name takes stack in proportion to its length.
constexpr size_t kMaxDecoded = 16 << 10;

// Set by StartLeakReport, then constant.
bool enabled = false;
OptionText suppressions_path;
KeptStandardError standard_error;

// The names under which programs call this library.
constexpr const char* kEntries[] = {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) #name,
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
#name,
#include "allocator/api/entry_points.def"
};

// And how those of its own functions begin.
constexpr const char* kOwnPrefixes[] = {
    "spanmalloc_",      "_ZN10spanmalloc",   "_ZNK10spanmalloc",
    "_ZZN10spanmalloc", "_ZZNK10spanmalloc",
};

bool BeginsWith(Text text, const char* start) {
  const size_t bytes = strlen(start);
  return text.bytes >= bytes && memcmp(text.start, start, bytes) == 0;
}

// Whether a frame is in this library: in a program that it is linked into there
// is nothing but the names to tell that.
bool IsOwn(Text function) {
  for (const char* entry : kEntries) {
    if (BeginsWith(function, entry) && function.bytes == strlen(entry)) {
      return true;
    }
  }
  for (const char* prefix : kOwnPrefixes) {
    if (BeginsWith(function, prefix)) return true;
  }
  return false;
}

// A function's name as people write it, or as it is in the file.
class DecodedName {
 public:
  explicit DecodedName(Text name) : text_(name) {
    if (__cxa_demangle == nullptr || !BeginsWith(name, "_Z") ||
        name.bytes > kMaxDecoded) {
      return;
    }
    int status = 0;
    memory_ = __cxa_demangle(name.start, nullptr, nullptr, &status);
    if (memory_ != nullptr) text_ = {memory_, strlen(memory_)};
  }
  ~DecodedName() { free(memory_); }
  DecodedName(const DecodedName&) = delete;
  DecodedName& operator=(const DecodedName&) = delete;

  Text text() const { return text_; }

 private:
  char* memory_ = nullptr;
  Text text_;
};

struct Sum {
  uint64_t bytes;
  uint64_t objects;  // Fixed point: see WholeObjects.

  void Add(const Sum& other) {
    bytes += other.bytes;
    objects += other.objects;
  }
};

// What is in use of one stack. At first there may be several of the same.
struct StackInUse {
  const Stack* stack;
  size_t first;  // Frames before it are this library's.
  Sum sum;

  const void* const* begin() const { return stack->frames() + first; }
  size_t depth() const { return stack->depth - first; }
};

bool IsSameStack(const StackInUse& a, const StackInUse& b) {
  return a.depth() == b.depth() &&
         (a.depth() == 0
              ? a.stack == b.stack
              : memcmp(a.begin(), b.begin(), a.depth() * sizeof(void*)) == 0);
}

// Brings equal stacks together.
bool IsStackBefore(const StackInUse& a, const StackInUse& b) {
  if (a.depth() != b.depth()) return a.depth() < b.depth();
  if (a.depth() == 0) return a.stack < b.stack;
  return memcmp(a.begin(), b.begin(), a.depth() * sizeof(void*)) < 0;
}

bool IsLarger(const StackInUse& a, const StackInUse& b) {
  if (a.sum.bytes != b.sum.bytes) return a.sum.bytes > b.sum.bytes;
  if (a.sum.objects != b.sum.objects) return a.sum.objects > b.sum.objects;
  return IsStackBefore(a, b);
}

using StackList = ReservedArray<StackInUse>;

void AddBucket(void* context, const BucketSnapshot& bucket) {
  if (bucket.in_use.objects == 0) return;
  // One that is too new for the list is of a thread that still runs.
  StackInUse* const added = static_cast<StackList*>(context)->Add();
  if (added == nullptr) return;
  *added = {
      bucket.stack, 0, {bucket.in_use.requested_bytes, bucket.in_use.objects}};
}

void Merge(StackList* stacks) {
  std::sort(stacks->begin(), stacks->end(), IsStackBefore);
  size_t merged = 0;
  for (const StackInUse& stack : *stacks) {
    if (merged != 0 && IsSameStack((*stacks)[merged - 1], stack)) {
      (*stacks)[merged - 1].sum.Add(stack.sum);
    } else {
      (*stacks)[merged++] = stack;
    }
  }
  stacks->Shrink(merged);
}

// The report, from the tables to the text.
class Report {
 public:
  Report(const FrameNames* names, StackList* stacks, bool is_exact,
         TextWriter* out)
      : names_(names),
        stacks_(stacks),
        traits_(names->size()),
        is_exact_(is_exact),
        out_(out) {}

  void Write(Text patterns) {
    FindTraits(patterns);
    for (StackInUse& stack : *stacks_) SkipOwn(&stack);
    Merge(stacks_);
    Suppress();
    std::sort(stacks_->begin(), stacks_->end(), IsLarger);
    Print();
  }

 private:
  void FindTraits(Text patterns);
  void SkipOwn(StackInUse* stack) const;
  bool IsOfNoInterest(const StackInUse& stack) const;
  void Suppress();
  void Print();
  void PrintSum(const Sum& sum);
  void PrintStacks(size_t count);
  void PrintFrame(size_t number, const void* frame);
  void Hex(uint64_t value);

  const FrameNames* const names_;
  StackList* const stacks_;
  ReservedArray<uint32_t> traits_;  // In the order of the names.
  const bool is_exact_;
  TextWriter* const out_;
  Sum suppressed_ = {0, 0};
  size_t suppressed_stacks_ = 0;
};

void Report::FindTraits(Text patterns) {
  for (size_t i = 0; i < names_->size(); ++i) {
    uint32_t* const traits = traits_.Add();
    if (traits == nullptr) return;
    const FrameName& name = names_->begin()[i];
    const DecodedName decoded(name.function());
    *traits =
        TraitsOf({name.function(), decoded.text(), name.module()}, patterns);
  }
}

void Report::SkipOwn(StackInUse* stack) const {
  while (stack->depth() > 0) {
    const FrameName* const name = names_->Find(stack->begin()[0]);
    if (name == nullptr || !IsOwn(name->function())) return;
    ++stack->first;
  }
}

bool Report::IsOfNoInterest(const StackInUse& stack) const {
  // Not even a frame of this library's, which is linked into the program: the
  // C library of a static program asked, before stacks can be walked.
  if (stack.stack == the_allocator.profiler().stacks().unknown() &&
      OwnCode().end == 0) {
    return true;
  }
  uint32_t traits[StackTable::kMaxDepth];
  size_t depth = 0;
  for (; depth < stack.depth() && depth < StackTable::kMaxDepth; ++depth) {
    const FrameName* const name = names_->Find(stack.begin()[depth]);
    const size_t place = name != nullptr
                             ? static_cast<size_t>(name - names_->begin())
                             : SIZE_MAX;
    traits[depth] = place < traits_.size() ? traits_[place] : 0;
  }
  return IsSuppressed(traits, depth);
}

void Report::Suppress() {
  size_t kept = 0;
  for (const StackInUse& stack : *stacks_) {
    if (IsOfNoInterest(stack)) {
      suppressed_.Add(stack.sum);
      ++suppressed_stacks_;
    } else {
      (*stacks_)[kept++] = stack;
    }
  }
  stacks_->Shrink(kept);
}

void Report::Hex(uint64_t value) {
  char digits[16];
  size_t at = sizeof(digits);
  do {
    digits[--at] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  out_->Text("0x").Text(digits + at, sizeof(digits) - at);
}

void Report::PrintSum(const Sum& sum) {
  const uint64_t objects = WholeObjects(sum.objects);
  if (!is_exact_) out_->Text("about ");
  out_->Decimal(sum.bytes).Text(sum.bytes == 1 ? " byte in " : " bytes in ");
  out_->Decimal(objects).Text(objects == 1 ? " block" : " blocks");
}

void Report::PrintStacks(size_t count) {
  out_->Decimal(count).Text(count == 1 ? " stack" : " stacks");
}

void Report::PrintFrame(size_t number, const void* frame) {
  out_->Text("    #").Decimal(number).Text(" ");
  const FrameName* const name = names_->Find(frame);
  if (name == nullptr) {
    Hex(reinterpret_cast<uintptr_t>(frame) - 1);
    out_->Text("\n");
    return;
  }
  Hex(name->address);
  if (const Text function = name->function(); function.bytes != 0) {
    const DecodedName decoded(function);
    out_->Text(" ").Text(decoded.text().start, decoded.text().bytes).Text("+");
    Hex(name->code.address - name->code.start);
  }
  if (const Text module = name->module(); module.bytes != 0) {
    out_->Text(" (").Text(module.start, module.bytes).Text("+");
    Hex(name->code.address);
    out_->Text(")");
  }
  out_->Text("\n");
}

void Report::Print() {
  Sum total = {0, 0};
  for (const StackInUse& stack : *stacks_) total.Add(stack.sum);
  const size_t stacks = stacks_->size();
  out_->Text("spanmalloc: process ")
      .Decimal(static_cast<uint64_t>(getpid()))
      .Text(": still in use at exit, reachable or not: ");
  if (stacks == 0) {
    out_->Text("nothing");
    if (suppressed_stacks_ != 0) {
      out_->Text(" (suppressed: ");
      PrintSum(suppressed_);
      out_->Text(")");
    }
    out_->Text("\n");
    return;
  }
  PrintSum(total);
  out_->Text("\n");
  const size_t printed = stacks < kStacksPrinted ? stacks : kStacksPrinted;
  Sum rest = total;
  for (size_t i = 0; i < printed; ++i) {
    const StackInUse& stack = (*stacks_)[i];
    rest.bytes -= stack.sum.bytes;
    rest.objects -= stack.sum.objects;
    out_->Text("\n");
    PrintSum(stack.sum);
    out_->Text(" from\n");
    if (stack.depth() == 0) {
      out_->Text(stack.stack == the_allocator.profiler().stacks().no_room()
                     ? "    [no room for the stack]\n"
                     : "    [stack not known]\n");
    }
    for (size_t frame = 0; frame < stack.depth(); ++frame) {
      PrintFrame(frame, stack.begin()[frame]);
    }
  }
  out_->Text("\n");
  if (printed < stacks) {
    PrintSum(rest);
    out_->Text(" from ");
    PrintStacks(stacks - printed);
    out_->Text(" more\n");
  }
  PrintSum(total);
  out_->Text(" from ");
  PrintStacks(stacks);
  out_->Text(" in all\n");
  if (suppressed_stacks_ != 0) {
    out_->Text("suppressed: ");
    PrintSum(suppressed_);
    out_->Text(" from ");
    PrintStacks(suppressed_stacks_);
    out_->Text("\n");
  }
}

void WriteTo(int fd) {
  MappedFile suppressions;
  if (!suppressions_path.Is("")) {
    const int error = suppressions.Open(suppressions_path.data);
    if (error != 0) {
      CannotRead("suppressions", suppressions_path.data, error);
    }
  }
  const HeapProfiler& profiler = the_allocator.profiler();
  const HeapProfileTotals totals = profiler.profile().totals();
  // And the one for all that found no bucket.
  StackList stacks(totals.buckets + 1);
  ReservedArray<char> mapping_memory(kMappingBytes);
  if (stacks.capacity() == 0 || mapping_memory.capacity() == 0) {
    return CannotWrite("the leak report", "stderr", ENOMEM);
  }
  profiler.profile().ForEachBucket(BucketKind::kHeap, AddBucket, &stacks);
  MappingTable mappings(mapping_memory.begin(), kMappingBytes);
  mappings.ReadOwn();
  // One stack has a bucket for each size.
  Merge(&stacks);
  size_t frames = 0;
  for (const StackInUse& stack : stacks) frames += stack.depth();
  FrameNames names(&mappings, frames);
  for (const StackInUse& stack : stacks) {
    names.Add(stack.begin(), stack.depth());
  }
  names.Resolve();
  TextWriter out(TextWriter::ToDescriptor, &fd);
  Report report(&names, &stacks, profiler.interval() == 1, &out);
  report.Write({suppressions.data(), suppressions.size()});
  if (totals.lost_samples != 0) {
    out.Decimal(totals.lost_samples)
        .Text(" allocations are not in it for want of memory\n");
  }
  out.Finish();
}

}  // namespace

void StartLeakReport(const Options& options) {
  enabled = options.leak_report != 0;
  suppressions_path = options.leak_suppressions;
  if (enabled) standard_error.Keep();
}

void WriteLeakReport() {
  const int fd = enabled ? standard_error.descriptor() : -1;
  if (fd < 0) return;
  const int saved_errno = errno;
  WriteTo(fd);
  errno = saved_errno;
}

}  // namespace spanmalloc
