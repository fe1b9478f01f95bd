// Memory of our own: aligned, on huge pages where it is large.
#pragma once

#include <cstddef>
#include <utility>

namespace lamina {

// Memory aligned to two cache lines, or to 2 MB with huge pages asked for where it is that large; that of `allocate` is
// zero. Both throw std::bad_alloc. release() wants the bytes that were asked for.
void* allocate_raw(std::size_t bytes);
void* allocate(std::size_t bytes);
void release(void* data, std::size_t bytes) noexcept;

// Bytes that all Buffers of the process hold.
std::size_t allocated_bytes() noexcept;
void count_allocated(std::ptrdiff_t change) noexcept;

// Zeroed numbers.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::ptrdiff_t size) : data_(static_cast<T*>(allocate(bytes(size)))), size_(size) {
    count_allocated(static_cast<std::ptrdiff_t>(bytes(size)));
  }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ == nullptr) return;
    release(data_, bytes(size_));
    count_allocated(-static_cast<std::ptrdiff_t>(bytes(size_)));
  }

  T* data() const { return data_; }
  std::ptrdiff_t size() const { return size_; }
  T& operator[](std::ptrdiff_t i) const { return data_[i]; }

 private:
  static std::size_t bytes(std::ptrdiff_t size) { return static_cast<std::size_t>(size) * sizeof(T); }

  T* data_ = nullptr;
  std::ptrdiff_t size_ = 0;
};

}  // namespace lamina
