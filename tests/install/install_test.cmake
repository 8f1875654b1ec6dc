# Installs this build into a folder of its own, builds the example against it and runs it; with MDSA_MINILM_DIR
# and MDSA_SMOLLM2_GGUF in the environment, on real models.
set(prefix ${WORK_DIR}/prefix)
set(example ${WORK_DIR}/assistant)
file(REMOVE_RECURSE ${WORK_DIR})

# run(<variable for the output> command...): a failure ends the test with what the command said.
function(run output_variable)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nexit code ${result}\n${output}")
  endif()
  set(${output_variable} "${output}" PARENT_SCOPE)
endfunction()

function(expect text pattern)
  if(NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "expected ${pattern} in:\n${text}")
  endif()
endfunction()

run(ignored ${CMAKE_COMMAND} --install ${BUILD_DIR} --config ${CONFIG} --prefix ${prefix})

file(GLOB folders RELATIVE ${prefix} ${prefix}/*)
list(REMOVE_ITEM folders bin include lib lib64 share)
if(folders)
  message(FATAL_ERROR "installed outside the folders of a prefix: ${folders}")
endif()

# An installed package may move: it must not know where it was built.
file(GLOB_RECURSE package_files ${prefix}/*.cmake)
list(LENGTH package_files count)
if(count LESS 4)
  message(FATAL_ERROR "the package is not complete: ${package_files}")
endif()
foreach(file IN LISTS package_files)
  file(READ ${file} text)
  foreach(folder ${SOURCE_DIR} ${BUILD_DIR})
    string(FIND "${text}" "${folder}" found)
    if(NOT found EQUAL -1)
      message(FATAL_ERROR "${file} names ${folder}")
    endif()
  endforeach()
  if(file MATCHES "mdsaTargets\\.cmake$")
    # Private dependencies are for the link alone.
    string(REGEX REPLACE "\\\\\\$<LINK_ONLY:[^>]*>" "" visible "${text}")
    if(visible MATCHES "(fmt|simdjson|PkgConfig|ICU)::")
      message(FATAL_ERROR "${file} shows the private dependency ${CMAKE_MATCH_0}")
    endif()
  endif()
endforeach()

set(flags)
if(SANITIZE)
  list(APPEND flags -DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()
if(LAUNCHER)
  list(APPEND flags -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
endif()
run(ignored ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE_DIR}/examples/assistant -B ${example}
    -DCMAKE_BUILD_TYPE=${CONFIG} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${prefix} ${flags})
run(ignored ${CMAKE_COMMAND} --build ${example} --config ${CONFIG})

run(usage ${example}/assistant)
expect("${usage}" "mdsa ${VERSION}")
expect("${usage}" "usage: assistant")

if(EXISTS ${prefix}/bin/mdsa)
  run(version ${prefix}/bin/mdsa --version)
  expect("${version}" "mdsa ${VERSION}")
endif()

if(DEFINED ENV{MDSA_MINILM_DIR} AND DEFINED ENV{MDSA_SMOLLM2_GGUF})
  run(answer ${example}/assistant $ENV{MDSA_MINILM_DIR} $ENV{MDSA_SMOLLM2_GGUF} "What is the capital of France?")
  expect("${answer}" "like: What is the capital of a country")
  expect("${answer}" "Paris")
endif()
