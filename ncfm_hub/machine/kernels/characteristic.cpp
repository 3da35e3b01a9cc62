// Empirical characteristic functions: products with frequencies, cosines and sines, means over samples; see
// characteristic.py. PANEL frequencies at a time, whose phases stay in a core's own cache from one pass to the next.

#include <algorithm>
#include <cmath>
#include <vector>

#include "product.h"

namespace {

constexpr long INNER = 256, SAMPLES = 171 * ROWS;  // so many features and samples at once fit that cache
typedef int Ints __attribute__((vector_size(LANES * sizeof(int)), aligned(4)));

// Rows of a matrix, `apart` values from each other, as the columns of a panel (inner, PANEL); zeros beyond `rows`.
void turn(const float* from, long apart, long rows, long inner, float* panel) {
  constexpr long GROUP = 8;  // rows, whose lines of cache stay in the nearest one
  for (long row = 0; row < PANEL; row += GROUP)
    for (long k = 0; k < inner; k++)
      for (long one = row; one < row + GROUP; one++)
        panel[k * PANEL + one] = one < rows ? from[one * apart + k] : 0;
}

// Cosine and sine by polynomials within an eighth of a turn around multiples of a quarter. The three parts of pi / 2 add
// up to it so exactly that |x| < NEAR keeps the precision of fp32.
constexpr float NEAR = 1e5f, TURNS = 0.636619772f, PI_2[3] = {1.57079637e0f, -4.37113883e-8f, -1.71512489e-15f};

void cosine_and_sine(Lanes x, Lanes& cosine, Lanes& sine) {
  constexpr float ROUND = 1.5f * (1 << 23);  // adding it leaves no room for a fraction
  Lanes shifted = x * TURNS + ROUND, turns = shifted - ROUND;
  Ints quarter = (Ints)shifted;  // its last bits
  Lanes r = x - turns * PI_2[0];
  r = r - turns * PI_2[1];
  r = r - turns * PI_2[2];
  Lanes z = r * r;
  Lanes of_sine = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
  Lanes of_cosine = 1 - z / 2 + z * z * (4.166664568e-2f + z * (-1.388731625e-3f + z * 2.443315712e-5f));
  Ints odd = (quarter & 1) != 0;
  cosine = (Lanes)((Ints)(odd ? of_sine : of_cosine) ^ (((quarter + 1) & 2) << 30));
  sine = (Lanes)((Ints)(odd ? of_cosine : of_sine) ^ ((quarter & 2) << 30));
}

bool all_near(const float* phases, long count) {
  bool far = false;
  for (long i = 0; i < count; i++) far |= !(std::abs(phases[i]) < NEAR);
  return !far;
}

// Adds those of a vector's phases (rows, PANEL) to `cosines` and `sines`.
void add_up(const float* phases, long rows, bool near, Lanes& cosines, Lanes& sines) {
  for (long row = 0; row < rows; row++) {
    Lanes phase = load(phases + row * PANEL), cosine, sine;
    if (near) {
      cosine_and_sine(phase, cosine, sine);
    } else {
      for (long lane = 0; lane < LANES; lane++) {
        cosine[lane] = std::cos(phase[lane]);
        sine[lane] = std::sin(phase[lane]);
      }
    }
    cosines += cosine;
    sines += sine;
  }
}

}  // namespace

extern "C" {

// features (sets, samples, inner), frequencies (count, inner) -> real and imaginary (sets, count)
void characteristic(const float* features, const float* frequencies, long sets, long samples, long inner, long count,
                    float* real, float* imaginary) {
#pragma omp parallel
  {
    std::vector<float> panel(INNER * PANEL), phases(std::min(samples, SAMPLES) * PANEL);
#pragma omp for schedule(static)
    for (long first = 0; first < count; first += PANEL)
      for (long set = 0; set < sets; set++) {
        Lanes cosines[PANEL / LANES] = {}, sines[PANEL / LANES] = {};
        for (long sample = 0; sample < samples; sample += SAMPLES) {
          long rows = std::min(SAMPLES, samples - sample);
          for (long k = 0; k < inner; k += INNER) {
            long some = std::min(INNER, inner - k);
            turn(frequencies + first * inner + k, inner, count - first, some, panel.data());
            multiply(features + (set * samples + sample) * inner + k, inner, panel.data(), phases.data(), rows, some,
                     PANEL, k > 0);
          }
          bool near = all_near(phases.data(), rows * PANEL);
          for (long v = 0; v < PANEL / LANES; v++)
            add_up(&phases[v * LANES], rows, near, cosines[v], sines[v]);
        }
        for (long v = 0; v < PANEL / LANES && first + v * LANES < count; v++) {
          long to = set * count + first + v * LANES, lanes = std::min(LANES, count - first - v * LANES);
          store(real + to, cosines[v] / float(samples), lanes);
          store(imaginary + to, sines[v] / float(samples), lanes);
        }
      }
  }
}
}
