#include "core/workspace.hpp"

#include <memory>

#include "core/memory.hpp"

namespace lamina {
namespace {

struct Held {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Held() { release(data, bytes); }
};

struct Set {
  Held buffers[static_cast<int>(Scratch::count)];
  Set* outer = nullptr;
  std::unique_ptr<Set> inner;
};

thread_local Set first;
thread_local Set* current = nullptr;  // null: `first`

Set& current_set() { return current == nullptr ? first : *current; }

}  // namespace

void* scratch(Scratch which, std::size_t bytes) {
  Held& buffer = current_set().buffers[static_cast<int>(which)];
  if (bytes > buffer.bytes) {
    void* fresh = allocate_raw(bytes);
    release(buffer.data, buffer.bytes);
    buffer.data = fresh;
    buffer.bytes = bytes;
  }
  return buffer.data;
}

FreshScratch::FreshScratch() {
  Set& outer = current_set();
  if (outer.inner == nullptr) {
    outer.inner = std::make_unique<Set>();
    outer.inner->outer = &outer;
  }
  current = outer.inner.get();
}

FreshScratch::~FreshScratch() { current = current->outer; }

std::size_t scratch_bytes() noexcept {
  std::size_t total = 0;
  for (const Set* set = &first; set != nullptr; set = set->inner.get())
    for (const Held& buffer : set->buffers) total += buffer.bytes;
  return total;
}

}  // namespace lamina
