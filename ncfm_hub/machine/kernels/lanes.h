// Vectors of 16 values, which compilers split for machines whose vectors are shorter.

#pragma once

#include <cstring>

constexpr long LANES = 16;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

inline Lanes load(const float* from) {
  Lanes found;
  std::memcpy(&found, from, sizeof(Lanes));
  return found;
}

inline void store(float* to, Lanes value) { std::memcpy(to, &value, sizeof(Lanes)); }

// The same of the first `lanes` values; the others are zero, and not written.
inline Lanes load(const float* from, long lanes) {
  if (lanes == LANES) return load(from);
  Lanes found = {};
  std::memcpy(&found, from, lanes * sizeof(float));
  return found;
}

inline void store(float* to, Lanes value, long lanes) {
  lanes == LANES ? store(to, value) : void(std::memcpy(to, &value, lanes * sizeof(float)));
}
