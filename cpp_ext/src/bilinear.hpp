// Bilinear blends of four pixels at once: SSE2 and NEON, which every x86-64 and aarch64 has, and
// plain C++ elsewhere.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace clipgaze {

// Weights are integers that add up to 2^14, so that two of them times a byte fit 32 bits.
constexpr int kWeightOne = 1 << 14;

inline std::uint32_t load_u32(const std::uint8_t* address) {
    std::uint32_t value;
    std::memcpy(&value, address, sizeof(value));
    return value;
}

#if defined(__SSE2__)

/// [c0 c1 c2 -] of one pixel, times kWeightOne. Reads 6 bytes of each row, from `offset` on.
inline __m128 blend_pixel(const std::uint8_t* top, const std::uint8_t* bottom, int top_weights,
                          int bottom_weights) {
    const __m128i zero = _mm_setzero_si128();
    const auto row = [zero](const std::uint8_t* source, int weights) {
        const __m128i left = _mm_cvtsi32_si128(static_cast<int>(load_u32(source)));
        const __m128i right =
            _mm_srli_epi32(_mm_cvtsi32_si128(static_cast<int>(load_u32(source + 2))), 8);
        const __m128i pairs = _mm_unpacklo_epi8(_mm_unpacklo_epi8(left, right), zero);
        return _mm_madd_epi16(pairs, _mm_shuffle_epi32(_mm_cvtsi32_si128(weights), 0));
    };
    return _mm_cvtepi32_ps(_mm_add_epi32(row(top, top_weights), row(bottom, bottom_weights)));
}

/// Blends four pixels and writes value * scale[c] + bias[c] to planes[c][0..3].
inline void blend_four(const std::uint8_t* const* tops, std::ptrdiff_t row_stride,
                       const std::int32_t* top_weights, const std::int32_t* bottom_weights,
                       const float* scale, const float* bias, float* const* planes) {
    __m128 c0 = blend_pixel(tops[0], tops[0] + row_stride, top_weights[0], bottom_weights[0]);
    __m128 c1 = blend_pixel(tops[1], tops[1] + row_stride, top_weights[1], bottom_weights[1]);
    __m128 c2 = blend_pixel(tops[2], tops[2] + row_stride, top_weights[2], bottom_weights[2]);
    __m128 c3 = blend_pixel(tops[3], tops[3] + row_stride, top_weights[3], bottom_weights[3]);
    _MM_TRANSPOSE4_PS(c0, c1, c2, c3);
    const __m128 channels[3] = {c0, c1, c2};
    for (int c = 0; c < 3; ++c) {
        _mm_storeu_ps(planes[c], _mm_add_ps(_mm_mul_ps(channels[c], _mm_set1_ps(scale[c])),
                                            _mm_set1_ps(bias[c])));
    }
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

inline float32x4_t blend_pixel(const std::uint8_t* top, const std::uint8_t* bottom,
                               std::int32_t top_weights, std::int32_t bottom_weights) {
    const auto pair = [](std::uint32_t low, std::uint32_t high) {
        const std::uint64_t both = low | static_cast<std::uint64_t>(high) << 32;
        return vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(both)));
    };
    const int16x8_t left = pair(load_u32(top), load_u32(bottom));
    const int16x8_t right = pair(load_u32(top + 2) >> 8, load_u32(bottom + 2) >> 8);
    const auto low_half = [](std::int32_t pair) { return static_cast<std::int16_t>(pair); };
    const auto high_half = [](std::int32_t pair) { return static_cast<std::int16_t>(pair >> 16); };
    int32x4_t sum = vmull_n_s16(vget_low_s16(left), low_half(top_weights));
    sum = vmlal_n_s16(sum, vget_low_s16(right), high_half(top_weights));
    sum = vmlal_n_s16(sum, vget_high_s16(left), low_half(bottom_weights));
    sum = vmlal_n_s16(sum, vget_high_s16(right), high_half(bottom_weights));
    return vcvtq_f32_s32(sum);
}

inline void blend_four(const std::uint8_t* const* tops, std::ptrdiff_t row_stride,
                       const std::int32_t* top_weights, const std::int32_t* bottom_weights,
                       const float* scale, const float* bias, float* const* planes) {
    float32x4_t pixels[4];
    for (int i = 0; i < 4; ++i) {
        pixels[i] = blend_pixel(tops[i], tops[i] + row_stride, top_weights[i], bottom_weights[i]);
    }
    const float32x4x2_t low = vtrnq_f32(pixels[0], pixels[1]);
    const float32x4x2_t high = vtrnq_f32(pixels[2], pixels[3]);
    const float32x4_t channels[3] = {
        vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0])),
        vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1])),
        vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0])),
    };
    for (int c = 0; c < 3; ++c) {
        vst1q_f32(planes[c], vaddq_f32(vmulq_n_f32(channels[c], scale[c]), vdupq_n_f32(bias[c])));
    }
}

#else

inline void blend_four(const std::uint8_t* const* tops, std::ptrdiff_t row_stride,
                       const std::int32_t* top_weights, const std::int32_t* bottom_weights,
                       const float* scale, const float* bias, float* const* planes) {
    const auto low_half = [](std::int32_t pair) { return static_cast<std::int16_t>(pair); };
    const auto high_half = [](std::int32_t pair) { return static_cast<std::int16_t>(pair >> 16); };
    for (int i = 0; i < 4; ++i) {
        const std::uint8_t* top = tops[i];
        const std::uint8_t* bottom = tops[i] + row_stride;
        for (int c = 0; c < 3; ++c) {
            const int sum = top[c] * low_half(top_weights[i]) +
                            top[c + 3] * high_half(top_weights[i]) +
                            bottom[c] * low_half(bottom_weights[i]) +
                            bottom[c + 3] * high_half(bottom_weights[i]);
            planes[c][i] = static_cast<float>(sum) * scale[c] + bias[c];
        }
    }
}

#endif

}  // namespace clipgaze
