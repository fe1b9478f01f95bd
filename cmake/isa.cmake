# The only place that names instruction-set flags. Each file of csrc/isa is compiled for its own instruction set;
# everything else is compiled for the oldest CPU that the wheel runs on (x86-64-v2), or for older ones.
#
# -ffp-contract=off: a multiply and an add are fused only where the source says fma(), so that results do not depend on
#   the compiler.
# -fno-trapping-math -fno-math-errno: nobody reads the floating-point exception flags or errno; comparisons and
#   selections become single instructions. Results do not change.
# -fno-exceptions -fno-asynchronous-unwind-tables: kernels throw nothing and call nothing that throws, so nobody unwinds
#   their frames but debuggers, which find their own tables in other builds.
set(lamina_kernel_flags -ffp-contract=off -fno-trapping-math -fno-math-errno -fno-exceptions
                        $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # These warnings are false alarms in GCC's own intrinsics headers (GCC bug 105593).
  list(APPEND lamina_kernel_flags -Wno-maybe-uninitialized -Wno-uninitialized)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND lamina_kernel_flags -Wno-pass-failed -Wno-unknown-pragmas)
endif()

# `float32`, `float64`: their optimization in release builds. The wheel must stay small: -O2 for float64 is a seventh
# smaller than -O3 and takes 1 to 4 % more instructions, -Os another fifth; under AVX-512 its products are as fast, its
# element functions 5 to 10 % slower, under AVX2 products would be much slower. CPUs before AVX2 (2013) have few users:
# with -Os for float32 too they train 4 to 14 % slower.
function(lamina_add_isa name float32 float64)
  target_sources(lamina_kernels PRIVATE isa/${name}.cpp isa/${name}_float64.cpp)
  set_source_files_properties(isa/${name}.cpp PROPERTIES COMPILE_OPTIONS
                              "${lamina_kernel_flags};${ARGN};$<$<CONFIG:Release>:${float32}>")
  set_source_files_properties(isa/${name}_float64.cpp PROPERTIES COMPILE_OPTIONS
                              "${lamina_kernel_flags};${ARGN};$<$<CONFIG:Release>:${float64}>")
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(lamina_baseline_flags -msse4.2 -mpopcnt)
  target_compile_options(lamina_kernels PRIVATE ${lamina_baseline_flags})
  target_compile_options(lamina_engine PRIVATE ${lamina_baseline_flags})
  target_compile_options(lamina_rest PRIVATE ${lamina_baseline_flags})
  set(lamina_avx2_flags -mavx2 -mfma)
  set(lamina_avx512_flags ${lamina_avx2_flags} -mavx512f -mavx512bw -mavx512dq -mavx512vl
                          -mprefer-vector-width=512)
  lamina_add_isa(baseline -Os -Os ${lamina_baseline_flags})
  # -O2 with what of -O3 tells here: loops by cases outside of them, and short ones in full. Training takes 1 % more
  # instructions (it took 9 % more with Adam without these two), and the wheel is 14 kB smaller than with -O3.
  set(lamina_float32 -O3)
  set(lamina_avx2_float64 -O2)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(lamina_float32
        "-O2;-funswitch-loops;-fpeel-loops"
        "--param=max-completely-peel-times=8;--param=max-completely-peeled-insns=100"
        "-fno-version-loops-for-strides;-fno-split-loops;-fno-tree-slp-vectorize")
    list(APPEND lamina_avx2_float64 -fno-align-loops -fno-align-jumps)
  endif()
  lamina_add_isa(avx2 "${lamina_float32}" "${lamina_avx2_float64}" ${lamina_avx2_flags})
  lamina_add_isa(avx512 "${lamina_float32}" -Os ${lamina_avx512_flags})
  target_compile_definitions(lamina_rest PRIVATE LAMINA_HAVE_AVX2 LAMINA_HAVE_AVX512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  lamina_add_isa(neon -O3 -O2)
  target_compile_definitions(lamina_rest PRIVATE LAMINA_HAVE_NEON)
else()
  lamina_add_isa(baseline -O3 -O2)
endif()
