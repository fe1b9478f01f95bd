// The number types that user data may have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace lamina {

enum class NumberType : std::uint8_t {
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64
};
constexpr int kNumberTypes = static_cast<int>(NumberType::float64) + 1;

// IEEE binary16, for which C++20 has no type.
struct Half {
  std::uint16_t bits;
};

// The NumberType of float or double.
template <class T>
constexpr NumberType kNumberType = std::is_same_v<T, float> ? NumberType::float32 : NumberType::float64;

constexpr bool is_integer(NumberType type) { return type < NumberType::float16; }

template <class S>
struct NumberTag {
  using Number = S;
};

// Returns body(NumberTag<S>{}), where S is the C++ type of numbers of `type`. The only switch over number types.
template <class Body>
[[gnu::always_inline]] constexpr auto with_number_type(NumberType type, Body&& body) {
  switch (type) {
    case NumberType::int8:
      return body(NumberTag<std::int8_t>{});
    case NumberType::int16:
      return body(NumberTag<std::int16_t>{});
    case NumberType::int32:
      return body(NumberTag<std::int32_t>{});
    case NumberType::int64:
      return body(NumberTag<std::int64_t>{});
    case NumberType::uint8:
      return body(NumberTag<std::uint8_t>{});
    case NumberType::uint16:
      return body(NumberTag<std::uint16_t>{});
    case NumberType::uint32:
      return body(NumberTag<std::uint32_t>{});
    case NumberType::uint64:
      return body(NumberTag<std::uint64_t>{});
    case NumberType::float16:
      return body(NumberTag<Half>{});
    case NumberType::float32:
      return body(NumberTag<float>{});
    case NumberType::float64:
      return body(NumberTag<double>{});
  }
  __builtin_unreachable();
}

// The same for integer types. Callers pass no others; they would be treated as int64.
template <class Body>
[[gnu::always_inline]] constexpr auto with_integer_type(NumberType type, Body&& body) {
  return with_number_type(type, [&](auto tag) {
    using S = typename decltype(tag)::Number;
    if constexpr (std::is_integral_v<S>)
      return body(tag);
    else
      return body(NumberTag<std::int64_t>{});
  });
}

// Bytes of a number.
[[gnu::always_inline]] constexpr std::ptrdiff_t size_of(NumberType type) {
  return with_number_type(type,
                          [](auto tag) { return static_cast<std::ptrdiff_t>(sizeof(typename decltype(tag)::Number)); });
}

}  // namespace lamina
