"""How the allocator and its tests are compiled.

The macros have the names, and the arguments the meaning, of the functions in
cmake/spanmalloc.cmake.
"""

load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_cc//cc:cc_library.bzl", "cc_library")
load("@rules_cc//cc:cc_test.bzl", "cc_test")

# Everything, tests included.
_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wundef",
    "-Wvla",
    "-Wpointer-arith",
    "-Wimplicit-fallthrough",
    "-Werror",
    # A compiler that knows malloc removes pairs and moves stores across calls.
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
]

# The allocator alone. It lives below the C++ runtime, so it can neither throw
# nor look at types; its own calls bind inside the library; and its thread-local
# variables are reached without a call that could allocate.
_CORE_COPTS = _COPTS + [
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fno-semantic-interposition",
    "-ftls-model=initial-exec",
    "-fPIC",
    "-Wshadow",
    "-Wmissing-declarations",
    "-Wnon-virtual-dtor",
    "-Wpedantic",
]

# Headers use the level, so whoever includes them has to agree.
_DEFINES = select({
    "//bazel:debug": ["SPANMALLOC_ASSERT_LEVEL=2"],
    "//conditions:default": ["SPANMALLOC_ASSERT_LEVEL=0"],
})

def spanmalloc_layer(name, srcs = [], hdrs = [], deps = [], **kwargs):
    """One layer of the allocator.

    Args:
      name: the layer's folder.
      srcs: its sources.
      hdrs: its headers.
      deps: the layer below.
      **kwargs: passed on to cc_library.
    """
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _CORE_COPTS,
        defines = _DEFINES,
        linkstatic = True,
        deps = deps,
        **kwargs
    )

def spanmalloc_variant(name, srcs, deps, copts = []):
    """Sources that products compile in different ways.

    Args:
      name: name of the library.
      srcs: its sources.
      deps: the layers that they use.
      copts: the options that make the difference.
    """
    cc_library(
        name = name,
        srcs = srcs,
        copts = _CORE_COPTS + copts,
        linkstatic = True,
        visibility = ["//:__pkg__"],
        deps = deps,
        alwayslink = True,
    )

def spanmalloc_tool_library(name, srcs, hdrs = [], deps = []):
    """A part of the command spanmalloc that tests link, too.

    Of the allocator it knows headers, and what deps name.

    Args:
      name: name of the library.
      srcs: its sources.
      hdrs: its headers.
      deps: tool libraries.
    """
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _COPTS,
        linkstatic = True,
        deps = deps + [
            "//allocator:stat_headers",
            "@zlib",
        ],
    )

def spanmalloc_tool(name, srcs, hdrs = [], deps = []):
    """A command, with Abseil and ncurses.

    Args:
      name: name of the command.
      srcs: its sources.
      hdrs: its headers.
      deps: tool libraries.
    """
    cc_binary(
        name = name,
        srcs = srcs + hdrs,
        copts = _COPTS,
        linkopts = ["-lpthread"],
        deps = deps + [
            "//allocator:stat_headers",
            "@com_google_absl//absl/flags:flag",
            "@com_google_absl//absl/flags:reflection",
            "@com_google_absl//absl/strings",
            "@com_google_absl//absl/strings:str_format",
            "@ncurses",
        ],
    )

def spanmalloc_test_library(
        name,
        srcs = [],
        hdrs = [],
        deps = [],
        copts = []):
    """Objects that several test programs link, and headers that they include.

    Args:
      name: name of the library.
      srcs: its sources.
      hdrs: its headers.
      deps: test libraries.
      copts: additional compiler options.
    """
    cc_library(
        name = name,
        testonly = True,
        srcs = srcs,
        hdrs = hdrs,
        copts = _COPTS + copts,
        linkstatic = True,
        visibility = ["//tests:__subpackages__"],
        deps = deps + [
            "//allocator:api",
            "@com_google_googletest//:gtest",
        ],
        alwayslink = True,
    )

def spanmalloc_test_plugin(name, srcs):
    """A library that test programs load at run time.

    They are given its path as the argument $(location <name>.so).

    Args:
      name: name of the library.
      srcs: its sources.
    """
    cc_binary(
        name = name + ".so",
        testonly = True,
        srcs = srcs,
        copts = _COPTS,
        linkshared = True,
    )

# How a test program gets its malloc: see spanmalloc_test.
_WAYS = {
    "system": {},
    "preload": {
        "data": ["//:libspanmalloc.so"],
        "env": {"LD_PRELOAD": "$(rootpath //:libspanmalloc.so)"},
    },
    "shared": {"srcs": ["//:libspanmalloc.so.1"]},
    "static": {"malloc": "//:spanmalloc"},
    "fully_static": {
        # gold cannot drop unused sections of a static C++ runtime.
        "linkopts": ["-static", "-Wl,--no-gc-sections"],
        "malloc": "//:spanmalloc",
    },
    "sampled": {
        "data": ["//:libspanmalloc.so"],
        "env": {
            "LD_PRELOAD": "$(rootpath //:libspanmalloc.so)",
            "SPANMALLOC_OPTIONS": "profile_interval=1",
        },
    },
    "guarded": {
        "data": ["//:libspanmalloc.so"],
        "env": {
            "LD_PRELOAD": "$(rootpath //:libspanmalloc.so)",
            "SPANMALLOC_OPTIONS": "profile_interval=4096,guarded=64",
        },
    },
}

_TEST_LINKOPTS = ["-lpthread", "-ldl"]

def spanmalloc_test(
        name,
        srcs = [],
        malloc = [],
        deps = [],
        dynamic_deps = [],
        linked_deps = [],
        args = [],
        data = [],
        size = "small"):
    """A test program, with GoogleTest's main unless it has its own.

    Args:
      name: name of the program.
      srcs: its sources.
      malloc: how it gets its malloc; each way makes a test <name>_<way>.
        "system": the system's, spanmalloc is not there; "preload":
        libspanmalloc.so by LD_PRELOAD; "shared", "static", "fully_static":
        linked with spanmalloc; "sampled", "guarded": as "preload", with every
        block a sample of the heap profiler's, or many of them and some between
        guard pages. In all of them but the first,
        SPANMALLOC_TEST_EXPECTED=1 is in the environment. Without any the
        program keeps the system's malloc and sees spanmalloc under its
        prefixed names.
      deps: test libraries.
      dynamic_deps: more of them, in the ways that link no spanmalloc.
      linked_deps: more of them, in the other ways.
      args: its arguments.
      data: the files that it reads.
      size: how long it may take, in Bazel's words.
    """
    if not malloc:
        cc_test(
            name = name,
            size = size,
            srcs = srcs,
            args = args,
            copts = _COPTS,
            data = data,
            linkopts = _TEST_LINKOPTS,
            linkstatic = True,
            deps = deps + [
                "//:spanmalloc_prefixed",
                "@com_google_googletest//:gtest_main",
            ],
        )
        return

    spanmalloc_test_library(
        name = name + "_objects",
        srcs = srcs,
        deps = deps,
    )
    for way in malloc:
        settings = dict(_WAYS[way])
        env = dict(settings.pop("env", {}))
        more_deps = linked_deps
        if way in ["system", "preload", "sampled", "guarded"]:
            more_deps = dynamic_deps
        if way != "system":
            env["SPANMALLOC_TEST_EXPECTED"] = "1"
        cc_test(
            name = "%s_%s" % (name, way),
            size = size,
            args = args,
            data = data + settings.pop("data", []),
            env = env,
            linkopts = _TEST_LINKOPTS + settings.pop("linkopts", []),
            linkstatic = True,
            deps = more_deps + [
                name + "_objects",
                "@com_google_googletest//:gtest_main",
            ],
            **settings
        )

def spanmalloc_script_test(name, srcs, args = [], data = [], size = "small"):
    """A shell or Python script as a test.

    Args:
      name: path of the test in tests/.
      srcs: the script, which names its interpreter in its first line.
      args: its arguments.
      data: the files that it reads.
      size: how long it may take, in Bazel's words.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = srcs,
        args = args,
        data = data,
    )
