#include "core/memory.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace lamina {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20, kAlignment = 128;
std::atomic<std::ptrdiff_t> allocated{0};

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

// Maps large memory from the operating system, which zeroes a page when it is first touched. That takes as long as
// computing with the page, so it is left to the threads that will use the memory, each for its own part.
void* map(std::size_t bytes) {
  const std::size_t rounded = round_up(bytes, kHugePage), length = rounded + kHugePage;
  void* whole = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) throw std::bad_alloc();
  char *begin = static_cast<char*>(whole), *end = begin + length;
  char* data = begin + (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  if (data > begin) munmap(begin, static_cast<std::size_t>(data - begin));
  munmap(data + rounded, static_cast<std::size_t>(end - (data + rounded)));
#ifdef MADV_HUGEPAGE
  madvise(data, rounded, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace

void* allocate_raw(std::size_t bytes) {
  if (bytes >= kHugePage) return map(bytes);
  void* data = std::aligned_alloc(kAlignment, round_up(bytes == 0 ? 1 : bytes, kAlignment));
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void* allocate(std::size_t bytes) {
  void* data = allocate_raw(bytes);
  if (bytes < kHugePage) std::memset(data, 0, bytes);
  return data;
}

void release(void* data, std::size_t bytes) noexcept {
  if (bytes < kHugePage)
    std::free(data);
  else
    munmap(data, round_up(bytes, kHugePage));
}

std::size_t allocated_bytes() noexcept { return static_cast<std::size_t>(allocated.load(std::memory_order_relaxed)); }

void count_allocated(std::ptrdiff_t change) noexcept { allocated.fetch_add(change, std::memory_order_relaxed); }

}  // namespace lamina
