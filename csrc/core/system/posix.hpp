// The answers that Linux and macOS share. Included by their files alone.
#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdint>
#include <cstdlib>

#include "core/system/system.hpp"

namespace lamina::system {
namespace {

std::chrono::nanoseconds time_run(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

std::chrono::nanoseconds thread_time() noexcept { return time_run(CLOCK_THREAD_CPUTIME_ID); }
std::chrono::nanoseconds process_time() noexcept { return time_run(CLOCK_PROCESS_CPUTIME_ID); }

void in_children(void (*function)()) { pthread_atfork(nullptr, nullptr, function); }

void* allocate_aligned(std::size_t bytes) noexcept { return std::aligned_alloc(128, bytes); }
void release_aligned(void* data) noexcept { std::free(data); }

void* map_pages(std::size_t bytes, std::size_t huge) noexcept {
  const std::size_t length = bytes + huge;
  void* whole = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  char *begin = static_cast<char*>(whole), *end = begin + length;
  char* data = begin + (huge - reinterpret_cast<std::uintptr_t>(begin) % huge) % huge;
  if (data > begin) munmap(begin, static_cast<std::size_t>(data - begin));
  if (end > data + bytes) munmap(data + bytes, static_cast<std::size_t>(end - (data + bytes)));
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

void unmap_pages(void* data, std::size_t bytes) noexcept { munmap(data, bytes); }

}  // namespace lamina::system
