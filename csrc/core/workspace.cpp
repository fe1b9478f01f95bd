#include "core/workspace.hpp"

#include <cstdlib>
#include <new>

namespace lamina {
namespace {

constexpr std::size_t kAlignment = 64;

struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Buffer() { std::free(data); }
};

thread_local Buffer buffers[static_cast<int>(Scratch::count)];

}  // namespace

void* scratch(Scratch which, std::size_t bytes) {
  Buffer& buffer = buffers[static_cast<int>(which)];
  if (bytes > buffer.bytes) {
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* fresh = std::aligned_alloc(kAlignment, rounded);
    if (fresh == nullptr) throw std::bad_alloc();
    std::free(buffer.data);
    buffer.data = fresh;
    buffer.bytes = rounded;
  }
  return buffer.data;
}

std::size_t scratch_bytes() noexcept {
  std::size_t total = 0;
  for (const Buffer& buffer : buffers) total += buffer.bytes;
  return total;
}

}  // namespace lamina
