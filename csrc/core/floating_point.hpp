// The floating-point mode of a thread: rounding, flushing of subnormal numbers, traps.
#pragma once

#include <cstdint>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace lamina {

// While it exists, the calling thread computes in the default mode of IEEE 754: rounding to nearest, subnormal numbers,
// no traps. Another library may have changed the caller's mode; the members of a team would then compute different
// bits. The destructor restores the caller's mode.
class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint() noexcept : before_(read()) { fix(); }
  ~DefaultFloatingPoint() {
    if (read() != before_) write(before_);
  }
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

  // Sets the default mode on the calling thread and keeps its exception flags.
  static void fix() noexcept {
    const Word now = read();
    if ((now & kMode) != kDefault) write((now & ~kMode) | kDefault);
  }

 private:
#if defined(__SSE2__)
  using Word = std::uint32_t;
  static constexpr Word kMode = 0xffc0, kDefault = 0x1f80;  // of MXCSR: all traps masked
  static Word read() noexcept { return _mm_getcsr(); }
  static void write(Word word) noexcept { _mm_setcsr(word); }
#elif defined(__aarch64__)
  using Word = std::uint64_t;
  static constexpr Word kMode = 0x07f79f07, kDefault = 0;  // of FPCR: rounding, flushing, alternative formats, traps
  static Word read() noexcept {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void write(Word word) noexcept { asm volatile("msr fpcr, %0" : : "r"(word)); }
#else
  using Word = int;
  static constexpr Word kMode = 0, kDefault = 0;
  static Word read() noexcept { return 0; }
  static void write(Word) noexcept {}
#endif

  Word before_;
};

}  // namespace lamina
