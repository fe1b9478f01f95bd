#include "core/memory.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace lamina {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
std::atomic<std::ptrdiff_t> allocated{0};

}  // namespace

void* allocate_raw(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 128;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (data == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (bytes >= kHugePage) madvise(data, rounded, MADV_HUGEPAGE);
#endif
  return data;
}

void* allocate(std::size_t bytes) {
  void* data = allocate_raw(bytes);
  std::memset(data, 0, bytes);
  return data;
}

void release(void* data) noexcept { std::free(data); }

std::size_t allocated_bytes() noexcept { return static_cast<std::size_t>(allocated.load(std::memory_order_relaxed)); }

void count_allocated(std::ptrdiff_t change) noexcept { allocated.fetch_add(change, std::memory_order_relaxed); }

}  // namespace lamina
