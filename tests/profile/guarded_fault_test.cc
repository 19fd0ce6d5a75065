// What a guarded heap finds by a fault, and the exact words in which it says
// so. Each fault happens in a forked child.

#include <gtest/gtest.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/os/thread_id.h"
#include "allocator/profile/guarded_heap.h"
#include "tests/support/crash.h"
#include "tests/support/guarded_stacks.h"

namespace spanmalloc {
namespace {

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
                  : "    #0 0x[0-9a-f]+ /.*/guarded_fault_test\\+0x[0-9a-f]+");
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

sigjmp_buf back;

// A program may survive. Then the heap goes on without new blocks.
TEST(GuardedFaultTest, AProgramThatRecovers) {
  const Crash crash = InCrashingChild([] {
    signal(SIGSEGV, [](int) { siglongjmp(back, 1); });
    GuardedHeap heap(&kLinuxMemory, FakeStack);
    heap.Enable(kSlots);
    char* const p = AllocateIn(&heap, true, 96);
    if (sigsetjmp(back, 1) == 0) Read(p + 96);
    if (heap.enabled() || heap.Allocate(1, 1) != nullptr) return 1;
    heap.CheckInvariants();
    heap.Free(p);
    return 7;
  });
  EXPECT_EQ(crash.status, 7);
  EXPECT_EQ(crash.line(1).find("spanmalloc: buffer overflow: "), 0u);
}

// As small as programs have them, with nothing below.
TEST(GuardedFaultTest, OnASmallSignalStack) {
  // What the kernel itself puts there, which depends on the processor.
  if (sysconf(_SC_MINSIGSTKSZ) > 4 << 10) GTEST_SKIP() << "no room";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer needs more";
#endif
  const Crash crash = RunWatched([](GuardedHeap* heap) {
    const size_t size = AlignUp(8 << 10, kPage);
    char* const below = static_cast<char*>(mmap(
        nullptr, kPage + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(below + kPage, size, PROT_READ | PROT_WRITE);
    const stack_t stack = {below + kPage, 0, size};
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

__attribute__((noinline)) size_t UnwindStack(void** frames, size_t max,
                                             size_t skip) {
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
