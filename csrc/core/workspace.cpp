#include "core/workspace.hpp"

#include "core/memory.hpp"

namespace lamina {
namespace {

struct Held {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Held() { release(data, bytes); }
};

thread_local Held buffers[static_cast<int>(Scratch::count)];

}  // namespace

void* scratch(Scratch which, std::size_t bytes) {
  Held& buffer = buffers[static_cast<int>(which)];
  if (bytes > buffer.bytes) {
    void* fresh = allocate_raw(bytes);
    release(buffer.data, buffer.bytes);
    buffer.data = fresh;
    buffer.bytes = bytes;
  }
  return buffer.data;
}

std::size_t scratch_bytes() noexcept {
  std::size_t total = 0;
  for (const Held& buffer : buffers) total += buffer.bytes;
  return total;
}

}  // namespace lamina
