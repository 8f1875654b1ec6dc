# The storage formats. The files of one instruction set get its flags and no others do.
list(APPEND kernel_sources codec.cc codec_portable.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND kernel_sources codec_avx2.cc codec_avx512.cc)
  # GCC 12 warns of undefined registers in its own intrinsics (GCC bug 105593).
  set(quiet "$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
  set_source_files_properties(codec_avx2.cc PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  set_source_files_properties(codec_avx512.cc PROPERTIES COMPILE_OPTIONS
    "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mprefer-vector-width=512;${quiet}")
endif()

mdsa_test(codec_test SOURCES codec_test.cc DEPENDS mdsa_kernels mdsa_quant)
