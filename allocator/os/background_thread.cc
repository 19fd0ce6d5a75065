#include "allocator/os/background_thread.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "allocator/os/errno_saver.h"
#include "allocator/os/mutex.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

// The signals that a thread brings upon itself.
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

#if defined(__GLIBC__)

int AddThreadLocalStorage(dl_phdr_info* object, size_t, void* sum) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& header = object->dlpi_phdr[i];
    if (header.p_type == PT_TLS) {
      *static_cast<size_t*>(sum) += header.p_memsz + header.p_align;
    }
  }
  return 0;
}

// What the C library takes of the stack for itself: the thread-local variables
// of all that is loaded, room for those of libraries still to come, and its own
// record of the thread. It knows the exact number but tells only its own parts
// (__pthread_get_minstack has the version GLIBC_PRIVATE, and a reference to it
// would tie us to one release). The room is 2 KiB, or what the user says
// (glibc.rtld.optional_static_tls): tens of KiB find place in what is added for
// it here, and much more is refused by pthread_create.
size_t TakenFromStack() {
  constexpr size_t kRoomAndRecord = 32 << 10;
  size_t sum = kRoomAndRecord;
  dl_iterate_phdr(AddThreadLocalStorage, &sum);
  return sum;
}

#else

// Others put it beside the stack.
size_t TakenFromStack() { return 0; }

#endif

size_t StackSize() {
  size_t size = BackgroundThread::kStackSize;
  const long least = sysconf(_SC_THREAD_STACK_MIN);
  if (least > 0 && static_cast<size_t>(least) > size) {
    size = static_cast<size_t>(least);
  }
  // Old C libraries take the guard page off it as well.
  const size_t page = SystemPageSize();
  size += TakenFromStack() + page;
  return (size + page - 1) & ~(page - 1);
}

int Create(void* (*run)(void*), void* argument, size_t stack_size) {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  pthread_t thread;
  error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (error == 0 && stack_size != 0) {
    error = pthread_attr_setstacksize(&attributes, stack_size);
  }
  if (error == 0) error = pthread_create(&thread, &attributes, run, argument);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

bool BackgroundThread::Start(void (*run)(void*), void* argument,
                             const char* name) {
  Mutex::AssertNoneHeld();
  ErrnoSaver errno_saver;
  run_ = run;
  argument_ = argument;
  name_ = name;
  // A thread inherits what its maker blocks.
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (const int fault : kFaults) sigdelset(&blocked, fault);
  if (pthread_sigmask(SIG_SETMASK, &blocked, &before) != 0) return false;
  int error = Create(Main, this, StackSize());
  // The C library takes more than all that: then as much as it finds right.
  if (error == EINVAL) error = Create(Main, this, 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error == 0;
}

void* BackgroundThread::Main(void* self) {
  const BackgroundThread& thread = *static_cast<BackgroundThread*>(self);
  prctl(PR_SET_NAME, thread.name_);  // Cuts what is too long.
  thread.run_(thread.argument_);
  return nullptr;
}

}  // namespace spanmalloc
