// Memory that the library allocates: aligned, and on huge pages if it is large.
#pragma once

#include <cstddef>
#include <utility>

namespace lamina {

// Allocate memory aligned to two cache lines; from 2 MB on it is aligned to 2 MB, and huge pages are requested.
// allocate() zeroes it. Both throw std::bad_alloc. release() takes the number of bytes that was requested.
void* allocate_raw(std::size_t bytes);
void* allocate(std::size_t bytes);
void release(void* data, std::size_t bytes) noexcept;

// Bytes that all Buffers of the process hold together.
std::size_t allocated_bytes() noexcept;
void count_allocated(std::ptrdiff_t change) noexcept;

// An array whose elements are zero at first.
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
