// What a guarded heap finds, and the exact words in which it says so. Each
// misuse happens in a forked child.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <functional>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "allocator/os/thread_id.h"
#include "allocator/profile/guarded_heap.h"
#include "tests/support/crash.h"

namespace spanmalloc {
namespace {

const size_t kPage = SystemPageSize();
// Enough that the last ones are never used.
constexpr size_t kSlots = 256;

// Two frames, which tell when the stack was captured.
uintptr_t phase = 0;
size_t FakeStack(void** frames, size_t, size_t) {
  frames[0] = reinterpret_cast<void*>(phase + 1);
  frames[1] = reinterpret_cast<void*>(phase + 2);
  return 2;
}

class GuardedMisuseTest : public testing::Test {
 protected:
  GuardedMisuseTest() { EXPECT_TRUE(heap_.Enable(kSlots)); }
  ~GuardedMisuseTest() override { StopWatchingFaults(); }

  // Allocated in phase 0x100.
  char* Allocate(bool right, size_t size, size_t alignment = 1) {
    phase = 0x100;
    for (int i = 0; i < 200; ++i) {
      char* const p = static_cast<char*>(heap_.Allocate(size, alignment));
      const bool is_right = reinterpret_cast<uintptr_t>(p) % kPage != 0;
      if (is_right == right) return p;
      heap_.Free(p);
    }
    ADD_FAILURE() << "200 times the other end";
    return nullptr;
  }
  void Free(void* p) {
    phase = 0x200;
    heap_.Free(p);
    phase = 0x300;
  }

  // Runs the misuse, in phase 0x300 unless it says otherwise.
  Crash Run(const std::function<void()>& misuse) {
    return InCrashingChild([&] {
      heap_.CheckInvariants();
      phase = 0x300;
      misuse();
      return 0;
    });
  }

  GuardedHeap heap_{&kLinuxMemory, FakeStack};
};

std::string Hex(const void* p) {
  char text[30];
  snprintf(text, sizeof(text), "0x%zx", reinterpret_cast<size_t>(p));
  return text;
}

using Lines = std::vector<std::string>;

// Two lines of frames of that phase.
void ExpectStack(const Crash& crash, size_t at, uintptr_t of_phase) {
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(crash.line(at + i),
              "    #" + std::to_string(i) + " " +
                  Hex(reinterpret_cast<void*>(of_phase + 1 + i)));
  }
}

void ExpectTitle(const std::string& line, const std::string& pattern) {
  EXPECT_TRUE(std::regex_match(line, std::regex(pattern)))
      << line << "\nis not\n"
      << pattern;
}

// That misuse of `what` in phase 0x300 is followed by these stacks.
void ExpectAbort(const Crash& crash, const std::string& headline,
                 const std::string& what, bool freed, bool allocated = true) {
  EXPECT_EQ(crash.signal, SIGABRT);
  EXPECT_EQ(crash.line(0), "spanmalloc: " + headline);
  ExpectTitle(crash.line(1), "  " + what + " by thread [0-9]+:");
  ExpectStack(crash, 2, 0x300);
  size_t at = 4;
  if (freed) {
    ExpectTitle(crash.line(at),
                "  freed by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
    ExpectStack(crash, at + 1, 0x200);
    at += 3;
  }
  if (allocated) {
    ExpectTitle(crash.line(at),
                "  allocated by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
    ExpectStack(crash, at + 1, 0x100);
    at += 3;
  }
  EXPECT_EQ(crash.lines.size(), at);
}

// ---- Frees

TEST_F(GuardedMisuseTest, DoubleFree) {
  char* const p = Allocate(true, 100);
  Free(p);
  const std::string headline = "double free of " + Hex(p) + " (100-byte block)";
  ExpectAbort(Run([&] { heap_.Free(p); }), headline, "free", true);
  ExpectAbort(Run([&] { heap_.FreeSized(p, 100); }), headline, "free", true);
}

TEST_F(GuardedMisuseTest, PointersThatAreNoBlocks) {
  char* const p = Allocate(true, 100);
  char* const page =
      reinterpret_cast<char*>(AlignDown(reinterpret_cast<uintptr_t>(p), kPage));
  for (char* const wrong : {p + 1, p + 16, p - 16, page, page + kPage}) {
    ExpectAbort(
        Run([&] { heap_.Free(wrong); }),
        "free of " + Hex(wrong) + ", which is not the start of a live block",
        "free", false);
  }
  // Nothing is known of a slot that was never used, or of what is not ours.
  int local;
  for (void* const wrong : {static_cast<void*>(page + kSlots * kPage),
                            static_cast<void*>(&local)}) {
    ExpectAbort(
        Run([&] { heap_.Free(wrong); }),
        "free of " + Hex(wrong) + ", which is not the start of a live block",
        "free", false, false);
  }
}

TEST_F(GuardedMisuseTest, InsideAFreedBlock) {
  char* const p = Allocate(false, 100);
  Free(p);
  ExpectAbort(
      Run([&] { heap_.Free(p + 16); }),
      "free of " + Hex(p + 16) + ", which is not the start of a live block",
      "free", true);
}

TEST_F(GuardedMisuseTest, OtherOperations) {
  char* const p = Allocate(false, 100);
  Free(p);
  ExpectAbort(
      Run([&] { heap_.SizeOf(p, "realloc"); }),
      "realloc of " + Hex(p) + ", which is not the start of a live block",
      "realloc", true);
  ExpectAbort(Run([&] { heap_.SizeOf(p); }),
              "malloc_usable_size of " + Hex(p) +
                  ", which is not the start of a live block",
              "malloc_usable_size", true);
}

TEST_F(GuardedMisuseTest, WrongSize) {
  char* const p = Allocate(true, 100);
  char* const q = Allocate(true, 1);
  ExpectAbort(
      Run([&] { heap_.FreeSized(p, 90); }),
      "sized free of " + Hex(p) + " with size 90, but the block has 100 bytes",
      "free", false);
  ExpectAbort(
      Run([&] { heap_.FreeSized(q, 2); }),
      "sized free of " + Hex(q) + " with size 2, but the block has 1 byte",
      "free", false);
}

// ---- Changes around a block

TEST_F(GuardedMisuseTest, OverflowFoundByFree) {
  for (const bool right : {false, true}) {
    char* const p = Allocate(right, 100);
    for (const size_t at : {100, 105, 111}) {
      ExpectAbort(Run([&] {
                    p[at] = 0;
                    heap_.Free(p);
                  }),
                  "buffer overflow, found when the block was freed: write of " +
                      Hex(p + at) + ", " + std::to_string(at - 100) +
                      (at == 101 ? " byte" : " bytes") +
                      " after a block of 100 bytes at " + Hex(p),
                  "free", false);
    }
    Free(p);
  }
}

TEST_F(GuardedMisuseTest, OverflowFarAway) {
  char* const p = Allocate(false, 100);
  ExpectAbort(Run([&] {
                p[kPage - 1] ^= 1;
                p[kPage - 2] ^= 1;
                heap_.Free(p);
              }),
              "buffer overflow, found when the block was freed: write of " +
                  Hex(p + kPage - 2) + ", " + std::to_string(kPage - 102) +
                  " bytes after a block of 100 bytes at " + Hex(p),
              "free", false);
}

TEST_F(GuardedMisuseTest, UnderflowFoundByFree) {
  char* const p = Allocate(true, 100);
  for (const int at : {1, 17}) {
    ExpectAbort(
        Run([&] {
          p[-at] = 0;
          // The nearest one is reported.
          *reinterpret_cast<char*>(
              AlignDown(reinterpret_cast<uintptr_t>(p), kPage)) = 0;
          heap_.Free(p);
        }),
        "buffer underflow, found when the block was freed: write of " +
            Hex(p - at) + ", " +
            (at == 1 ? std::string("1 byte") : std::to_string(at) + " bytes") +
            " before a block of 100 bytes at " + Hex(p),
        "free", false);
  }
}

TEST_F(GuardedMisuseTest, WholePagesHaveNothingAround) {
  char* const p = static_cast<char*>(heap_.Allocate(kPage, 1));
  memset(p, 1, kPage);
  heap_.FreeSized(p, kPage);
}

// ---- Faults

// What a compiler does not look into.
__attribute__((noinline)) int Read(const volatile char* p) { return *p; }
__attribute__((noinline)) void Write(volatile char* p) { *p = 1; }

// In a heap of the child's own, so that its handler is installed there.
Crash RunWatched(const std::function<void(GuardedHeap*)>& misuse) {
  return InCrashingChild([&] {
    GuardedHeap heap(&kLinuxMemory, FakeStack);
    heap.Enable(kSlots);
    misuse(&heap);
    return 0;
  });
}

// At that end. The addresses are those of the child: it tells them first.
char* AllocateIn(GuardedHeap* heap, bool right, size_t size) {
  phase = 0x100;
  for (;;) {
    char* const p = static_cast<char*>(heap->Allocate(size, 1));
    if ((reinterpret_cast<uintptr_t>(p) % kPage != 0) == right) {
      dprintf(STDERR_FILENO, "%s\n", Hex(p).c_str());
      return p;
    }
    heap->Free(p);
  }
}

void FreeIn(GuardedHeap* heap, void* p) {
  phase = 0x200;
  heap->Free(p);
}

// In the report on the first block: its address, the access `offset` bytes
// behind, what it was.
void ExpectFault(const Crash& crash, const std::string& error,
                 const std::string& access, long offset,
                 const std::string& place, bool freed) {
  EXPECT_EQ(crash.signal, SIGSEGV);
  const size_t address = std::stoul(crash.line(0), nullptr, 16);
  char* const p = reinterpret_cast<char*>(address);
  EXPECT_EQ(crash.line(1), "spanmalloc: " + error + ": " + access + " of " +
                               Hex(p + offset) + ", " + place + " at " +
                               Hex(p));
  ExpectTitle(crash.line(2), "  " + access + " by thread [0-9]+:");
  // The fake stack does not know the instruction, so it alone is shown.
  ExpectTitle(crash.line(3),
              access == "execution"
                  ? "    #0 " + Hex(p)
                  : "    #0 0x[0-9a-f]+ /.*/guarded_misuse_test\\+0x[0-9a-f]+");
  size_t at = 4;
  if (freed) {
    ExpectTitle(crash.line(at),
                "  freed by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
    ExpectStack(crash, at + 1, 0x200);
    at += 3;
  }
  ExpectTitle(crash.line(at),
              "  allocated by thread [0-9]+, [0-9]+\\.[0-9]{3} s before:");
  ExpectStack(crash, at + 1, 0x100);
  EXPECT_EQ(crash.lines.size(), at + 3);
}

TEST(GuardedFaultTest, UseAfterFree) {
  for (const bool writes : {false, true}) {
    for (const bool right : {false, true}) {
      const Crash crash = RunWatched([&](GuardedHeap* heap) {
        char* const p = AllocateIn(heap, right, 100);
        FreeIn(heap, p);
        writes ? Write(p + 16) : void(Read(p + 16));
      });
      ExpectFault(crash, "use after free", writes ? "write" : "read", 16,
                  "16 bytes inside a freed block of 100 bytes", true);
    }
  }
}

TEST(GuardedFaultTest, UseAfterFreeBesideTheBlock) {
  ExpectFault(RunWatched([](GuardedHeap* heap) {
                char* const p = AllocateIn(heap, false, 100);
                FreeIn(heap, p);
                Read(p + 101);
              }),
              "use after free", "read", 101,
              "1 byte after a freed block of 100 bytes", true);
  ExpectFault(RunWatched([](GuardedHeap* heap) {
                char* const p = AllocateIn(heap, true, 100);
                FreeIn(heap, p);
                Read(p - 8);
              }),
              "use after free", "read", -8,
              "8 bytes before a freed block of 100 bytes", true);
}

TEST(GuardedFaultTest, Overflow) {
  for (const bool writes : {false, true}) {
    ExpectFault(RunWatched([&](GuardedHeap* heap) {
                  char* const p = AllocateIn(heap, true, 96);
                  writes ? Write(p + 96) : void(Read(p + 96));
                }),
                "buffer overflow", writes ? "write" : "read", 96,
                "0 bytes after a block of 96 bytes", false);
  }
  // After what the alignment leaves.
  ExpectFault(RunWatched([&](GuardedHeap* heap) {
                char* const p = AllocateIn(heap, true, 100);
                for (int i = 0;; ++i) Read(p + i);
              }),
              "buffer overflow", "read", 112,
              "12 bytes after a block of 100 bytes", false);
}

TEST(GuardedFaultTest, Underflow) {
  for (const bool writes : {false, true}) {
    ExpectFault(RunWatched([&](GuardedHeap* heap) {
                  char* const p = AllocateIn(heap, false, 96);
                  writes ? Write(p - 1) : void(Read(p - 1));
                }),
                "buffer underflow", writes ? "write" : "read", -1,
                "1 byte before a block of 96 bytes", false);
  }
}

// A guard between two blocks is that of the nearer one.
TEST(GuardedFaultTest, TheNearerBlock) {
  const long half = static_cast<long>(kPage) / 2;
  for (const bool first : {true, false}) {
    for (const long offset : {0L, half - 1, half + 1}) {
      const Crash crash = RunWatched([&](GuardedHeap* heap) {
        char* left = nullptr;
        char* right = nullptr;
        // The last page of one and the first of the other, with a guard
        // between. The one that is expected is told.
        for (;;) {
          left = static_cast<char*>(heap->Allocate(96, 1));
          right = static_cast<char*>(heap->Allocate(96, 1));
          if (reinterpret_cast<uintptr_t>(left) % kPage != 0 &&
              reinterpret_cast<uintptr_t>(right) % kPage == 0 &&
              right - left == 96 + static_cast<long>(kPage)) {
            break;
          }
          heap->Free(right);
          heap->Free(left);
        }
        if (!first) {
          heap->Free(left);
          heap->Free(right);
          _exit(9);
        }
        dprintf(STDERR_FILENO, "%s\n",
                Hex(offset < half ? left : right).c_str());
        Read(left + 96 + offset);
      });
      if (!first) continue;
      EXPECT_EQ(crash.signal, SIGSEGV);
      const size_t told = std::stoul(crash.line(0), nullptr, 16);
      const std::string end = " at " + Hex(reinterpret_cast<void*>(told));
      const std::string& line = crash.line(1);
      EXPECT_EQ(line.substr(line.size() - end.size()), end) << line;
      EXPECT_EQ(line.find(offset < half ? "buffer overflow" : "underflow") !=
                    std::string::npos,
                true)
          << line;
    }
  }
}

TEST(GuardedFaultTest, NothingIsNear) {
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    char* const p = AllocateIn(heap, false, 100);
    Read(p + kSlots * kPage);
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  const size_t address =
      std::stoul(crash.line(0), nullptr, 16) + kSlots * kPage;
  EXPECT_EQ(crash.line(1), "spanmalloc: invalid access: read of " +
                               Hex(reinterpret_cast<void*>(address)));
  EXPECT_EQ(crash.lines.size(), 4u);
}

TEST(GuardedFaultTest, BlocksAreNoCode) {
  ExpectFault(RunWatched([](GuardedHeap* heap) {
                char* const p = AllocateIn(heap, false, 100);
                reinterpret_cast<void (*)()>(p)();
              }),
              "invalid access", "execution", 0,
              "0 bytes inside a block of 100 bytes", false);
}

// The record stays that of the last block until another lives there.
TEST(GuardedFaultTest, WhileTheSlotIsPrepared) {
  static GuardedHeap* the_heap;
  static const char* dangling;
  const Crash crash = InCrashingChild([] {
    GuardedHeap heap(&kLinuxMemory, [](void** frames, size_t n, size_t skip) {
      // The third allocation: its page may be used, but is nobody's yet.
      if (phase == 0x400) {
        phase = 0x500;
        if (the_heap->live() != 0) dprintf(STDERR_FILENO, "live\n");
        the_heap->Free(const_cast<char*>(dangling));
      }
      return FakeStack(frames, n, skip);
    });
    the_heap = &heap;
    heap.Enable(1);
    char* const p = AllocateIn(&heap, false, 100);
    dangling = p;
    FreeIn(&heap, p);
    phase = 0x400;
    heap.Allocate(50, 1);
    return 0;
  });
  EXPECT_EQ(crash.signal, SIGABRT);
  EXPECT_EQ(crash.line(1), "spanmalloc: double free of " + crash.line(0) +
                               " (100-byte block)");
}

// The holder of the lock faults, or never comes back: no matter.
TEST(GuardedFaultTest, WithTheLockHeld) {
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    char* const p = AllocateIn(heap, true, 96);
    FreeIn(heap, p);
    heap->fork_lock().ForkLock();
    Read(p);
  });
  ExpectFault(crash, "use after free", "read", 0,
              "0 bytes inside a freed block of 96 bytes", true);
}

TEST(GuardedFaultTest, ThreadsHaveNumbers) {
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    char* p = nullptr;
    std::thread([&] {
      dprintf(STDERR_FILENO, "%d\n", static_cast<int>(CurrentThreadId()));
      p = AllocateIn(heap, true, 96);
    }).join();
    std::thread([&] {
      dprintf(STDERR_FILENO, "%d\n", static_cast<int>(CurrentThreadId()));
      FreeIn(heap, p);
    }).join();
    std::thread([&] {
      dprintf(STDERR_FILENO, "%d\n", static_cast<int>(CurrentThreadId()));
      Read(p);
    }).join();
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  ASSERT_EQ(crash.lines.size(), 13u);
  const std::string& allocator = crash.lines[0];
  const std::string& freer = crash.lines[2];
  const std::string& reader = crash.lines[3];
  EXPECT_EQ(crash.lines[5], "  read by thread " + reader + ":");
  EXPECT_EQ(crash.lines[7].find("  freed by thread " + freer + ","), 0u);
  EXPECT_EQ(crash.lines[10].find("  allocated by thread " + allocator + ","),
            0u);
}

// Many threads touch what is free at once: each report is whole.
TEST(GuardedFaultTest, ManyThreadsAtOnce) {
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    char* const p = AllocateIn(heap, true, 96);
    FreeIn(heap, p);
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 4) sched_yield();
        Read(p);
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  ASSERT_GE(crash.lines.size(), 10u);
  size_t whole = 0;
  for (size_t at = 1; at + 9 <= crash.lines.size(); at += 9) {
    EXPECT_EQ(crash.lines[at].find("spanmalloc: use after free: read of "), 0u);
    ExpectStack(crash, at + 7, 0x100);
    ++whole;
  }
  EXPECT_GE(whole, 1u);
}

TEST(GuardedFaultTest, OfAChildProcess) {
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    char* const p = AllocateIn(heap, true, 96);
    FreeIn(heap, p);
    if (fork() == 0) Read(p);
    int status = 0;
    wait(&status);
    if (!WIFSIGNALED(status)) _exit(1);
    raise(WTERMSIG(status));
  });
  ASSERT_GE(crash.lines.size(), 10u);
  ExpectFault(crash, "use after free", "read", 0,
              "0 bytes inside a freed block of 96 bytes", true);
}

TEST(GuardedFaultTest, TheProgramsHandlerComesNext) {
  const Crash crash = InCrashingChild([] {
    signal(SIGSEGV, [](int) {
      const char text[] = "program\n";
      if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) _exit(3);
      _exit(42);
    });
    GuardedHeap heap(&kLinuxMemory, FakeStack);
    heap.Enable(kSlots);
    char* const p = AllocateIn(&heap, true, 96);
    return Read(p + 96);
  });
  EXPECT_EQ(crash.status, 42);
  EXPECT_EQ(crash.lines.back(), "program");
  EXPECT_EQ(crash.line(1).find("spanmalloc: buffer overflow: "), 0u);
}

alignas(64) char signal_stack[8 << 10];

// As small as programs have them.
TEST(GuardedFaultTest, OnASmallSignalStack) {
  // What the kernel itself puts there, which depends on the processor.
  if (sysconf(_SC_MINSIGSTKSZ) > 4 << 10) GTEST_SKIP() << "no room";
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    const stack_t stack = {signal_stack, 0, sizeof(signal_stack)};
    sigaltstack(&stack, nullptr);
    char* const p = AllocateIn(heap, true, 96);
    Read(p + 96);
  });
  ExpectFault(crash, "buffer overflow", "read", 96,
              "0 bytes after a block of 96 bytes", false);
}

// ---- With real stacks

struct Walk {
  void** frames;
  size_t max;
  size_t skip;
  size_t depth;
};

size_t UnwindStack(void** frames, size_t max, size_t skip) {
  // The unwinder's first frame is this function, the next its caller.
  Walk walk = {frames, max, skip + 2, 0};
  _Unwind_Backtrace(
      [](_Unwind_Context* context, void* argument) {
        Walk* const state = static_cast<Walk*>(argument);
        if (state->skip > 0) {
          --state->skip;
          return _URC_NO_REASON;
        }
        if (state->depth == state->max) return _URC_END_OF_STACK;
        state->frames[state->depth++] =
            reinterpret_cast<void*>(_Unwind_GetIP(context));
        return _URC_NO_REASON;
      },
      &walk);
  return walk.depth;
}

__attribute__((noinline)) void AllocateHere(GuardedHeap* heap, char** p) {
  *p = static_cast<char*>(heap->Allocate(96, 1));
  asm volatile("");
}

__attribute__((noinline)) void FreeHere(GuardedHeap* heap, char* p) {
  heap->Free(p);
  asm volatile("");
}

bool IsIn(const std::string& frame, void* function) {
  const size_t at = frame.find("0x");
  if (at == std::string::npos) return false;
  return std::stoul(frame.substr(at), nullptr, 16) -
             reinterpret_cast<size_t>(function) <
         256;
}

TEST(GuardedFaultTest, StacksBeginWhereItHappened) {
  const Crash crash = InCrashingChild([] {
    GuardedHeap heap(&kLinuxMemory, UnwindStack);
    heap.Enable(kSlots);
    char* p;
    AllocateHere(&heap, &p);
    FreeHere(&heap, p);
    return Read(p);
  });
  EXPECT_EQ(crash.signal, SIGSEGV);
  std::vector<std::string> first_frames;
  for (const std::string& line : crash.lines) {
    if (line.find("    #0 ") == 0) first_frames.push_back(line);
  }
  ASSERT_EQ(first_frames.size(), 3u);
  EXPECT_TRUE(IsIn(first_frames[0], reinterpret_cast<void*>(Read)));
  EXPECT_TRUE(IsIn(first_frames[1], reinterpret_cast<void*>(FreeHere)));
  EXPECT_TRUE(IsIn(first_frames[2], reinterpret_cast<void*>(AllocateHere)));
  // And they go on.
  EXPECT_GE(crash.lines.size(), 3u * 4);
}

size_t UnwindStackOneMore(void** frames, size_t max, size_t skip) {
  const size_t depth = UnwindStack(frames, max, skip + 1);
  for (size_t i = 0; i < depth; ++i) {
    if (IsIn(Hex(frames[i]), reinterpret_cast<void*>(Read))) {
      frames[i] = static_cast<char*>(frames[i]) + 1;
    }
  }
  return depth;
}

// Some walkers give the interrupted instruction as its address plus one.
TEST(GuardedFaultTest, TheInstructionOrOneMore) {
  std::vector<Lines> lines;
  for (const auto capture : {UnwindStack, UnwindStackOneMore}) {
    lines.push_back(InCrashingChild([capture] {
                      GuardedHeap heap(&kLinuxMemory, capture);
                      heap.Enable(kSlots);
                      char* p;
                      AllocateHere(&heap, &p);
                      FreeHere(&heap, p);
                      return Read(p);
                    }).lines);
    EXPECT_TRUE(IsIn(lines.back().at(2), reinterpret_cast<void*>(Read)));
  }
  ASSERT_EQ(lines[0].size(), lines[1].size());
  for (size_t i = 2; i < lines[0].size(); ++i) {
    if (lines[0][i].find("    #") != 0) continue;
    EXPECT_EQ(lines[0][i], lines[1][i]);
  }
}

}  // namespace
}  // namespace spanmalloc
