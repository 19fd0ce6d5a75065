"""How the benchmarks are compiled.

The macros have the names, and the arguments the meaning, of the functions in
bench/CMakeLists.txt and bench/micro/CMakeLists.txt.
"""

load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_cc//cc:cc_library.bzl", "cc_library")
load("@rules_cc//cc:cc_test.bzl", "cc_test")

# No call of malloc or free may be folded away, and calls go straight through
# the global offset table, without a stub in between.
_COPTS = [
    "-g",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
    "-fno-builtin-aligned_alloc",
    "-fno-builtin-posix_memalign",
    "-fno-plt",
]

def spanmalloc_add_bench_program(name, source, deps = []):
    """A program of the comparison of allocators, in C.

    Args:
      name: name of the program.
      source: its only source.
      deps: libraries of the headers that it includes.
    """
    cc_binary(
        name = name,
        srcs = [source],
        copts = _COPTS + ["-std=gnu11"],
        linkopts = [
            "-lpthread",
            "-lm",
        ],
        deps = deps,
    )

# Long enough to show that every benchmark works.
_SHORT_RUN = ["--benchmark_min_time=0.001"]

def _micro_benchmark(name, srcs, deps, **kwargs):
    cc_library(
        name = name + "_objects",
        testonly = True,
        srcs = srcs,
        # Clang needs to be told.
        copts = _COPTS + ["-fsized-deallocation"],
        linkstatic = True,
        deps = deps + ["@com_github_google_benchmark//:benchmark_main"],
        alwayslink = True,
    )
    cc_binary(
        name = name,
        testonly = True,
        linkstatic = True,
        deps = [name + "_objects"],
    )
    cc_test(
        name = name + "_test",
        size = "small",
        args = _SHORT_RUN,
        linkstatic = True,
        tags = ["micro"],
        deps = [name + "_objects"],
        **kwargs
    )

def spanmalloc_component_benchmark(name, srcs):
    """A benchmark of the allocator's own classes, and a short run as <name>_test.

    Args:
      name: name of the program.
      srcs: its sources.
    """
    _micro_benchmark(
        name = name,
        srcs = srcs,
        deps = ["//:spanmalloc_prefixed"],
    )

def spanmalloc_malloc_benchmark(name, srcs):
    """A benchmark of whatever malloc there is, and a short run as <name>_test.

    The test runs on libspanmalloc.so; the program, on the system's malloc, on
    the one in LD_PRELOAD, or on the one in --custom_malloc.

    Args:
      name: name of the program.
      srcs: its sources.
    """
    _micro_benchmark(
        name = name,
        srcs = srcs,
        deps = [],
        data = ["//:libspanmalloc.so"],
        env = {"LD_PRELOAD": "$(rootpath //:libspanmalloc.so)"},
    )
