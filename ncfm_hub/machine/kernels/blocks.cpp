// Parts of a ConvNet's block, image after image so that what one pass writes the next finds in the cache; see blocks.py.
//
// Maps are float (N, H, W, C), C contiguous. Of one image: `scale` and `shift` are (C,), with normalised =
// (x - mean) / deviation, affine instance norm = x scale + shift. Pooling halves, rounding down: what is left over has
// no gradient from above.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "lanes.h"

namespace {

constexpr long WIDE = 4 * LANES, HALF = 2 * LANES, EIGHT = 8, TAPS = 32;

struct Norm {  // the parameters of an affine instance norm
  const float *weight, *bias;
  float epsilon;
};

void statistics(const float* x, long pixels, long channels, float epsilon, float* mean, float* inverse) {
  std::memset(mean, 0, channels * sizeof(float));
  std::memset(inverse, 0, channels * sizeof(float));
  for (long p = 0; p < pixels; p++)
    for (long c = 0; c < channels; c++) mean[c] += x[p * channels + c];
  for (long c = 0; c < channels; c++) mean[c] /= pixels;
  for (long p = 0; p < pixels; p++)
    for (long c = 0; c < channels; c++) {
      float apart = x[p * channels + c] - mean[c];
      inverse[c] += apart * apart;
    }
  for (long c = 0; c < channels; c++) inverse[c] = 1 / std::sqrt(inverse[c] / pixels + epsilon);
}

// Instance norm, ReLU and 2 x 2 average pooling of one image.
void norm_relu_pool(const float* x, long height, long width, long channels, Norm norm, const float* mean,
                    const float* inverse, float* pooled) {
  std::vector<float> scale(channels), shift(channels);
  for (long c = 0; c < channels; c++) {
    scale[c] = norm.weight[c] * inverse[c];
    shift[c] = norm.bias[c] - mean[c] * scale[c];
  }
  const float *by = scale.data(), *plus = shift.data();
  for (long i = 0; i < height / 2; i++)
    for (long j = 0; j < width / 2; j++) {
      const float* upper = x + (2 * i * width + 2 * j) * channels;
      const float* lower = upper + width * channels;
      float* out = pooled + (i * (width / 2) + j) * channels;
#pragma omp simd
      for (long c = 0; c < channels; c++) {
        float one = upper[c] * by[c] + plus[c], two = upper[c + channels] * by[c] + plus[c];
        float three = lower[c] * by[c] + plus[c], four = lower[c + channels] * by[c] + plus[c];
        one = one > 0 ? one : 0;
        two = two > 0 ? two : 0;
        three = three > 0 ? three : 0;
        four = four > 0 ? four : 0;
        out[c] = ((one + two) + (three + four)) / 4;
      }
    }
}

// The way back; of_x may be x itself. of_weight and of_bias are this image's part of the parameters' gradients.
void norm_relu_pool_back(const float* x, float* of_x, const float* gradient, long height, long width, long channels,
                         Norm norm, const float* mean, const float* inverse, float* of_weight, float* of_bias) {
  std::memset(of_weight, 0, channels * sizeof(float));
  std::memset(of_bias, 0, channels * sizeof(float));
  for (long i = 0; i < height / 2 * 2; i++)
    for (long c = 0; c < channels; c += LANES) {  // one vector of channels along a line, sums in registers
      long lanes = std::min(LANES, channels - c);
      Lanes average = load(mean + c, lanes), scale = load(norm.weight + c, lanes) * load(inverse + c, lanes);
      Lanes plus = load(norm.bias + c, lanes), sums = {}, products = {};
      const float *pixel = x + i * width * channels + c, *above = gradient + i / 2 * (width / 2) * channels + c;
      for (long j = 0; j < width / 2 * 2; j++) {
        Lanes apart = load(pixel + j * channels, lanes) - average;
        Lanes passed = apart * scale + plus > 0 ? load(above + j / 2 * channels, lanes) : Lanes{};
        sums += passed;
        products += passed * apart;
      }
      store(of_bias + c, load(of_bias + c, lanes) + sums / 4, lanes);
      store(of_weight + c, load(of_weight + c, lanes) + products * load(inverse + c, lanes) / 4, lanes);
    }
  float part = 1.0f / (height * width);
  for (long i = 0; i < height; i++)
    for (long c = 0; c < channels; c += LANES) {
      long lanes = std::min(LANES, channels - c);
      Lanes average = load(mean + c, lanes), scale = load(norm.weight + c, lanes) * load(inverse + c, lanes);
      Lanes plus = load(norm.bias + c, lanes), fixed = part * scale * load(of_bias + c, lanes);
      Lanes slope = part * scale * load(inverse + c, lanes) * load(of_weight + c, lanes), quarter = scale / 4;
      const float *pixel = x + i * width * channels + c, *above = gradient + i / 2 * (width / 2) * channels + c;
      float* out = of_x + i * width * channels + c;
      long alive = i / 2 < height / 2 ? width / 2 * 2 : 0;  // pooling has left out the rest
      for (long j = 0; j < width; j++) {
        Lanes apart = load(pixel + j * channels, lanes) - average, passed = {};
        if (j < alive) passed = apart * scale + plus > 0 ? quarter * load(above + j / 2 * channels, lanes) : Lanes{};
        store(out + j * channels, passed - (fixed + apart * slope), lanes);
      }
    }
}

// Pixels of a framed line: one before the image's and after, and what makes them whole groups.
long line_pixels(long width) { return (width + EIGHT - 1) / EIGHT * EIGHT + 2; }

// An image with a frame of zeros: (height + 2, line_pixels, channels).
void framed(const float* image, long height, long width, long channels, float* out) {
  long line = line_pixels(width) * channels;
  std::memset(out, 0, (height + 2) * line * sizeof(float));
  for (long i = 0; i < height; i++)
    std::memcpy(out + (i + 1) * line + channels, image + i * width * channels, width * channels * sizeof(float));
}

// Means of the first convolution's maps: of each tap's view of the image, and those through the weights. A tap sees of
// every line the same pixels, whichever of the three lines above each other it belongs to.
void means_of_maps(const float* frame, const float* weights, long height, long width, long channels, long out,
                   float* mean) {
  long line = line_pixels(width) * channels, run = 3 * channels;
  std::vector<float> lines((height + 2) * run);
  for (long i = 0; i < height + 2; i++)
    for (long j = 0; j < width; j++)
      for (long k = 0; k < run; k++) lines[i * run + k] += frame[i * line + j * channels + k];
  std::memset(mean, 0, out * sizeof(float));
  for (long row = 0; row < 3; row++)
    for (long k = 0; k < run; k++) {
      float sum = 0;
      for (long i = 0; i < height; i++) sum += lines[(i + row) * run + k];
      for (long o = 0; o < out; o++) mean[o] += sum / (height * width) * weights[(row * run + k) * out + o];
    }
}

// The first convolution, of few channels, its means taken away: weights (3, 3, CHANNELS, out), out a multiple of HALF.
// The squares of what comes out are added to `squares` (out) unless it is null.
template <long CHANNELS>
void convolution_of(const float* frame, const float* weights, const float* mean, long height, long width, long out,
                    float* maps, float* squares) {
  constexpr long run = 3 * CHANNELS;
  long line = line_pixels(width) * CHANNELS;
  for (long i = 0; i < height; i++)
    for (long j = 0; j < width; j += EIGHT)
      for (long o = 0; o < out; o += HALF) {
        Lanes sums[EIGHT][2];
        for (long v = 0; v < 2; v++)
          for (long p = 0; p < EIGHT; p++) sums[p][v] = -load(mean + o + v * LANES);
        for (long row = 0; row < 3; row++)
#pragma GCC unroll 9
          for (long k = 0; k < run; k++) {
            const float* from = frame + (i + row) * line + j * CHANNELS + k;
            const float* tap = weights + (row * run + k) * out + o;
            for (long v = 0; v < 2; v++) {
              Lanes weight = load(tap + v * LANES);
              for (long p = 0; p < EIGHT; p++) sums[p][v] += from[p * CHANNELS] * weight;
            }
          }
        Lanes squared[2] = {};
        for (long p = 0; p < EIGHT; p++) {
          if (j + p >= width) break;
          for (long v = 0; v < 2; v++) {
            store(maps + (i * width + j + p) * out + o + v * LANES, sums[p][v]);
            squared[v] += sums[p][v] * sums[p][v];
          }
        }
        for (long v = 0; squares && v < 2; v++)
          store(squares + o + v * LANES, load(squares + o + v * LANES) + squared[v]);
      }
}

void few_channels(const float* frame, const float* weights, const float* mean, long height, long width, long channels,
                  long out, float* maps, float* squares) {
  auto convolution = channels == 1 ? convolution_of<1> : channels == 2 ? convolution_of<2> : convolution_of<3>;
  convolution(frame, weights, mean, height, width, out, maps, squares);
}

// Gradient of the first convolution's weights, added up line after line while a line is in the nearest cache.
void few_channels_weights(const float* frame, const float* gradient, long height, long width, long channels, long out,
                          float* of_weights) {
  long line = line_pixels(width) * channels, run = 3 * channels;
  std::memset(of_weights, 0, 3 * run * out * sizeof(float));
  for (long i = 0; i < height; i++)
    for (long row = 0; row < 3; row++)
      for (long k = 0; k < run; k += 3)
        for (long o = 0; o < out; o += WIDE) {
          Lanes sums[3][4] = {};
          for (long j = 0; j < width; j++) {
            const float* from = frame + (i + row) * line + j * channels + k;
            const float* above = gradient + (i * width + j) * out + o;
            for (long v = 0; v < 4; v++) {
              Lanes part = load(above + v * LANES);
              for (long t = 0; t < 3; t++) sums[t][v] += from[t] * part;
            }
          }
          for (long t = 0; t < 3; t++)
            for (long v = 0; v < 4; v++) {
              float* to = of_weights + (row * run + k + t) * out + o + v * LANES;
              store(to, load(to) + sums[t][v]);
            }
        }
}

// Gradient of the image under the first convolution: weights turned to (out, TAPS), zeros beyond the 9 channels' taps.
void few_channels_image(const float* gradient, const float* turned, long height, long width, long channels, long out,
                        float* frame, float* of_image) {
  long line = line_pixels(width) * channels, run = 3 * channels;
  std::memset(frame, 0, (height + 2) * line * sizeof(float));
  for (long i = 0; i < height; i++)
    for (long j = 0; j < width; j += EIGHT) {
      const float* above[EIGHT];
      for (long p = 0; p < EIGHT; p++) above[p] = gradient + (i * width + std::min(j + p, width - 1)) * out;
      Lanes sums[EIGHT][2] = {};
      for (long o = 0; o < out; o++) {
        Lanes first = load(turned + o * TAPS), second = load(turned + o * TAPS + LANES);
        for (long p = 0; p < EIGHT; p++) {
          sums[p][0] += above[p][o] * first;
          sums[p][1] += above[p][o] * second;
        }
      }
      for (long p = 0; p < EIGHT; p++) {
        if (j + p >= width) break;
        float taps[TAPS];
        store(taps, sums[p][0]);
        store(taps + LANES, sums[p][1]);
        for (long row = 0; row < 3; row++)
          for (long k = 0; k < run; k++) frame[(i + row) * line + (j + p) * channels + k] += taps[row * run + k];
      }
    }
  for (long i = 0; i < height; i++)
    std::memcpy(of_image + i * width * channels, frame + (i + 1) * line + channels, width * channels * sizeof(float));
}

}  // namespace

extern "C" {

// pooled (N, H/2, W/2, C), mean and inverse (N, C)
void pool_forward(const float* x, const float* weight, const float* bias, double epsilon, long count, long height,
                  long width, long channels, float* pooled, float* mean, float* inverse) {
  Norm norm = {weight, bias, static_cast<float>(epsilon)};
#pragma omp parallel for schedule(static)
  for (long n = 0; n < count; n++) {
    const float* image = x + n * height * width * channels;
    statistics(image, height * width, channels, norm.epsilon, mean + n * channels, inverse + n * channels);
    norm_relu_pool(image, height, width, channels, norm, mean + n * channels, inverse + n * channels,
                   pooled + n * (height / 2) * (width / 2) * channels);
  }
}

// of_weight and of_bias (N, C), each image's part
void pool_backward(const float* gradient, const float* x, const float* weight, const float* bias, const float* mean,
                   const float* inverse, long count, long height, long width, long channels, float* of_x,
                   float* of_weight, float* of_bias) {
  Norm norm = {weight, bias, 0};
#pragma omp parallel for schedule(static)
  for (long n = 0; n < count; n++) {
    long first = n * height * width * channels;
    norm_relu_pool_back(x + first, of_x + first, gradient + n * (height / 2) * (width / 2) * channels, height, width,
                        channels, norm, mean + n * channels, inverse + n * channels, of_weight + n * channels,
                        of_bias + n * channels);
  }
}

// images (N, H, W, channels), weights (3, 3, channels, out) -> as pool_forward, of their convolution
void first_forward(const float* images, const float* weights, const float* weight, const float* bias, double epsilon,
                  long count, long height, long width, long channels, long out, float* pooled, float* mean,
                  float* inverse) {
  Norm norm = {weight, bias, static_cast<float>(epsilon)};
#pragma omp parallel
  {
    std::vector<float> frame((height + 2) * line_pixels(width) * channels), maps(height * width * out), zeros(out);
#pragma omp for schedule(static)
    for (long n = 0; n < count; n++) {
      float *average = mean + n * out, *squares = inverse + n * out;
      framed(images + n * height * width * channels, height, width, channels, frame.data());
      means_of_maps(frame.data(), weights, height, width, channels, out, average);
      std::memset(squares, 0, out * sizeof(float));
      few_channels(frame.data(), weights, average, height, width, channels, out, maps.data(), squares);
      for (long o = 0; o < out; o++) squares[o] = 1 / std::sqrt(squares[o] / (height * width) + norm.epsilon);
      norm_relu_pool(maps.data(), height, width, out, norm, zeros.data(), squares,
                     pooled + n * (height / 2) * (width / 2) * out);
    }
  }
}

// of_weights (N, 3, 3, channels, out), of_weight and of_bias (N, out), of_images (N, H, W, channels) unless null
void first_backward(const float* images, const float* gradient, const float* weights, const float* turned,
                   const float* weight, const float* bias, const float* mean, const float* inverse, long count,
                   long height, long width, long channels, long out, float* of_weights, float* of_weight,
                   float* of_bias, float* of_images) {
  Norm norm = {weight, bias, 0};
#pragma omp parallel
  {
    std::vector<float> frame((height + 2) * line_pixels(width) * channels), maps(height * width * out), zeros(out);
#pragma omp for schedule(static)
    for (long n = 0; n < count; n++) {
      framed(images + n * height * width * channels, height, width, channels, frame.data());
      few_channels(frame.data(), weights, mean + n * out, height, width, channels, out, maps.data(), nullptr);
      norm_relu_pool_back(maps.data(), maps.data(), gradient + n * (height / 2) * (width / 2) * out, height, width, out, norm,
                          zeros.data(), inverse + n * out, of_weight + n * out, of_bias + n * out);
      if (of_weights)
        few_channels_weights(frame.data(), maps.data(), height, width, channels, out,
                             of_weights + n * 9 * channels * out);
      if (of_images)
        few_channels_image(maps.data(), turned, height, width, channels, out, frame.data(),
                           of_images + n * height * width * channels);
    }
  }
}
}
