#include "core/memory.hpp"

#include <atomic>
#include <cstring>
#include <new>

#include "core/system/system.hpp"

namespace lamina {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20, kAlignment = 128;
std::atomic<std::ptrdiff_t> allocated{0};

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

void* given(void* data) {
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

void* allocate_raw(std::size_t bytes) {
  // Zeroing a page takes as long as computing with it, so it is left to the threads that will use the memory, each for
  // its own part.
  if (bytes >= kHugePage) return given(system::map_pages(round_up(bytes, kHugePage), kHugePage));
  return given(system::allocate_aligned(round_up(bytes == 0 ? 1 : bytes, kAlignment)));
}

void* allocate(std::size_t bytes) {
  void* data = allocate_raw(bytes);
  if (bytes < kHugePage) std::memset(data, 0, bytes);
  return data;
}

void release(void* data, std::size_t bytes) noexcept {
  if (bytes < kHugePage)
    system::release_aligned(data);
  else
    system::unmap_pages(data, round_up(bytes, kHugePage));
}

std::size_t allocated_bytes() noexcept { return static_cast<std::size_t>(allocated.load(std::memory_order_relaxed)); }

void count_allocated(std::ptrdiff_t change) noexcept { allocated.fetch_add(change, std::memory_order_relaxed); }

}  // namespace lamina
