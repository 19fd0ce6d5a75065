# How the allocator and its tests are compiled: the flags, and one function for
# each kind of target.
#
#   spanmalloc_layer         one layer of the allocator
#   spanmalloc_revision      tells a source which commit it is built from
#   spanmalloc_variant       sources that products compile in different ways
#   spanmalloc_tool_library  what the command spanmalloc is made of
#   spanmalloc_tool          the command itself
#   spanmalloc_test_library  what several tests share
#   spanmalloc_test_plugin   a library that a test program loads
#   spanmalloc_test          a test program
#   spanmalloc_script_test   a shell or Python script as a test
#
# The functions have the names, and the arguments the meaning, of the macros in
# bazel/spanmalloc.bzl. Paths are relative to the folder of the caller.

# With a sanitizer, malloc stays the sanitizer's own: only the prefixed names
# are built, and only the tests that can do with them.
if(SPANMALLOC_SANITIZER)
  set(SPANMALLOC_OVERRIDES_MALLOC FALSE)
else()
  set(SPANMALLOC_OVERRIDES_MALLOC TRUE)
endif()

# Everything, tests included.
add_library(spanmalloc_flags INTERFACE)
target_include_directories(
  spanmalloc_flags INTERFACE ${PROJECT_SOURCE_DIR}
                             ${PROJECT_SOURCE_DIR}/allocator/include)
target_compile_definitions(
  spanmalloc_flags INTERFACE SPANMALLOC_ASSERT_LEVEL=${SPANMALLOC_ASSERT_LEVEL})
target_compile_options(
  spanmalloc_flags
  INTERFACE
    -Wall
    -Wextra
    -Wundef
    -Wvla
    -Wpointer-arith
    -Wimplicit-fallthrough
    $<$<BOOL:${SPANMALLOC_WERROR}>:-Werror>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    # A compiler that knows malloc removes pairs and moves stores across calls.
    -fno-builtin-malloc
    -fno-builtin-calloc
    -fno-builtin-realloc
    -fno-builtin-free)
target_link_libraries(spanmalloc_flags INTERFACE Threads::Threads)
if(SPANMALLOC_SANITIZER)
  set(sanitizer_flags -fsanitize=${SPANMALLOC_SANITIZER}
                      -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(SPANMALLOC_SANITIZER MATCHES "undefined")
    list(APPEND sanitizer_flags -fno-sanitize=vptr) # Needs RTTI.
  elseif(SPANMALLOC_SANITIZER STREQUAL "thread" AND CMAKE_COMPILER_IS_GNUCXX)
    list(APPEND sanitizer_flags -Wno-tsan) # It does not see fences.
  endif()
  target_compile_options(spanmalloc_flags INTERFACE ${sanitizer_flags})
  target_link_options(spanmalloc_flags INTERFACE ${sanitizer_flags})
endif()
if(SPANMALLOC_BUILD_FUZZERS)
  # What libFuzzer sees of the program; its main is linked to the fuzzers only.
  set(fuzzer_flags -fsanitize=fuzzer-no-link)
  target_compile_options(spanmalloc_flags INTERFACE ${fuzzer_flags})
endif()

# The allocator alone. It lives below the C++ runtime, so it can neither throw
# nor look at types; its own calls bind inside the library; and its thread-local
# variables are reached without a call that could allocate.
add_library(spanmalloc_core_flags INTERFACE)
target_link_libraries(spanmalloc_core_flags INTERFACE spanmalloc_flags)
target_compile_options(
  spanmalloc_core_flags
  INTERFACE
    -fno-exceptions
    -fno-rtti
    -fvisibility=hidden
    -fvisibility-inlines-hidden
    -fno-semantic-interposition
    -ftls-model=initial-exec
    -Wshadow
    -Wmissing-declarations
    -Wnon-virtual-dtor
    -Wpedantic)

# The tests alone. With less optimisation they compile in half the time, and
# compiling is most of the time that they take.
add_library(spanmalloc_test_flags INTERFACE)
target_link_libraries(spanmalloc_test_flags INTERFACE spanmalloc_flags)
target_compile_options(
  spanmalloc_test_flags INTERFACE $<IF:$<CONFIG:Debug>,-O0,-O1;-g1>)

# spanmalloc_revision(<source>)
#
# Compiles the source with SPANMALLOC_REVISION: the current commit, or `unknown`
# where this is no repository.
function(spanmalloc_revision source)
  set(revision unknown)
  set(log "")
  foreach(name_and_question IN ITEMS "revision;--short=12;HEAD"
                                     "log;--git-path;logs/HEAD")
    list(POP_FRONT name_and_question name)
    execute_process(
      COMMAND git rev-parse ${name_and_question}
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
      OUTPUT_VARIABLE answer
      OUTPUT_STRIP_TRAILING_WHITESPACE
      RESULT_VARIABLE result
      ERROR_QUIET)
    if(result EQUAL 0)
      set(${name} ${answer})
    endif()
  endforeach()
  set_source_files_properties(
    ${source} PROPERTIES COMPILE_DEFINITIONS SPANMALLOC_REVISION=${revision})
  # It grows with every commit that becomes the current one.
  cmake_path(ABSOLUTE_PATH log BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(EXISTS ${log} AND NOT IS_DIRECTORY ${log})
    set_property(
      DIRECTORY ${PROJECT_SOURCE_DIR}
      APPEND
      PROPERTY CMAKE_CONFIGURE_DEPENDS ${log})
  endif()
endfunction()

# spanmalloc_layer(<name> SRCS <file>... HDRS <file>...)
#
# One layer of the allocator as the object library spanmalloc_<name>, and its
# name appended to SPANMALLOC_LAYERS, lowest first.
function(spanmalloc_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;HDRS")
  add_library(spanmalloc_${name} OBJECT ${ARG_SRCS} ${ARG_HDRS})
  set_source_files_properties(${ARG_HDRS} PROPERTIES HEADER_FILE_ONLY ON)
  set_target_properties(
    spanmalloc_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
                                  LINKER_LANGUAGE CXX)
  target_link_libraries(spanmalloc_${name} PRIVATE spanmalloc_core_flags)
  set(SPANMALLOC_LAYERS ${SPANMALLOC_LAYERS} ${name} PARENT_SCOPE)
endfunction()

# spanmalloc_variant(<name> SRCS <file>... [COPTS <option>...])
#
# Sources that products compile in different ways, as the object library
# spanmalloc_<name>.
function(spanmalloc_variant name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;COPTS")
  add_library(spanmalloc_${name} OBJECT ${ARG_SRCS})
  set_target_properties(spanmalloc_${name} PROPERTIES POSITION_INDEPENDENT_CODE
                                                      ON)
  # A target's own options come before inherited ones, but these have to win.
  add_library(spanmalloc_${name}_options INTERFACE)
  target_compile_options(spanmalloc_${name}_options INTERFACE ${ARG_COPTS})
  target_link_libraries(
    spanmalloc_${name} PRIVATE spanmalloc_core_flags
                               spanmalloc_${name}_options)
endfunction()

# spanmalloc_tool_library(<name> SRCS <file>... [HDRS <file>...]
#                         [DEPS <tool library>...])
#
# A part of the command spanmalloc that tests link, too. Of the allocator it
# knows headers, and what DEPS name.
function(spanmalloc_tool_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;HDRS;DEPS")
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${ARG_SRCS} ${ARG_HDRS})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${name} PRIVATE spanmalloc_flags ${ARG_DEPS})
endfunction()

# spanmalloc_tool(<name> SRCS <file>... [HDRS <file>...]
#                 [DEPS <tool library>...])
#
# A command, as the target <name>_tool, with Abseil.
function(spanmalloc_tool name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;HDRS;DEPS")
  add_executable(${name}_tool ${ARG_SRCS} ${ARG_HDRS})
  set_target_properties(
    ${name}_tool PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY
                                                ${PROJECT_BINARY_DIR})
  target_link_libraries(
    ${name}_tool PRIVATE spanmalloc_flags ${ARG_DEPS} absl::flags
                         absl::flags_reflection absl::str_format absl::strings)
  install(TARGETS ${name}_tool)
endfunction()

# The path of a test inside tests/, given the one inside the caller's folder.
function(spanmalloc_test_path name result)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR}/tests
       ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  set(${result} ${path} PARENT_SCOPE)
endfunction()

# spanmalloc_test_library(<name> SRCS <file>... [HDRS <file>...]
#                         [DEPS <test library>...] [COPTS <option>...])
#
# Objects that several test programs link, and headers that they include. DEPS
# are libraries whose headers it includes itself: Bazel has to know them, and a
# program that links the library names them too.
function(spanmalloc_test_library name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;HDRS;DEPS;COPTS")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${ARG_SRCS} ${ARG_HDRS})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${name} PRIVATE spanmalloc_test_flags GTest::gtest)
  target_compile_options(${name} PRIVATE ${ARG_COPTS})
endfunction()

# spanmalloc_test_plugin(<name> SRCS <file>...)
#
# A library that test programs load at run time: they are given its path as the
# argument $<TARGET_FILE:<name>>.
function(spanmalloc_test_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS")
  add_library(${name} MODULE ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE spanmalloc_test_flags)
endfunction()

# spanmalloc_test(<name> [SRCS <file>...] [MALLOC <way>...]
#                 [DEPS <test library>...] [DYNAMIC_DEPS <test library>...]
#                 [LINKED_DEPS <test library>...] [ARGS <argument>...])
#
# A test program, with GoogleTest's main unless it has its own. It exits with 77
# to be skipped. MALLOC tells how it gets its malloc, and each way makes a test
# <name>_<way>:
#
#   system        the system's; spanmalloc is not there
#   preload       libspanmalloc.so by LD_PRELOAD
#   shared        linked with libspanmalloc.so
#   static        linked with libspanmalloc.a, all else dynamically
#   fully_static  linked with libspanmalloc.a and -static
#   sampled       as preload; every block is a sample of the heap profiler's
#   guarded       as preload; many are samples, some of them between guard pages
#
# Those without libspanmalloc at link time link DYNAMIC_DEPS besides DEPS, the
# others LINKED_DEPS. In all of them but the first, SPANMALLOC_TEST_EXPECTED=1 is in the environment.
#
# Without MALLOC the program keeps the system's malloc and sees spanmalloc under
# its prefixed names; then each of its cases is a CTest test, hence a process,
# of its own (Bazel runs them all in one process).
function(spanmalloc_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" ""
                        "SRCS;MALLOC;DEPS;DYNAMIC_DEPS;LINKED_DEPS;ARGS")
  spanmalloc_test_path(${name} path)
  get_filename_component(folder ${path} DIRECTORY)
  string(MAKE_C_IDENTIFIER ${path} target)

  if(NOT ARG_MALLOC)
    spanmalloc_test_program(${target} ${path} ${ARG_SRCS})
    target_link_libraries(${target} PRIVATE ${ARG_DEPS} spanmalloc_prefixed)
    target_precompile_headers(${target} REUSE_FROM spanmalloc_test_headers)
    gtest_discover_tests(
      ${target}
      TEST_PREFIX "${path}."
      DISCOVERY_MODE PRE_TEST
      DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS ${folder})
    return()
  endif()

  if(NOT SPANMALLOC_OVERRIDES_MALLOC)
    return()
  endif()
  set(link_system ${ARG_DYNAMIC_DEPS})
  set(link_preload ${ARG_DYNAMIC_DEPS})
  set(link_shared ${ARG_LINKED_DEPS} spanmalloc)
  set(link_static ${ARG_LINKED_DEPS} spanmalloc_static)
  set(link_fully_static ${ARG_LINKED_DEPS} spanmalloc_static -static)
  set(link_sampled ${ARG_DYNAMIC_DEPS})
  set(link_guarded ${ARG_DYNAMIC_DEPS})
  set(options_sampled profile_interval=1)
  set(options_guarded "profile_interval=4096,guarded=64")
  set(objects "")
  if(ARG_SRCS)
    set(objects ${target}_objects)
    spanmalloc_test_library(${objects} SRCS ${ARG_SRCS})
  endif()
  foreach(way IN LISTS ARG_MALLOC)
    if(NOT way MATCHES "^(system|preload|shared|static|fully_static|sampled|guarded)$")
      message(FATAL_ERROR "${name}: no way to get a malloc is called ${way}")
    endif()
    spanmalloc_test_program(${target}_${way} ${path}_${way})
    target_link_libraries(${target}_${way} PRIVATE ${objects} ${ARG_DEPS}
                                                   ${link_${way}})
    add_test(NAME ${path}_${way} COMMAND ${target}_${way} ${ARG_ARGS})
    set(environment SPANMALLOC_TEST_EXPECTED=1)
    if(way STREQUAL "system")
      set(environment "")
    elseif(way MATCHES "^(preload|sampled|guarded)$")
      list(APPEND environment LD_PRELOAD=$<TARGET_FILE:spanmalloc>)
    endif()
    if(DEFINED options_${way})
      list(APPEND environment SPANMALLOC_OPTIONS=${options_${way}})
    endif()
    set_tests_properties(
      ${path}_${way} PROPERTIES LABELS ${folder} SKIP_RETURN_CODE 77
                                ENVIRONMENT "${environment}")
  endforeach()
endfunction()

# spanmalloc_test_headers()
#
# The header that much of a small test's compile time is spent on, compiled
# once. Bazel does without, and so finds out who forgets to include it.
function(spanmalloc_test_headers)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/headers.cc)
  file(TOUCH ${source})
  add_library(spanmalloc_test_headers OBJECT EXCLUDE_FROM_ALL ${source})
  target_link_libraries(spanmalloc_test_headers PRIVATE spanmalloc_test_flags
                                                        GTest::gtest_main)
  target_precompile_headers(spanmalloc_test_headers PRIVATE <gtest/gtest.h>)
endfunction()

# The executable of a test, at its path in the build tree.
function(spanmalloc_test_program target path)
  add_executable(${target} ${ARGN})
  get_filename_component(folder ${path} DIRECTORY)
  get_filename_component(program ${path} NAME)
  set_target_properties(
    ${target} PROPERTIES OUTPUT_NAME ${program}
                         LINKER_LANGUAGE CXX
                         RUNTIME_OUTPUT_DIRECTORY
                         ${PROJECT_BINARY_DIR}/tests/${folder})
  target_link_libraries(${target} PRIVATE spanmalloc_test_flags
                                          GTest::gtest_main
                                          ${CMAKE_DL_LIBS})
endfunction()

# spanmalloc_script_test(<name> SRCS <script> [ARGS <argument>...])
#
# A shell or Python script as a test; it exits with 77 to be skipped. Scripts
# test the tools and the products: nothing that a sanitizer would change. Bazel
# also wants to know, as `data`, what the script reads.
function(spanmalloc_script_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;ARGS")
  if(SPANMALLOC_SANITIZER)
    return()
  endif()
  spanmalloc_test_path(${name} path)
  get_filename_component(folder ${path} DIRECTORY)
  set(interpreter bash)
  if(ARG_SRCS MATCHES "[.]py$")
    set(interpreter ${Python3_EXECUTABLE})
  endif()
  add_test(NAME ${path}
           COMMAND ${interpreter} ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SRCS}
                   ${ARG_ARGS})
  set_tests_properties(${path} PROPERTIES LABELS ${folder} SKIP_RETURN_CODE 77)
endfunction()
