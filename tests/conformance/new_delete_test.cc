// Conformance: the C++ allocation functions. The new_handler loop, what is
// thrown and what is returned, and that every way to write new and delete
// reaches the same heap.
//
// Not here: sizes, alignments, null pointers and overflow, which the operators
// share with the C entries (limits_test, alignment_test, zero_and_null_test).

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "tests/conformance/child.h"
#include "tests/conformance/entries.h"

namespace conformance {
namespace {

constexpr size_t kImpossible = size_t{PTRDIFF_MAX} - 100000;

int handler_calls = 0;
void* reserve = nullptr;

struct HandlerGaveUp : std::bad_alloc {};
struct SomethingElse {};

// Restores the handler whatever the clause does.
class WithHandler {
 public:
  explicit WithHandler(std::new_handler handler)
      : old_(std::set_new_handler(handler)) {
    handler_calls = 0;
  }
  ~WithHandler() { std::set_new_handler(old_); }
  WithHandler(const WithHandler&) = delete;
  WithHandler& operator=(const WithHandler&) = delete;

 private:
  std::new_handler old_;
};

class NewOperator : public testing::TestWithParam<AllocatingEntry> {
 protected:
  static bool IsNothrow() {
    return GetParam().name.find("nothrow") != std::string::npos;
  }
};

std::vector<AllocatingEntry> NewOperators() {
  std::vector<AllocatingEntry> found;
  for (const AllocatingEntry& entry : AllocatingEntries()) {
    if (entry.is_operator) found.push_back(entry);
  }
  return found;
}
INSTANTIATE_TEST_SUITE_P(Every, NewOperator, testing::ValuesIn(NewOperators()),
                         EntryName());

// C++ [new.delete.single]p4: "Otherwise, if the argument in the most recent
// call to set_new_handler was a null pointer value, throws bad_alloc." p8,
// nothrow: "If the latter succeeds, returns the result; otherwise, returns a
// null pointer."
TEST_P(NewOperator, WithoutHandlerThrowsOrReturnsNull) {
  const WithHandler with(nullptr);
  const Outcome outcome = GetParam().allocate(64, kImpossible);
  EXPECT_EQ(outcome.pointer, nullptr);
  EXPECT_EQ(outcome.threw, !IsNothrow());
}

// C++ [new.delete.single]p4: "Otherwise, the function calls the current
// new_handler function. If the called function returns, the loop repeats. The
// loop terminates when ... a called new_handler function does not return"; here
// it takes itself away at the fifth call.
TEST_P(NewOperator, CallsTheHandlerUntilItGivesUp) {
  const WithHandler with([] {
    if (++handler_calls == 5) std::set_new_handler(nullptr);
  });
  const Outcome outcome = GetParam().allocate(64, kImpossible);
  EXPECT_EQ(outcome.pointer, nullptr);
  EXPECT_EQ(outcome.threw, !IsNothrow());
  EXPECT_EQ(handler_calls, 5);
}

// C++ [new.handler]p2: "throw an exception of type bad_alloc or a class derived
// from bad_alloc"; what the handler throws comes out of the plain forms, and
// the nothrow forms return a null pointer.
TEST_P(NewOperator, PassesOnWhatTheHandlerThrows) {
  const WithHandler with([] {
    handler_calls++;
    throw HandlerGaveUp();
  });
  bool derived = false;
  void* pointer = nullptr;
  const Operators& call = CxxOperators();
  const auto alignment = static_cast<std::align_val_t>(64);
  const std::string& name = GetParam().name;
  try {
    if (name == "_Znwm")
      pointer = call._Znwm_(kImpossible);
    else if (name == "_Znam")
      pointer = call._Znam_(kImpossible);
    else if (name == "_ZnwmSt11align_val_t") {
      pointer = call._ZnwmSt11align_val_t_(kImpossible, alignment);
    } else if (name == "_ZnamSt11align_val_t") {
      pointer = call._ZnamSt11align_val_t_(kImpossible, alignment);
    } else {
      ASSERT_TRUE(IsNothrow());
      EXPECT_FALSE(GetParam().allocate(64, kImpossible).threw);
    }
  } catch (const HandlerGaveUp&) {
    derived = true;
  }
  EXPECT_EQ(derived, !IsNothrow());
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(handler_calls, 1);
}

// The handler's usual purpose, C++ [new.handler]p2: "make more storage
// available for allocation and then return". In a child whose address space
// ends soon.
TEST_P(NewOperator, SucceedsWhenTheHandlerMakesRoom) {
  const ChildResult result = RunInChild([] {
    const rlimit limit = {size_t{512} << 20, size_t{512} << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(10);
    reserve = malloc(size_t{96} << 20);
    if (reserve == nullptr) _exit(11);
    while (malloc(size_t{16} << 20) != nullptr) {
    }
    handler_calls = 0;
    std::set_new_handler([] {
      handler_calls++;
      if (reserve == nullptr) _exit(12);
      free(reserve);
      reserve = nullptr;
    });
    const Outcome outcome = GetParam().allocate(4096, size_t{40} << 20);
    if (outcome.pointer == nullptr) _exit(13);
    if (handler_calls != 1) _exit(14);
    memset(outcome.pointer, 1, size_t{40} << 20);
  });
  EXPECT_TRUE(result.exited) << "signal " << result.status;
  EXPECT_EQ(result.status, 0) << result.stderr_text;
}

// A successful call never asks the handler.
TEST_P(NewOperator, LeavesTheHandlerAloneOnSuccess) {
  const WithHandler with([] { handler_calls++; });
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{1000}, size_t{1} << 20}) {
    const Outcome outcome = GetParam().allocate(64, size);
    EXPECT_NE(outcome.pointer, nullptr);
    Release(outcome.pointer);
  }
  EXPECT_EQ(handler_calls, 0);
}

// malloc knows nothing of handlers.
TEST(NewHandler, IsNotCalledByMalloc) {
  const WithHandler with([] {
    handler_calls++;
    std::set_new_handler(nullptr);
  });
  EXPECT_EQ(StandardFace().malloc_(kImpossible), nullptr);
  EXPECT_EQ(StandardFace().calloc_(kImpossible, 1), nullptr);
  EXPECT_EQ(StandardFace().realloc_(nullptr, kImpossible), nullptr);
  EXPECT_EQ(StandardFace().memalign_(64, kImpossible), nullptr);
  EXPECT_EQ(handler_calls, 0);
}

// C++ [new.handler]: an exception that is no bad_alloc comes through the plain
// form too.
TEST(NewHandler, MayThrowAnything) {
  const WithHandler with([] { throw SomethingElse(); });
  EXPECT_THROW(CxxOperators()._Znwm_(kImpossible), SomethingElse);
}

// Every delete form takes back a block of its new form.
TEST(NewDelete, EveryPairMatches) {
  const Operators& call = CxxOperators();
  const auto alignment = static_cast<std::align_val_t>(128);
  for (size_t size = 0; size < 100000; size = size * 3 / 2 + 1) {
    for (int round = 0; round < 3; round++) {
      call._ZdlPv_(call._Znwm_(size));
      call._ZdlPvm_(call._Znwm_(size), size);
      call._ZdlPvRKSt9nothrow_t_(call._ZnwmRKSt9nothrow_t_(size, std::nothrow),
                                 std::nothrow);
      call._ZdaPv_(call._Znam_(size));
      call._ZdaPvm_(call._Znam_(size), size);
      call._ZdaPvRKSt9nothrow_t_(call._ZnamRKSt9nothrow_t_(size, std::nothrow),
                                 std::nothrow);
      call._ZdlPvSt11align_val_t_(call._ZnwmSt11align_val_t_(size, alignment),
                                  alignment);
      call._ZdlPvmSt11align_val_t_(call._ZnwmSt11align_val_t_(size, alignment),
                                   size, alignment);
      call._ZdlPvSt11align_val_tRKSt9nothrow_t_(
          call._ZnwmSt11align_val_tRKSt9nothrow_t_(size, alignment,
                                                   std::nothrow),
          alignment, std::nothrow);
      call._ZdaPvSt11align_val_t_(call._ZnamSt11align_val_t_(size, alignment),
                                  alignment);
      call._ZdaPvmSt11align_val_t_(call._ZnamSt11align_val_t_(size, alignment),
                                   size, alignment);
      call._ZdaPvSt11align_val_tRKSt9nothrow_t_(
          call._ZnamSt11align_val_tRKSt9nothrow_t_(size, alignment,
                                                   std::nothrow),
          alignment, std::nothrow);
    }
  }
}

struct ThrowsWhenMade {
  explicit ThrowsWhenMade(int n) {
    if (n == 3) throw SomethingElse();
  }
  char bytes[300] = {};
};

// C++ [expr.new]: when a constructor throws, the matching deallocation function
// gets the block.
TEST(NewDelete, ConstructorsThatThrowGiveTheBlockBack) {
  const size_t before = StandardFace().mallinfo2_().uordblks;
  for (int i = 0; i < 10000; i++) {
    EXPECT_THROW(delete new ThrowsWhenMade(3), SomethingElse);
    EXPECT_THROW(delete new (std::nothrow) ThrowsWhenMade(3), SomethingElse);
  }
  EXPECT_LT(StandardFace().mallinfo2_().uordblks, before + 1000000);
}

// C++ [expr.new]p8: an array length that is too large throws
// bad_array_new_length or bad_alloc.
TEST(NewDelete, ArraysThatAreTooLongThrow) {
  volatile size_t length = SIZE_MAX / 2;
  char* volatile chars =
      nullptr;  // Volatile: no compiler may drop the pair of new and delete.
  EXPECT_THROW(chars = new char[length], std::bad_alloc);
  delete[] chars;
  double* volatile doubles = nullptr;
  EXPECT_THROW(doubles = new double[length], std::bad_alloc);
  delete[] doubles;
}

}  // namespace
}  // namespace conformance
