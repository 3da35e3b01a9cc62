// The three passes over maps that Winograd's F(4 x 4, 3 x 3) needs around its matrix products; see winograd.py.
//
// Maps are float (N, H, W, C), C contiguous; tiles are float (36, T, C) with T = N ceil(H/4) ceil(W/4). What a tile
// reaches beyond the map counts as zero and is not written.

#include <algorithm>
#include <cstring>

namespace {

constexpr int LANES = 16;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

struct Place {  // of a tile: the map it lies in and its first row and column
  long map, row, column;
};

Place place_of(long tile, long high, long wide) {
  return {tile / (high * wide), tile / wide % high * 4, tile % wide * 4};
}

Lanes load(const float* from, long lanes) {
  Lanes found = {};
  std::memcpy(&found, from, lanes * sizeof(float));
  return found;
}

void store(float* to, Lanes value, long lanes) { std::memcpy(to, &value, lanes * sizeof(float)); }

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

// A square of FROM x FROM values through a one-dimensional transform to TO, along columns and then along rows.
template <int FROM, int TO, void transform(const Lanes*, Lanes*)>
void both_ways(const Lanes (&square)[FROM][FROM], Lanes (&out)[TO][TO]) {
  Lanes down[TO][FROM];
  for (int column = 0; column < FROM; column++) {
    Lanes from[FROM], to[TO];
    for (int row = 0; row < FROM; row++) from[row] = square[row][column];
    transform(from, to);
    for (int row = 0; row < TO; row++) down[row][column] = to[row];
  }
  for (int row = 0; row < TO; row++) transform(down[row], out[row]);
}

// From maps to tiles: SIDE x SIDE pixels that begin at `first` (-1 or 0) from the tile's corner.
template <int SIDE, void transform(const Lanes*, Lanes*)>
void to_tiles(const float* maps, float* tiles, long count, long height, long width, long channels, long first) {
  long high = (height + 3) / 4, wide = (width + 3) / 4, total = count * high * wide;
#pragma omp parallel for schedule(static)
  for (long tile = 0; tile < total; tile++) {
    Place at = place_of(tile, high, wide);
    for (long channel = 0; channel < channels; channel += LANES) {
      long lanes = std::min<long>(LANES, channels - channel);
      Lanes pixels[SIDE][SIDE], out[6][6];
      for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
          long row = at.row + first + i, column = at.column + first + j;
          bool inside = row >= 0 && row < height && column >= 0 && column < width;
          const float* pixel = maps + ((at.map * height + row) * width + column) * channels + channel;
          pixels[i][j] = !inside ? Lanes{} : lanes == LANES ? load(pixel, LANES) : load(pixel, lanes);
        }
      both_ways<SIDE, 6, transform>(pixels, out);
      for (int point = 0; point < 36; point++) {
        float* to = tiles + (point * total + tile) * channels + channel;
        lanes == LANES ? store(to, out[point / 6][point % 6], LANES) : store(to, out[point / 6][point % 6], lanes);
      }
    }
  }
}

}  // namespace

extern "C" {

void input_tiles(const float* maps, float* tiles, long count, long height, long width, long channels) {
  to_tiles<6, of_input>(maps, tiles, count, height, width, channels, -1);
}

void output_gradient_tiles(const float* maps, float* tiles, long count, long height, long width, long channels) {
  to_tiles<4, of_output_gradient>(maps, tiles, count, height, width, channels, 0);
}

void output_maps(const float* tiles, float* maps, long count, long height, long width, long channels) {
  long high = (height + 3) / 4, wide = (width + 3) / 4, total = count * high * wide;
#pragma omp parallel for schedule(static)
  for (long tile = 0; tile < total; tile++) {
    Place at = place_of(tile, high, wide);
    for (long channel = 0; channel < channels; channel += LANES) {
      long lanes = std::min<long>(LANES, channels - channel);
      Lanes products[6][6], out[4][4];
      for (int point = 0; point < 36; point++) {
        const float* from = tiles + (point * total + tile) * channels + channel;
        products[point / 6][point % 6] = lanes == LANES ? load(from, LANES) : load(from, lanes);
      }
      both_ways<6, 4, of_output>(products, out);
      for (long i = 0; i < std::min<long>(4, height - at.row); i++)
        for (long j = 0; j < std::min<long>(4, width - at.column); j++) {
          float* to = maps + ((at.map * height + at.row + i) * width + at.column + j) * channels + channel;
          lanes == LANES ? store(to, out[i][j], LANES) : store(to, out[i][j], lanes);
        }
    }
  }
}
}
