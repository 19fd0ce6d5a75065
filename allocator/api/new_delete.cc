// operator new and delete, in all replaceable forms.
//
// Place:    what C++ programs call.
// Purpose:  The manners of C++: new_handler, std::bad_alloc, nothrow.
// Not here: memory (Allocator).
//
// The C++ runtime. A program that uses these operators has one; a C program
// that preloads the shared library has none, and the library must load all the
// same. So for the shared library (SPANMALLOC_WEAK_CXX_RUNTIME) every symbol of
// the runtime is weak, and found when it is needed.
#include <dlfcn.h>
#include <errno.h>

#include <cstddef>
#include <new>

#include "allocator/api/allocator.h"
#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/message.h"

#ifdef SPANMALLOC_WEAK_CXX_RUNTIME
asm(".weak __gxx_personality_v0");
asm(".weak __cxa_begin_catch");
asm(".weak __cxa_end_catch");
asm(".weak _ZSt9terminatev");  // What clang calls if a destructor throws.
extern "C" {
__attribute__((weak)) void ThrowBadAllocOfRuntime() asm(
    "_ZSt17__throw_bad_allocv");
__attribute__((weak)) std::new_handler GetNewHandlerOfRuntime() asm(
    "_ZSt15get_new_handlerv");
}
#endif

namespace spanmalloc {
namespace {

#ifdef SPANMALLOC_WEAK_CXX_RUNTIME

// A runtime that came with a plug-in is not visible to us by name.
void* FindInRuntime(const char* symbol) {
  for (const char* library : {"libstdc++.so.6", "libc++.so.1"}) {
    void* const handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr) continue;
    void* const found = dlsym(handle, symbol);
    dlclose(handle);
    if (found != nullptr) return found;
  }
  return nullptr;
}

std::new_handler GetNewHandler() {
  using Function = std::new_handler (*)();
  Function function = GetNewHandlerOfRuntime;
  if (function == nullptr) {
    function =
        reinterpret_cast<Function>(FindInRuntime("_ZSt15get_new_handlerv"));
  }
  return function != nullptr ? function() : nullptr;
}

[[noreturn]] void ThrowBadAlloc() {
  using Function = void (*)();
  Function function = ThrowBadAllocOfRuntime;
  if (function == nullptr) {
    function =
        reinterpret_cast<Function>(FindInRuntime("_ZSt17__throw_bad_allocv"));
  }
  if (function != nullptr) function();
  Message()
      .Text(
          "out of memory in operator new, and no C++ runtime that could "
          "throw std::bad_alloc")
      .Abort();
}

#else

std::new_handler GetNewHandler() { return std::get_new_handler(); }
[[noreturn]] void ThrowBadAlloc() { throw std::bad_alloc(); }

#endif

// Asks the new_handler to free some memory. Throws what the handler throws, or
// std::bad_alloc if there is none.
void CallHandler() {
  const std::new_handler handler = GetNewHandler();
  if (handler == nullptr) {
    errno = ENOMEM;  // For the forms that do not throw.
    ThrowBadAlloc();
  }
  handler();
}

// After Allocator::Allocate has returned null.
SPANMALLOC_NOINLINE void* NewSlow(size_t size) {
  for (;;) {
    void* p = the_allocator.AllocateSlow(size);
    if (p != nullptr) return p;
    CallHandler();
    p = Allocator::Allocate(size);
    if (p != nullptr) return p;
  }
}

void* NewAligned(size_t size, std::align_val_t align) {
  const size_t alignment = static_cast<size_t>(align);
  if (!IsPowerOfTwo(alignment)) ThrowBadAlloc();
  for (;;) {
    void* const p = the_allocator.AllocateAligned(alignment, size);
    if (p != nullptr) return p;
    CallHandler();
  }
}

SPANMALLOC_NOINLINE void* NewNothrowSlow(size_t size) noexcept {
  try {
    return NewSlow(size);
  } catch (...) {
    return nullptr;
  }
}

void* NewAlignedNothrow(size_t size, std::align_val_t alignment) noexcept {
  try {
    return NewAligned(size, alignment);
  } catch (...) {
    return nullptr;
  }
}

SPANMALLOC_NOINLINE void DeleteSlow(void* p) { the_allocator.FreeSlow(p); }

SPANMALLOC_NOINLINE void DeleteSizedSlow(void* p, size_t size) {
  the_allocator.FreeSizedSlow(p, size, 1);
}

SPANMALLOC_ALWAYS_INLINE void* New(size_t size) {
  void* const p = Allocator::Allocate(size);
  return SPANMALLOC_LIKELY(p != nullptr) ? p : NewSlow(size);
}

SPANMALLOC_ALWAYS_INLINE void* NewNothrow(size_t size) {
  void* const p = Allocator::Allocate(size);
  return SPANMALLOC_LIKELY(p != nullptr) ? p : NewNothrowSlow(size);
}

SPANMALLOC_ALWAYS_INLINE void Delete(void* p) {
  if (SPANMALLOC_LIKELY(Allocator::Free(p))) return;
  DeleteSlow(p);
}

SPANMALLOC_ALWAYS_INLINE void DeleteSized(void* p, size_t size) {
  if (SPANMALLOC_LIKELY(Allocator::FreeSized(p, size))) return;
  DeleteSizedSlow(p, size);
}

void DeleteAligned(void* p, size_t size, std::align_val_t alignment) {
  the_allocator.FreeSizedSlow(p, size, static_cast<size_t>(alignment));
}

}  // namespace
}  // namespace spanmalloc

#pragma GCC visibility push(default)

using std::align_val_t;
using std::nothrow_t;

SPANMALLOC_HOT_ENTRY void* operator new(size_t size) {
  return spanmalloc::New(size);
}
SPANMALLOC_HOT_ENTRY void* operator new[](size_t size) {
  return spanmalloc::New(size);
}
SPANMALLOC_HOT_ENTRY void* operator new(size_t size,
                                        const nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size);
}
SPANMALLOC_HOT_ENTRY void* operator new[](size_t size,
                                          const nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size);
}
void* operator new(size_t size, align_val_t alignment) {
  return spanmalloc::NewAligned(size, alignment);
}
void* operator new[](size_t size, align_val_t alignment) {
  return spanmalloc::NewAligned(size, alignment);
}
void* operator new(size_t size, align_val_t alignment,
                   const nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, alignment);
}
void* operator new[](size_t size, align_val_t alignment,
                     const nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, alignment);
}

SPANMALLOC_HOT_ENTRY void operator delete(void* p) noexcept {
  spanmalloc::Delete(p);
}
SPANMALLOC_HOT_ENTRY void operator delete[](void* p) noexcept {
  spanmalloc::Delete(p);
}
void operator delete(void* p, const nothrow_t&) noexcept {
  spanmalloc::Delete(p);
}
void operator delete[](void* p, const nothrow_t&) noexcept {
  spanmalloc::Delete(p);
}
SPANMALLOC_HOT_ENTRY void operator delete(void* p, size_t size) noexcept {
  spanmalloc::DeleteSized(p, size);
}
SPANMALLOC_HOT_ENTRY void operator delete[](void* p, size_t size) noexcept {
  spanmalloc::DeleteSized(p, size);
}
void operator delete(void* p, align_val_t) noexcept { spanmalloc::Delete(p); }
void operator delete[](void* p, align_val_t) noexcept { spanmalloc::Delete(p); }
void operator delete(void* p, align_val_t, const nothrow_t&) noexcept {
  spanmalloc::Delete(p);
}
void operator delete[](void* p, align_val_t, const nothrow_t&) noexcept {
  spanmalloc::Delete(p);
}
void operator delete(void* p, size_t size, align_val_t alignment) noexcept {
  spanmalloc::DeleteAligned(p, size, alignment);
}
void operator delete[](void* p, size_t size, align_val_t alignment) noexcept {
  spanmalloc::DeleteAligned(p, size, alignment);
}

#pragma GCC visibility pop
