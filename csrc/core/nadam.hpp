// The running products of Nadam's momentum: one table for all instruction sets.
#pragma once

#include <cstdint>

namespace lamina {

// Π_{i ≤ t} (1 - 0.96ⁱ / 2); from some t on all further factors are 1 in double precision.
double nadam_product(std::int64_t t);

}  // namespace lamina
