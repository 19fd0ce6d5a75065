#include "allocator/os/readable_memory.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/support/guarded_pages.h"
#include "tests/support/restricted_child.h"

namespace spanmalloc {
namespace {

constexpr size_t kPage = kMaxSystemPageSize;

uintptr_t Address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

TEST(ReadableMemoryTest, KnowsWhatCanBeRead) {
  const GuardedPages pages(kPage);
  EXPECT_TRUE(PageIsReadable(Address(pages.start())));
  EXPECT_TRUE(PageIsReadable(Address(pages.end()) - 1));
  EXPECT_FALSE(PageIsReadable(Address(pages.start()) - 1));
  EXPECT_FALSE(PageIsReadable(Address(pages.end())));
  EXPECT_TRUE(PageIsReadable(reinterpret_cast<uintptr_t>(&PageIsReadable)));
  EXPECT_TRUE(PageIsReadable(Address("constant")));
  ASSERT_EQ(mprotect(pages.start(), kPage, PROT_READ), 0);
  EXPECT_TRUE(PageIsReadable(Address(pages.start())));
  ASSERT_EQ(mprotect(pages.start(), kPage, PROT_NONE), 0);
  EXPECT_FALSE(PageIsReadable(Address(pages.start())));
  for (const uintptr_t nowhere :
       {uintptr_t{0}, uintptr_t{1}, uintptr_t{4096}, UINTPTR_MAX,
        uintptr_t{1} << 47, uintptr_t{1} << 63}) {
    EXPECT_FALSE(PageIsReadable(nowhere)) << nowhere;
  }
}

TEST(ReadableMemoryTest, TheQuestionChangesNoSignals) {
  // Pages that are sets of all signals.
  const GuardedPages pages(kPage);
  memset(pages.start(), 0xff, pages.size());
  sigset_t before, after;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  EXPECT_TRUE(PageIsReadable(Address(pages.start())));
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  for (int number = 1; number < 32; ++number) {
    EXPECT_EQ(sigismember(&before, number), sigismember(&after, number));
  }
}

TEST(ReadableMemoryTest, ReadsWords) {
  const GuardedPages pages(2 * kPage);
  auto* const words = reinterpret_cast<uintptr_t*>(pages.start());
  const size_t count = pages.size() / sizeof(uintptr_t);
  for (size_t i = 0; i < count; ++i) words[i] = i;
  ReadableMemory memory;
  uintptr_t word = 0;
  for (size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(memory.ReadWord(Address(&words[i]), &word));
    ASSERT_EQ(word, i);
  }
  for (size_t i = count; i-- > 0;) {
    ASSERT_TRUE(memory.ReadWord(Address(&words[i]), &word));
    ASSERT_EQ(word, i);
  }
  EXPECT_FALSE(memory.ReadWord(Address(pages.start()) - 8, &word));
  EXPECT_FALSE(memory.ReadWord(Address(pages.end()), &word));
  EXPECT_FALSE(memory.ReadWord(Address(pages.start()) + 4, &word));
  EXPECT_FALSE(memory.ReadWord(Address(pages.end()) - 4, &word));
  // Failures forget nothing.
  EXPECT_TRUE(memory.ReadWord(Address(&words[0]), &word));
}

TEST(ReadableMemoryTest, ReadsBytesOverPages) {
  const GuardedPages pages(2 * kPage);
  for (size_t i = 0; i < pages.size(); ++i) {
    pages.start()[i] = static_cast<char>(i % 251);
  }
  ReadableMemory memory;
  char bytes[3 * kMinSystemPageSize];
  const size_t from = kPage - kMinSystemPageSize - 7;
  ASSERT_TRUE(memory.Read(Address(pages.start()) + from, bytes, sizeof(bytes)));
  EXPECT_EQ(memcmp(bytes, pages.start() + from, sizeof(bytes)), 0);
  EXPECT_TRUE(memory.Read(Address(pages.end()) - 7, bytes, 7));
  EXPECT_FALSE(memory.Read(Address(pages.end()) - 7, bytes, 8));
  EXPECT_FALSE(memory.Read(Address(pages.start()) - 1, bytes, 1));
  EXPECT_FALSE(memory.Read(UINTPTR_MAX - 3, bytes, 8));
  EXPECT_TRUE(memory.Read(Address(pages.end()), bytes, 0));
}

TEST(ReadableMemoryTest, AnAnswerThatIsDeniedIsNo) {
  const int status = InChild([] {
    uintptr_t word = 1;
    ReadableMemory known(&word);
    if (!PageIsReadable(Address(&word))) return 1;
    if (!Deny({SYS_rt_sigprocmask}, EPERM)) return kChildSkips;
    if (PageIsReadable(Address(&word))) return 2;
    uintptr_t read = 0;
    if (!known.ReadWord(Address(&word), &read)) return 3;
    return read == 1 ? 0 : 4;
  });
  if (status == kChildSkips) GTEST_SKIP() << "there are no filters";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace spanmalloc
