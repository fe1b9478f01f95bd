// Reads integer class labels of any width, and selects lanes by number.
#pragma once

#include "core/matrix.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

[[gnu::always_inline]] inline std::ptrdiff_t label_at(const Labels& labels, std::ptrdiff_t i) {
  return with_integer_type(labels.type, [&](auto tag) {
    return static_cast<std::ptrdiff_t>(static_cast<const typename decltype(tag)::Number*>(labels.data)[i]);
  });
}

inline std::ptrdiff_t first_label_outside(Labels labels, std::ptrdiff_t classes) {
  for (std::ptrdiff_t i = 0; i < labels.size; ++i) {
    const std::ptrdiff_t label = label_at(labels, i);  // a uint64 beyond the range of ptrdiff_t comes out negative
    if (label < 0 || label >= classes) return i;
  }
  return -1;
}

// 0, 1, 2, … in the lanes.
template <class T, std::size_t... I>
[[gnu::always_inline]] inline IntVec<T> lane_numbers(std::index_sequence<I...>) {
  return IntVec<T>{static_cast<typename VectorTraits<T>::Bits>(I)...};
}
template <class T>
[[gnu::always_inline]] inline IntVec<T> lane_numbers() {
  return lane_numbers<T>(std::make_index_sequence<static_cast<std::size_t>(kLanes<T>)>{});
}

// v in the first `count` lanes, 0 in the others.
template <class T>
[[gnu::always_inline]] inline Vec<T> first_lanes_of(Vec<T> v, std::ptrdiff_t count) {
  return lane_numbers<T>() < static_cast<typename VectorTraits<T>::Bits>(count) ? v : Vec<T>{};
}

// 1 in lane `lane`, if there is such a lane, and 0 in the others.
template <class T>
[[gnu::always_inline]] inline Vec<T> one_hot_lanes(std::ptrdiff_t lane) {
  const bool here = lane >= 0 && lane < kLanes<T>;
  const auto number = static_cast<typename VectorTraits<T>::Bits>(here ? lane : -1);
  return lane_numbers<T>() == number ? broadcast<T>(T(1)) : Vec<T>{};
}

}  // namespace lamina::LAMINA_ISA
