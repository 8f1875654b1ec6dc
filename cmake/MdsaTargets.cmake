# mdsa_layer(NAME SOURCES ... DEPENDS layers-or-libraries ...)
# One static library per folder of src/, called mdsa_<name>. DEPENDS may only name layers that stand above it in
# the list of src/CMakeLists.txt; tools/check_layering.py checks every #include against the same list.
function(mdsa_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(mdsa_${name} STATIC ${ARG_SOURCES})
  target_include_directories(mdsa_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(mdsa_${name} PUBLIC ${ARG_DEPENDS})
  mdsa_compile_options(mdsa_${name})
  set_property(GLOBAL APPEND PROPERTY MDSA_LAYERS mdsa_${name})
endfunction()

# Warnings, sanitizers and floating point rules of every target of this project. Contraction is off because the
# quantizers must round exactly as written; kernels ask for fused multiply-adds by intrinsic.
function(mdsa_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -ffp-contract=off)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Lock discipline (src/base/thread_annotations.h) is an error even where other warnings are not.
    target_compile_options(${target} PRIVATE -Wthread-safety -Werror=thread-safety)
  endif()
  if(MDSA_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MDSA_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MDSA_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${MDSA_SANITIZE})
  endif()
endfunction()

# mdsa_test(NAME SOURCES ... DEPENDS ...): one GoogleTest program, its cases listed to ctest.
function(mdsa_test name)
  if(NOT MDSA_DEVELOPER_MODE)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  mdsa_compile_options(${name})
  add_dependencies(cpp_tests ${name})
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 300)
endfunction()
