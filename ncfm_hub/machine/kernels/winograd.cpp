// Winograd's F(4 x 4, 3 x 3): the convolution, and the passes over maps that its weight gradient needs; see winograd.py.
//
// Maps are float (N, H, W, C), C contiguous; tiles are float (36, T, C) with T = N ceil(H/4) ceil(W/4). What a tile
// reaches beyond the map counts as zero and is not written.

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "product.h"

namespace {

struct Maps {
  long count, height, width, channels;
  long high() const { return (height + 3) / 4; }
  long wide() const { return (width + 3) / 4; }
  long tiles() const { return count * high() * wide(); }
  long pixel(long map, long row, long column) const { return ((map * height + row) * width + column) * channels; }
};

struct Place {  // of a tile: the map it lies in and its first row and column
  long map, row, column;
  Place(long tile, Maps of)
      : map(tile / (of.high() * of.wide())), row(tile / of.wide() % of.high() * 4), column(tile % of.wide() * 4) {}
};

// One-dimensional transforms at the points 0, A, -A, B, -B and infinity: the matrices B^T, A^T and A of the paper, their
// common parts computed once. With A B = 1 most of their entries are powers of A and B.

constexpr float A = 2.0f / 3, B = 3.0f / 2, A2 = A * A, B2 = B * B, A3 = A2 * A, B3 = B2 * B;

void of_input(const Lanes d[6], Lanes v[6]) {
  Lanes even_a = d[4] - B2 * d[2], odd_a = A * d[3] - B * d[1], even_b = d[4] - A2 * d[2], odd_b = B * d[3] - A * d[1];
  v[0] = d[0] - (A2 + B2) * d[2] + d[4];
  v[1] = even_a + odd_a;
  v[2] = even_a - odd_a;
  v[3] = even_b + odd_b;
  v[4] = even_b - odd_b;
  v[5] = d[1] - (A2 + B2) * d[3] + d[5];
}

void of_output(const Lanes m[6], Lanes y[4]) {
  Lanes even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + even_a + even_b;
  y[1] = A * odd_a + B * odd_b;
  y[2] = A2 * even_a + B2 * even_b;
  y[3] = A3 * odd_a + B3 * odd_b + m[5];
}

void of_output_gradient(const Lanes y[4], Lanes m[6]) {
  Lanes even_a = y[0] + A2 * y[2], odd_a = A * y[1] + A3 * y[3], even_b = y[0] + B2 * y[2], odd_b = B * y[1] + B3 * y[3];
  m[0] = y[0];
  m[1] = even_a + odd_a;
  m[2] = even_a - odd_a;
  m[3] = even_b + odd_b;
  m[4] = even_b - odd_b;
  m[5] = y[3];
}

// Both go through a one-dimensional transform along columns and then along rows.
//
// The points of a tile, each `apart` values from the one before it: of SIDE x SIDE pixels that begin at `first` (-1 or 0)
// from the tile's corner. Outside of the map they are `zeros` (C).
template <int SIDE, void transform(const Lanes*, Lanes*)>
void to_points(const float* maps, Maps size, Place at, long first, const float* zeros, float* points, long apart) {
  const float* from[SIDE][SIDE];
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      long row = at.row + first + i, column = at.column + first + j;
      bool inside = row >= 0 && row < size.height && column >= 0 && column < size.width;
      from[i][j] = inside ? maps + size.pixel(at.map, row, column) : zeros;
    }
  for (long channel = 0; channel < size.channels; channel += LANES) {
    long lanes = std::min<long>(LANES, size.channels - channel);
    Lanes down[6][SIDE], out[6];
    for (int column = 0; column < SIDE; column++) {
      Lanes pixels[SIDE];
      for (int i = 0; i < SIDE; i++) pixels[i] = load(from[i][column] + channel, lanes);
      transform(pixels, out);
      for (int i = 0; i < 6; i++) down[i][column] = out[i];
    }
    for (int row = 0; row < 6; row++) {
      transform(down[row], out);
      for (int i = 0; i < 6; i++) store(points + (6 * row + i) * apart + channel, out[i], lanes);
    }
  }
}

// The 4 x 4 pixels of a tile from its points.
void to_pixels(const float* points, long apart, float* maps, Maps size, Place at) {
  long rows = std::min<long>(4, size.height - at.row), columns = std::min<long>(4, size.width - at.column);
  for (long channel = 0; channel < size.channels; channel += LANES) {
    long lanes = std::min<long>(LANES, size.channels - channel);
    Lanes down[4][6], out[4];
    for (int column = 0; column < 6; column++) {
      Lanes products[6];
      for (int i = 0; i < 6; i++) products[i] = load(points + (6 * i + column) * apart + channel);
      of_output(products, out);
      for (int i = 0; i < 4; i++) down[i][column] = out[i];
    }
    for (long i = 0; i < rows; i++) {
      of_output(down[i], out);
      for (long j = 0; j < columns; j++)
        store(maps + size.pixel(at.map, at.row + i, at.column + j) + channel, out[j], lanes);
    }
  }
}

template <int SIDE, void transform(const Lanes*, Lanes*)>
void to_tiles(const float* maps, float* tiles, Maps size, long first) {
  long total = size.tiles();
  std::vector<float> zeros(size.channels);
#pragma omp parallel for schedule(static)
  for (long tile = 0; tile < total; tile++)
    to_points<SIDE, transform>(maps, size, Place(tile, size), first, zeros.data(), tiles + tile * size.channels,
                               total * size.channels);
}

// G g G^T of the kernels of LANES outputs from `first` on, into panels (36, columns / PANEL, C, PANEL), zeros beyond.
void kernel_points(const float* weight, const float* of_kernel, long channels, long outputs, long first,
                   float* panels) {
  long lanes = std::min(LANES, outputs - first), apart = channels * filled_up(outputs);
  for (long channel = 0; channel < channels; channel++) {
    Lanes taps[3][3] = {}, down[6][3];
    for (long lane = 0; lane < lanes; lane++)
      for (long tap = 0; tap < 9; tap++)
        taps[tap / 3][tap % 3][lane] = weight[((first + lane) * channels + channel) * 9 + tap];
    float* to = panels + first / PANEL * PANEL * channels + channel * PANEL + first % PANEL;
    for (long i = 0; i < 6; i++) {
      const float* row = of_kernel + 3 * i;
      for (long j = 0; j < 3; j++) down[i][j] = row[0] * taps[0][j] + row[1] * taps[1][j] + row[2] * taps[2][j];
    }
    for (long i = 0; i < 6; i++)
      for (long j = 0; j < 6; j++) {
        const float* row = of_kernel + 3 * j;
        store(to + (6 * i + j) * apart, row[0] * down[i][0] + row[1] * down[i][1] + row[2] * down[i][2]);
      }
  }
}

constexpr long CACHED = 250'000;  // values that a core's own cache holds: the points of some tiles, before and after

// How many tiles to take at once: whole groups of ROWS.
long tiles_at_once(long channels, long columns) {
  return std::max<long>(1, CACHED / (36 * (channels + columns) * ROWS)) * ROWS;
}

}  // namespace

extern "C" {

// weight: (outputs, C, 3, 3); of_kernel: G, (6, 3)
void convolve(const float* maps, const float* weight, const float* of_kernel, float* out, long count, long height,
              long width, long channels, long outputs) {
  Maps from{count, height, width, channels}, to{count, height, width, outputs};
  long total = from.tiles(), columns = filled_up(outputs), at_once = tiles_at_once(channels, columns);
  std::unique_ptr<float[]> panels(new float[36 * channels * columns]);
  std::vector<float> zeros(channels);
#pragma omp parallel
  {
    std::vector<float> before(36 * at_once * channels), after(36 * at_once * columns);
#pragma omp for schedule(static)
    for (long output = 0; output < columns; output += LANES)
      kernel_points(weight, of_kernel, channels, outputs, output, panels.get());
#pragma omp for schedule(static)
    for (long first = 0; first < total; first += at_once) {
      long tiles = std::min(at_once, total - first);
      for (long tile = 0; tile < tiles; tile++)
        to_points<6, of_input>(maps, from, Place(first + tile, from), -1, zeros.data(), &before[tile * channels],
                               at_once * channels);
      for (long point = 0; point < 36; point++)
        multiply(&before[point * at_once * channels], channels, &panels[point * channels * columns],
                 &after[point * at_once * columns], tiles, channels, columns, false);
      for (long tile = 0; tile < tiles; tile++)
        to_pixels(&after[tile * columns], at_once * columns, out, to, Place(first + tile, to));
    }
  }
}

void input_tiles(const float* maps, float* tiles, long count, long height, long width, long channels) {
  to_tiles<6, of_input>(maps, tiles, {count, height, width, channels}, -1);
}

void output_gradient_tiles(const float* maps, float* tiles, long count, long height, long width, long channels) {
  to_tiles<4, of_output_gradient>(maps, tiles, {count, height, width, channels}, 0);
}
}
