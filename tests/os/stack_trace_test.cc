#include "allocator/os/stack_trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/os/call_chain.h"
#include "tests/support/guarded_pages.h"
#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

constexpr size_t kMost = 64;
constexpr size_t kPage = 4096;

struct Trace {
  void* frames[kMost];
  size_t count = 0;
};

Trace the_trace;

// A walk, and the same one by the compiler's own unwinder.
struct Comparison {
  Trace ours;
  Trace theirs;
};

_Unwind_Reason_Code NoteFrame(_Unwind_Context* context, void* data) {
  Trace* const trace = static_cast<Trace*>(data);
  int interrupted = 0;
  const uintptr_t ip = _Unwind_GetIPInfo(context, &interrupted);
  // A null starts a stack.
  if (ip == 0 || trace->count == kMost) return _URC_END_OF_STACK;
  trace->frames[trace->count++] =
      reinterpret_cast<void*>(ip + (interrupted != 0 ? 1 : 0));
  return _URC_NO_REASON;
}

__attribute__((noinline)) void Compare(Comparison* comparison) {
  comparison->ours.count =
      CaptureStackTrace(comparison->ours.frames, kMost - 1, 0);
  _Unwind_Backtrace(&NoteFrame, &comparison->theirs);
  asm volatile("" : : "r"(comparison) : "memory");
}

// That both saw the same, at least so many frames.
void ExpectSame(const Comparison& comparison, size_t at_least) {
  const auto frames = [](const Trace& trace, size_t first) {
    return std::vector<void*>(trace.frames + first, trace.frames + trace.count);
  };
  // Theirs begins in Compare.
  EXPECT_EQ(frames(comparison.ours, 0), frames(comparison.theirs, 1));
  EXPECT_GE(comparison.ours.count, at_least);
}

Comparison the_comparison;

__attribute__((noinline)) void CaptureInChain(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  the_trace.count = CaptureStackTrace(the_trace.frames, kMost, 0);
  Compare(&the_comparison);
  asm volatile("" : : "r"(chain) : "memory");
}

// That a walk begins with the chain's callers.
void ExpectChain(const CallChain& chain, const Trace& trace) {
  ASSERT_GE(trace.count, chain.count);
  for (size_t i = 0; i < chain.count; ++i) {
    EXPECT_EQ(trace.frames[i], chain.callers[chain.count - 1 - i]) << i;
  }
}

class StackTraceTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if !defined(__x86_64__) && !defined(__aarch64__)
    GTEST_SKIP() << "there is no walk on this architecture";
#endif
    the_trace = Trace();
    the_comparison = Comparison();
  }
};

TEST_F(StackTraceTest, KnownChains) {
  for (const auto call : {&CallWithFramePointers, &CallWithoutFramePointers}) {
    the_comparison = Comparison();
    CallChain chain;
    chain.innermost = &CaptureInChain;
    call(&chain);
    EXPECT_EQ(chain.count, 8u);
    ExpectChain(chain, the_trace);
    ExpectSame(the_comparison, chain.count + 2);
  }
}

TEST_F(StackTraceTest, TheSecondTimeIsAsTheFirst) {
  Trace first;
  for (int i = 0; i < 3; ++i) {
    CallChain chain;
    chain.innermost = &CaptureInChain;
    CallWithoutFramePointers(&chain);
    if (i == 0) first = the_trace;
    ASSERT_EQ(the_trace.count, first.count);
    EXPECT_EQ(memcmp(the_trace.frames + chain.count, first.frames + chain.count,
                     (first.count - chain.count) * sizeof(void*)),
              0);
    ExpectChain(chain, the_trace);
  }
}

TEST_F(StackTraceTest, SkipAndMax) {
  // In one function, so that all walks but the first frame are equal.
  static Trace all, some;
  static constexpr size_t kUntouched = 0x5a5a;
  all.count = CaptureStackTrace(all.frames, kMost, 0);
  ASSERT_GT(all.count, 4u);
  ASSERT_LT(all.count, kMost);
  for (size_t skip = 0; skip <= all.count + 2; ++skip) {
    for (size_t max = 0; max <= all.count + 1; ++max) {
      std::fill_n(some.frames, kMost, reinterpret_cast<void*>(kUntouched));
      some.count = CaptureStackTrace(some.frames, max, skip);
      const size_t left = skip < all.count ? all.count - skip : 0;
      ASSERT_EQ(some.count, std::min(max, left)) << skip << " " << max;
      ASSERT_EQ(
          memcmp(some.frames, all.frames + skip, some.count * sizeof(void*)),
          0);
      ASSERT_EQ(some.frames[some.count], reinterpret_cast<void*>(kUntouched));
    }
  }
}

TEST_F(StackTraceTest, KeepsErrno) {
  void* frames[kMost];
  errno = EXDEV;
  CaptureStackTrace(frames, kMost, 0);
  EXPECT_EQ(errno, EXDEV);
}

__attribute__((noinline)) int Recurse(int depth) {
  if (depth == 0) {
    the_trace.count = CaptureStackTrace(the_trace.frames, kMost, 0);
    Compare(&the_comparison);
    return 0;
  }
  const int result = Recurse(depth - 1) + 1;
  asm volatile("" : : "r"(&result) : "memory");
  return result;
}

TEST_F(StackTraceTest, DeepRecursion) {
  EXPECT_EQ(Recurse(10000), 10000);
  EXPECT_EQ(the_trace.count, kMost);
  ExpectSame(the_comparison, kMost - 1);
}

size_t the_skip;

__attribute__((noinline)) void RecurseAndSkip(int depth) {
  if (depth > 0) {
    RecurseAndSkip(depth - 1);
  } else {
    the_trace.count = CaptureStackTrace(the_trace.frames, kMost, the_skip);
  }
  asm volatile("" : : "r"(&depth) : "memory");
}

TEST_F(StackTraceTest, DeepSkip) {
  // All but the outermost frames are skipped.
  the_skip = 10001;
  RecurseAndSkip(10000);
  EXPECT_GT(the_trace.count, 2u);
  EXPECT_LT(the_trace.count, kMost);
  the_skip = SIZE_MAX;
  RecurseAndSkip(10000);
  EXPECT_EQ(the_trace.count, 0u);
}

int CompareInCallback(const void* a, const void* b) {
  if (the_comparison.theirs.count == 0) Compare(&the_comparison);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

TEST_F(StackTraceTest, ThroughTheCLibrary) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof(int), &CompareInCallback);
  ExpectSame(the_comparison, 5);
  the_comparison = Comparison();
  const int key = 2;
  EXPECT_NE(bsearch(&key, numbers, 3, sizeof(int), &CompareInCallback),
            nullptr);
  ExpectSame(the_comparison, 5);
}

TEST_F(StackTraceTest, InAThread) {
  std::thread([] { Compare(&the_comparison); }).join();
  // The last one is clone.
  ExpectSame(the_comparison, 3);
}

TEST_F(StackTraceTest, InAForkedChild) {
  EXPECT_EQ(InChild([] {
              Compare(&the_comparison);
              ExpectSame(the_comparison, 5);
              return ::testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
}

void CompareInHandler(int) { Compare(&the_comparison); }

void InstallHandler(int number, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ASSERT_EQ(sigaction(number, &action, nullptr), 0);
}

TEST_F(StackTraceTest, ThroughASignalHandler) {
  InstallHandler(SIGUSR1, &CompareInHandler, 0);
  ASSERT_EQ(raise(SIGUSR1), 0);
  ExpectSame(the_comparison, 8);
}

sigjmp_buf the_way_out;

// No call: an instruction that faults.
TEST_F(StackTraceTest, ThroughAFault) {
  EXPECT_EQ(InChild([] {
              InstallHandler(
                  SIGSEGV,
                  [](int) {
                    Compare(&the_comparison);
                    siglongjmp(the_way_out, 1);
                  },
                  0);
              CallChain chain;
              chain.innermost = [](CallChain* c) {
                *reinterpret_cast<volatile int*>(c->count * 1024) = 1;
              };
              if (sigsetjmp(the_way_out, 1) == 0) {
                CallWithoutFramePointers(&chain);
              }
              ExpectSame(the_comparison, 12);
              return ::testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
}

#if defined(__x86_64__) || defined(__aarch64__)
// A function that faults before it has done anything, behind one whose frame
// is quite another.
extern "C" void spanmalloc_test_fault();
asm(R"(
  .text
  .cfi_startproc
  .cfi_def_cfa_offset 4096
  nop
  .cfi_endproc
spanmalloc_test_fault:
  .cfi_startproc
)"
#if defined(__x86_64__)
    "ud2\n"
#else
    ".inst 0\n"
#endif
    ".cfi_endproc\n");

TEST_F(StackTraceTest, ThroughAFaultAtTheFirstInstruction) {
  EXPECT_EQ(InChild([] {
              InstallHandler(
                  SIGILL,
                  [](int) {
                    Compare(&the_comparison);
                    siglongjmp(the_way_out, 1);
                  },
                  0);
              if (sigsetjmp(the_way_out, 1) == 0) spanmalloc_test_fault();
              ExpectSame(the_comparison, 6);
              return ::testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
}
#endif

TEST_F(StackTraceTest, FromASignalStack) {
  static char stack[256 << 10];
  stack_t before, now = {};
  now.ss_sp = stack;
  now.ss_size = sizeof(stack);
  ASSERT_EQ(sigaltstack(&now, &before), 0);
  InstallHandler(SIGUSR1, &CompareInHandler, SA_ONSTACK);
  ASSERT_EQ(raise(SIGUSR1), 0);
  ExpectSame(the_comparison, 8);
  ASSERT_EQ(sigaltstack(&before, nullptr), 0);
}

TEST_F(StackTraceTest, NestedSignals) {
  InstallHandler(SIGUSR1, &CompareInHandler, 0);
  InstallHandler(
      SIGUSR2, [](int) { raise(SIGUSR1); }, 0);
  ASSERT_EQ(raise(SIGUSR2), 0);
  ExpectSame(the_comparison, 12);
}

// A walk interrupted at any point by another one, and both right.
TEST_F(StackTraceTest, AWalkThatInterruptsAWalk) {
  static std::atomic<size_t> interruptions, rounds;
  static std::atomic<bool> stop;
  static Trace inner;
  interruptions = 0;
  stop = false;
  InstallHandler(
      SIGUSR1,
      [](int) {
        inner.count = CaptureStackTrace(inner.frames, kMost, 0);
        interruptions.fetch_add(1);
      },
      0);
  const pthread_t self = pthread_self();
  std::thread sender([self] {
    // The walk that is interrupted gets on, however slow it is.
    for (size_t seen = 0; !stop.load(); std::this_thread::yield()) {
      if (rounds.load() == seen) continue;
      seen = rounds.load();
      pthread_kill(self, SIGUSR1);
    }
  });
  Trace first;
  bool equal = true;
  do {
    rounds.fetch_add(1);
    CallChain chain;
    chain.innermost = &CaptureInChain;
    CallWithoutFramePointers(&chain);
    if (first.count == 0) first = the_trace;
    // Up to here the chain, and beyond as it was.
    equal = the_trace.count == first.count && the_trace.count > chain.count;
    for (size_t i = 0; equal && i < first.count; ++i) {
      equal = the_trace.frames[i] == (i < chain.count
                                          ? chain.callers[chain.count - 1 - i]
                                          : first.frames[i]);
    }
  } while (equal && interruptions.load() < 500);
  stop = true;
  sender.join();
  EXPECT_TRUE(equal);
  EXPECT_GT(inner.count, 4u);
}

thread_local Trace the_threads_trace;

__attribute__((noinline)) void CaptureForThread(CallChain* chain) {
  SPANMALLOC_TEST_NOTE_CALLER(chain);
  the_threads_trace.count =
      CaptureStackTrace(the_threads_trace.frames, kMost, 0);
  asm volatile("" : : "r"(chain) : "memory");
}

TEST_F(StackTraceTest, ManyThreads) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&failures] {
      for (int j = 0; j < 500; ++j) {
        CallChain chain;
        chain.innermost = &CaptureForThread;
        (j % 2 == 0 ? CallWithFramePointers : CallWithoutFramePointers)(&chain);
        const Trace& trace = the_threads_trace;
        bool equal = trace.count > chain.count;
        for (size_t k = 0; equal && k < chain.count; ++k) {
          equal = trace.frames[k] == chain.callers[chain.count - 1 - k];
        }
        if (!equal) failures.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures.load(), 0);
}

TEST_F(StackTraceTest, InACoroutine) {
  static ucontext_t main_context, coroutine;
  const GuardedPages stack(128 << 10);
  ASSERT_EQ(getcontext(&coroutine), 0);
  coroutine.uc_stack.ss_sp = stack.start();
  coroutine.uc_stack.ss_size = static_cast<size_t>(stack.end() - stack.start());
  coroutine.uc_link = &main_context;
  makecontext(
      &coroutine,
      [] {
        CallChain chain;
        chain.innermost = &CaptureInChain;
        CallWithoutFramePointers(&chain);
        ExpectChain(chain, the_trace);
      },
      0);
  ASSERT_EQ(swapcontext(&main_context, &coroutine), 0);
  ExpectSame(the_comparison, 8);
}

// Code that a compiler at run time might have made: it has no tables.
class MadeCode {
 public:
  explicit MadeCode(const std::vector<uint8_t>& code, void* where = nullptr) {
    page_ = mmap(where, kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS |
                     (where == nullptr ? 0 : MAP_FIXED_NOREPLACE),
                 -1, 0);
    if (page_ == MAP_FAILED) abort();
    memcpy(page_, code.data(), code.size());
    if (mprotect(page_, kPage, PROT_READ | PROT_EXEC) != 0) abort();
    __builtin___clear_cache(static_cast<char*>(page_),
                            static_cast<char*>(page_) + kPage);
  }
  ~MadeCode() { munmap(page_, kPage); }

  // The first argument is called with the second one, which is then found in
  // the frame pointer by some.
  void Call(void (*function)(uintptr_t), uintptr_t argument) const {
    reinterpret_cast<void (*)(void (*)(uintptr_t), uintptr_t)>(page_)(function,
                                                                      argument);
  }
  const void* start() const { return page_; }
  bool Has(const void* address) const {
    return static_cast<const char*>(address) - static_cast<char*>(page_) <=
               static_cast<ptrdiff_t>(kPage) &&
           address > page_;
  }

 private:
  void* page_;
};

#if defined(__x86_64__)
// push %rbp; mov %rsp, %rbp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax;
// pop %rbp; ret
const std::vector<uint8_t> kCodeWithFrame = {0x55, 0x48, 0x89, 0xe5, 0x48,
                                             0x89, 0xf8, 0x48, 0x89, 0xf7,
                                             0xff, 0xd0, 0x5d, 0xc3};
// push %rbp; mov %rsi, %rbp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax;
// pop %rbp; ret
const std::vector<uint8_t> kCodeWithGarbage = {0x55, 0x48, 0x89, 0xf5, 0x48,
                                               0x89, 0xf8, 0x48, 0x89, 0xf7,
                                               0xff, 0xd0, 0x5d, 0xc3};
#elif defined(__aarch64__)
// stp x29, x30, [sp, #-16]!; mov x29, sp; mov x2, x0; mov x0, x1; blr x2;
// ldp x29, x30, [sp], #16; ret
const std::vector<uint8_t> kCodeWithFrame = {
    0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91, 0xe2, 0x03,
    0x00, 0xaa, 0xe0, 0x03, 0x01, 0xaa, 0x40, 0x00, 0x3f, 0xd6,
    0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6};
// The same with mov x29, x1.
const std::vector<uint8_t> kCodeWithGarbage = {
    0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x01, 0xaa, 0xe2, 0x03,
    0x00, 0xaa, 0xe0, 0x03, 0x01, 0xaa, 0x40, 0x00, 0x3f, 0xd6,
    0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6};
#else
const std::vector<uint8_t> kCodeWithFrame, kCodeWithGarbage;
#endif

void CaptureInMadeCode(uintptr_t) {
  the_trace.count = CaptureStackTrace(the_trace.frames, kMost, 0);
}

#if defined(__x86_64__)
// Handlers return to code of the C library's. That of some has no tables.
TEST_F(StackTraceTest, ASignalFrameWithoutTables) {
  static const MadeCode restorer(
      {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05});
  const auto handler = [](int) { CaptureInMadeCode(0); };
  Trace traces[2];
  for (Trace& trace : traces) {
    InstallHandler(SIGUSR1, handler, 0);
    // As the kernel sees it.
    struct {
      void (*handler)(int);
      unsigned long flags;
      const void* restorer;
      uint64_t mask;
    } action;
    ASSERT_EQ(syscall(SYS_rt_sigaction, SIGUSR1, nullptr, &action, 8), 0);
    action.handler = handler;
    if (&trace != traces) action.restorer = restorer.start();
    ASSERT_EQ(syscall(SYS_rt_sigaction, SIGUSR1, &action, nullptr, 8), 0);
    ASSERT_EQ(raise(SIGUSR1), 0);
    trace = the_trace;
  }
  ASSERT_EQ(traces[1].count, traces[0].count);
  size_t different = 0;
  for (size_t i = 0; i < traces[0].count; ++i) {
    if (traces[0].frames[i] == traces[1].frames[i]) continue;
    EXPECT_EQ(traces[1].frames[i], restorer.start());
    ++different;
  }
  EXPECT_EQ(different, 1u);
}
#endif

TEST_F(StackTraceTest, ThroughCodeWithoutTables) {
  static void* here[kMost];
  const size_t count = CaptureStackTrace(here, kMost, 0);
  const MadeCode code(kCodeWithFrame);
  code.Call(&CaptureInMadeCode, 0);
  // The made code, its caller (MadeCode::Call, or this function where that is
  // inlined), and then as here.
  ASSERT_GE(the_trace.count, count + 2);
  EXPECT_TRUE(code.Has(the_trace.frames[0]));
  EXPECT_EQ(memcmp(the_trace.frames + the_trace.count - count, here,
                   count * sizeof(void*)),
            0);
}

TEST_F(StackTraceTest, CodeOnCodeWithoutTables) {
  static const MadeCode inner(kCodeWithFrame), outer(kCodeWithFrame);
  outer.Call([](uintptr_t) { inner.Call(&CaptureInMadeCode, 0); }, 0);
  ASSERT_GT(the_trace.count, 4u);
  EXPECT_TRUE(inner.Has(the_trace.frames[0]));
  EXPECT_EQ(std::count_if(the_trace.frames, the_trace.frames + the_trace.count,
                          [](void* frame) { return outer.Has(frame); }),
            1);
}

TEST_F(StackTraceTest, AGarbageFramePointerEndsTheWalk) {
  const MadeCode code(kCodeWithGarbage);
  const GuardedPages pages(kPage);
  alignas(16) uintptr_t on_stack[4] = {};
  // A frame that is its own caller, one whose return address is data, and one
  // behind whose first word nothing can be read.
  on_stack[0] = reinterpret_cast<uintptr_t>(on_stack);
  on_stack[1] = reinterpret_cast<uintptr_t>(on_stack);
  const uintptr_t stack = reinterpret_cast<uintptr_t>(on_stack);
  const uintptr_t end = reinterpret_cast<uintptr_t>(pages.end());
  for (const uintptr_t garbage :
       {uintptr_t{0},
        uintptr_t{1},
        uintptr_t{8},
        uintptr_t{4096},
        stack,
        stack + 1,
        stack + 8,
        stack + 16,
        stack - 4096,
        end,
        end - 8,
        end - 16,
        end - 4,
        end + 8,
        reinterpret_cast<uintptr_t>(&code),
        reinterpret_cast<uintptr_t>(&CaptureStackTrace),
        UINTPTR_MAX,
        UINTPTR_MAX - 7,
        uintptr_t{1} << 47,
        (uintptr_t{1} << 47) - 8,
        uintptr_t{0xffff800000000000},
        uintptr_t{0x5a5a5a5a5a5a5a58}}) {
    code.Call(&CaptureInMadeCode, garbage);
    EXPECT_EQ(the_trace.count, 1u) << garbage;
    EXPECT_TRUE(code.Has(the_trace.frames[0]));
  }
}

TEST_F(StackTraceTest, GarbageOnTheStack) {
  const MadeCode code(kCodeWithGarbage);
  // Frames made of random words, some of which are frames and return addresses.
  const GuardedPages pages(16 * kPage);
  uint64_t state = 1;
  const auto random = [&state] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 33;
  };
  const MadeCode call(kCodeWithFrame);
  static void* return_address;
  call.Call(
      [](uintptr_t) {
        void* frames[1];
        CaptureStackTrace(frames, 1, 0);
        return_address = frames[0];
      },
      0);
  alignas(16) uintptr_t words[512];
  for (int i = 0; i < 1000; ++i) {
    for (uintptr_t& word : words) {
      switch (random() % 5) {
        case 0:
          word = random() << 20 ^ random();
          break;
        case 1:
          word = reinterpret_cast<uintptr_t>(return_address);
          break;
        case 2:
          word =
              reinterpret_cast<uintptr_t>(&CaptureInMadeCode) + random() % 64;
          break;
        case 3:
          word = reinterpret_cast<uintptr_t>(pages.end()) - random() % 64;
          break;
        default:
          word = reinterpret_cast<uintptr_t>(words + random() % 512);
          break;
      }
    }
    code.Call(&CaptureInMadeCode,
              reinterpret_cast<uintptr_t>(words + random() % 512));
    ASSERT_GE(the_trace.count, 1u);
  }
}

#if defined(__x86_64__)
// Functions whose tables lie. The frame seems to start where %rsi says, less
// eight; or so far up that nothing is there; or at itself.
extern "C" void spanmalloc_test_lie_far(void (*)(uintptr_t), uintptr_t);
extern "C" void spanmalloc_test_lie_rbx(void (*)(uintptr_t), uintptr_t);
extern "C" void spanmalloc_test_lie_same(void (*)(uintptr_t), uintptr_t);
asm(R"(
  .text
spanmalloc_test_lie_far:
  .cfi_startproc
  .cfi_def_cfa %rsp, 0x70000000
  subq $8, %rsp
  call *%rdi
  addq $8, %rsp
  ret
  .cfi_endproc
spanmalloc_test_lie_rbx:
  .cfi_startproc
  pushq %rbx
  movq %rsi, %rbx
  .cfi_def_cfa %rbx, 8
  .cfi_offset %rbp, -16
  .cfi_offset %r12, -24
  call *%rdi
  popq %rbx
  ret
  .cfi_endproc
spanmalloc_test_lie_same:
  .cfi_startproc
  subq $8, %rsp
  .cfi_def_cfa %rsp, 0
  call *%rdi
  addq $8, %rsp
  ret
  .cfi_endproc
)");

TEST_F(StackTraceTest, TablesThatLie) {
  const GuardedPages pages(kPage);
  spanmalloc_test_lie_far(&CaptureInMadeCode, 0);
  EXPECT_EQ(the_trace.count, 1u);
  // The return address below the stack pointer is the one into the function
  // itself: a circle.
  spanmalloc_test_lie_same(&CaptureInMadeCode, 0);
  EXPECT_LE(the_trace.count, 10u);
  const uintptr_t end = reinterpret_cast<uintptr_t>(pages.end());
  const uintptr_t start = reinterpret_cast<uintptr_t>(pages.start());
  for (const uintptr_t cfa : {uintptr_t{0}, uintptr_t{16}, uintptr_t{3}, end,
                              end + 8, end - 8, start, start + 8, start + 16,
                              UINTPTR_MAX - 7, uintptr_t{0x5a5a5a5a5a5a5a58}}) {
    spanmalloc_test_lie_rbx(&CaptureInMadeCode, cfa);
    EXPECT_EQ(the_trace.count, 1u) << cfa;
  }
}
#endif

// What was remembered of an object is not used for what comes to be where it
// was.
TEST_F(StackTraceTest, ObjectsThatComeAndGo) {
#ifndef DLFO_EH_SEGMENT_TYPE
  GTEST_SKIP() << "objects of other namespaces are not found";
#endif
  using Sort = decltype(&qsort);
  for (int i = 0; i < 4; ++i) {
    // A second C library: one that is not loaded yet.
    void* const library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    if (library == nullptr) GTEST_SKIP() << dlerror();
    const Sort sort = reinterpret_cast<Sort>(dlsym(library, "qsort"));
    ASSERT_NE(sort, nullptr);
    ASSERT_NE(sort, static_cast<Sort>(&qsort));
    int numbers[] = {3, 1, 2};
    sort(numbers, 3, sizeof(int), &CompareInCallback);
    ExpectSame(the_comparison, 5);
    // A call inside the library that is soon gone.
    void* const call = the_comparison.ours.frames[1];
    the_comparison = Comparison();
    ASSERT_EQ(dlclose(library), 0);

    // Other code takes its place: its return address is the same.
    const uintptr_t page = reinterpret_cast<uintptr_t>(call) / kPage * kPage;
    const size_t offset = reinterpret_cast<uintptr_t>(call) - page;
    std::vector<uint8_t> code(kCodeWithFrame);
    size_t return_offset = 12;
#if defined(__aarch64__)
    return_offset = 20;
#endif
    if (offset < return_offset || offset + 64 > kPage) continue;
    code.insert(code.begin(), offset - return_offset, 0);
    const MadeCode made(code, reinterpret_cast<void*>(page));
    reinterpret_cast<void (*)(void (*)(uintptr_t), uintptr_t)>(
        page + offset - return_offset)(&CaptureInMadeCode, 0);
    EXPECT_GT(the_trace.count, 4u);
    EXPECT_EQ(the_trace.frames[0], call);
  }
}

// Then a walk goes no further than the page where it begins.
TEST_F(StackTraceTest, WhereTheQuestionIsDenied) {
  const int status = InChild([] {
    if (!Deny({SYS_rt_sigprocmask}, EPERM)) return kChildSkips;
    CallChain chain;
    chain.innermost = &CaptureInChain;
    errno = EXDEV;
    CallWithoutFramePointers(&chain);
    return errno == EXDEV ? 0 : 1;
  });
  if (status == kChildSkips) GTEST_SKIP() << "there are no filters";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace spanmalloc
