// Parts of a ConvNet's block, image after image so that what one pass writes the next finds in the cache; see blocks.py.
//
// Maps are float (N, H, W, C), C contiguous. Of one image: `scale` and `shift` are (C,), with normalised =
// (x - mean) / deviation, affine instance norm = x scale + shift. Pooling halves, rounding down: what is left over has
// no gradient from above.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

constexpr long LANES = 16, WIDE = 4 * LANES, TOGETHER = 4, TAPS = 32;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

Lanes load(const float* from) { return *reinterpret_cast<const Lanes*>(from); }
void store(float* to, Lanes value) { *reinterpret_cast<Lanes*>(to) = value; }

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

// Instance norm, ReLU and 2 x 2 average pooling of one image; keeps what the way back needs.
void norm_relu_pool(const float* x, long height, long width, long channels, Norm norm, float* mean, float* inverse,
                    float* pooled) {
  statistics(x, height * width, channels, norm.epsilon, mean, inverse);
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
    for (long j = 0; j < width / 2 * 2; j++) {
      const float* pixel = x + (i * width + j) * channels;
      const float* above = gradient + (i / 2 * (width / 2) + j / 2) * channels;
#pragma omp simd
      for (long c = 0; c < channels; c++) {
        float normalised = (pixel[c] - mean[c]) * inverse[c];
        float passed = normalised * norm.weight[c] + norm.bias[c] > 0 ? above[c] / 4 : 0;
        of_bias[c] += passed;
        of_weight[c] += passed * normalised;
      }
    }
  float part = 1.0f / (height * width);
  for (long i = 0; i < height; i++)
    for (long j = 0; j < width; j++) {
      const float* pixel = x + (i * width + j) * channels;
      float* out = of_x + (i * width + j) * channels;
      float alive = i / 2 < height / 2 && j / 2 < width / 2 ? 0.25f : 0;
      const float* above = alive ? gradient + (i / 2 * (width / 2) + j / 2) * channels : of_bias;  // any place to read
#pragma omp simd
      for (long c = 0; c < channels; c++) {
        float normalised = (pixel[c] - mean[c]) * inverse[c];
        float passed = normalised * norm.weight[c] + norm.bias[c] > 0 ? above[c] * alive : 0;
        out[c] = norm.weight[c] * inverse[c] * (passed - part * (of_bias[c] + normalised * of_weight[c]));
      }
    }
}

// An image with a frame of zeros one pixel wide: (height + 2, width + 2, channels).
void framed(const float* image, long height, long width, long channels, float* out) {
  long line = (width + 2) * channels;
  std::memset(out, 0, (height + 2) * line * sizeof(float));
  for (long i = 0; i < height; i++)
    std::memcpy(out + (i + 1) * line + channels, image + i * width * channels, width * channels * sizeof(float));
}

// The first convolution, of few channels: weights (3, 3, channels, out), out a multiple of WIDE.
void few_channels(const float* frame, const float* weights, long height, long width, long channels, long out,
                  float* maps) {
  long line = (width + 2) * channels, run = 3 * channels;
  for (long i = 0; i < height; i++)
    for (long j = 0; j < width; j += TOGETHER) {
      long some = std::min(TOGETHER, width - j);
      for (long o = 0; o < out; o += WIDE) {
        Lanes sums[TOGETHER][4] = {};
        for (long row = 0; row < 3; row++)
          for (long k = 0; k < run; k++) {
            const float* from = frame + (i + row) * line + j * channels + k;
            const float* tap = weights + (row * run + k) * out + o;
            for (long v = 0; v < 4; v++) {
              Lanes weight = load(tap + v * LANES);
              for (long p = 0; p < TOGETHER; p++) sums[p][v] += from[p < some ? p * channels : 0] * weight;
            }
          }
        for (long p = 0; p < some; p++)
          for (long v = 0; v < 4; v++) store(maps + ((i * width + j + p) * out) + o + v * LANES, sums[p][v]);
      }
    }
}

// Gradient of the first convolution's weights, added up line after line while a line is in the nearest cache.
void few_channels_weights(const float* frame, const float* gradient, long height, long width, long channels, long out,
                          float* of_weights) {
  long line = (width + 2) * channels, run = 3 * channels;
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
  long line = (width + 2) * channels, run = 3 * channels;
  std::memset(frame, 0, (height + 2) * line * sizeof(float));
  for (long i = 0; i < height; i++)
    for (long j = 0; j < width; j += TOGETHER) {
      long some = std::min(TOGETHER, width - j);
      Lanes sums[TOGETHER][2] = {};
      for (long o = 0; o < out; o++) {
        Lanes first = load(turned + o * TAPS), second = load(turned + o * TAPS + LANES);
        for (long p = 0; p < TOGETHER; p++) {
          float above = gradient[(i * width + j + (p < some ? p : 0)) * out + o];
          sums[p][0] += above * first;
          sums[p][1] += above * second;
        }
      }
      for (long p = 0; p < some; p++) {
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
  for (long n = 0; n < count; n++)
    norm_relu_pool(x + n * height * width * channels, height, width, channels, norm, mean + n * channels,
                   inverse + n * channels, pooled + n * (height / 2) * (width / 2) * channels);
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
    std::vector<float> frame((height + 2) * (width + 2) * channels + LANES), maps(height * width * out);
#pragma omp for schedule(static)
    for (long n = 0; n < count; n++) {
      framed(images + n * height * width * channels, height, width, channels, frame.data());
      few_channels(frame.data(), weights, height, width, channels, out, maps.data());
      norm_relu_pool(maps.data(), height, width, out, norm, mean + n * out, inverse + n * out,
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
    std::vector<float> frame((height + 2) * (width + 2) * channels + LANES), maps(height * width * out);
#pragma omp for schedule(static)
    for (long n = 0; n < count; n++) {
      framed(images + n * height * width * channels, height, width, channels, frame.data());
      few_channels(frame.data(), weights, height, width, channels, out, maps.data());
      norm_relu_pool_back(maps.data(), maps.data(), gradient + n * (height / 2) * (width / 2) * out, height, width, out, norm,
                          mean + n * out, inverse + n * out, of_weight + n * out, of_bias + n * out);
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
