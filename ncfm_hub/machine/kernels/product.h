// Products of matrices whose right factor lies in panels: (columns / PANEL, inner, PANEL), PANEL columns together, which
// the caller makes so small that they stay in a core's own cache.

#pragma once

#include <algorithm>

#include "lanes.h"

constexpr long PANEL = 4 * LANES;

// ROWS x VECTORS sums stay in registers, of which there are 32 with AVX-512, and 16 of half the size before it.
#ifdef __AVX512F__
constexpr int ROWS = 6, VECTORS = 4;
#else
constexpr int ROWS = 6, VECTORS = 1;
#endif

// How many columns there are when the last panel is filled up.
inline long filled_up(long columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

// `rows` lines of the product of (rows, inner), whose lines are `apart` values from each other, and VECTORS vectors of a
// panel (inner, PANEL): written over `out`, whose lines have `columns` values, or added to it.
template <int rows>
inline void multiply_lines(const float* left, long apart, const float* panel, float* out, long inner, long columns,
                           bool add) {
  Lanes sums[rows][VECTORS] = {};
  for (long k = 0; k < inner; k++) {
    Lanes right[VECTORS];
    for (int v = 0; v < VECTORS; v++) right[v] = load(panel + k * PANEL + v * LANES);
    for (int row = 0; row < rows; row++)
      for (int v = 0; v < VECTORS; v++) sums[row][v] += left[row * apart + k] * right[v];
  }
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < VECTORS; v++) {
      float* to = out + row * columns + v * LANES;
      store(to, add ? load(to) + sums[row][v] : sums[row][v]);
    }
}

// (rows, inner) x (inner, columns); columns: a multiple of PANEL.
inline void multiply(const float* left, long apart, const float* panels, float* out, long rows, long inner,
                     long columns, bool add) {
  for (long column = 0; column < columns; column += VECTORS * LANES) {
    const float* panel = panels + column / PANEL * PANEL * inner + column % PANEL;
    long row = 0;
    auto lines = [&](auto multiply_some, int count) {
      for (; row + count <= rows; row += count)
        multiply_some(left + row * apart, apart, panel, out + row * columns + column, inner, columns, add);
    };
    lines(multiply_lines<ROWS>, ROWS);
    lines(multiply_lines<2>, 2);
    lines(multiply_lines<1>, 1);
  }
}
