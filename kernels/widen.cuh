// Wide floats of narrow ones, by bits: subnormals, signed zeros and every NaN payload are covered.
#pragma once
#include "base.cuh"

// F32 bits of F16 bits.
__device__ __forceinline__ u32 f32_of_f16(u32 half) {
    u32 sign = half >> 15 << 31, exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
    if (exponent == 31) return sign | 0xffu << 23 | mantissa << 13;
    if (exponent != 0) return sign | (exponent + 112) << 23 | mantissa << 13;
    if (mantissa == 0) return sign;
    // Subnormal: the leading bit becomes the implicit one.
    u32 shift = __clz(mantissa) - 21;
    return sign | (113 - shift) << 23 | (mantissa << (13 + shift) & 0x7fffff);
}

// F64 bits of F32 bits.
__device__ __forceinline__ u64 f64_of_f32(u32 single) {
    u64 sign = static_cast<u64>(single >> 31) << 63, exponent = single >> 23 & 0xff, mantissa = single & 0x7fffff;
    if (exponent == 255) return sign | 0x7ffull << 52 | mantissa << 29;
    if (exponent != 0) return sign | (exponent + 896) << 52 | mantissa << 29;
    if (mantissa == 0) return sign;
    u32 shift = __clz(static_cast<u32>(mantissa)) - 8;
    return sign | static_cast<u64>(897 - shift) << 52 | (mantissa << (29 + shift) & ((1ull << 52) - 1));
}

// A float of STORED bytes as one of OUT bytes.
template <u32 STORED, u32 OUT>
__device__ __forceinline__ u64 widen(u64 value, u32 how) {
    if constexpr (STORED == OUT) return value;
    if constexpr (STORED == 2) {
        u32 half = static_cast<u32>(value);
        return how == WIDEN_F16 ? f32_of_f16(half) : half << 16;
    }
    if constexpr (STORED == 4) return f64_of_f32(static_cast<u32>(value));
    return value;
}
