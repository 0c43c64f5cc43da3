// Inverse 8-point transforms of lifting steps, modulo 2^64.
#pragma once
#include "base.cuh"

// M(m, x) of the specification: m x / 2^14, rounded to nearest.
__device__ __forceinline__ i64 scaled(i64 value, i64 multiplier) {
    const u64 product = static_cast<u64>(value) * static_cast<u64>(multiplier);
    return static_cast<i64>(product + (1u << (LIFTING_BITS - 1))) >> LIFTING_BITS;
}

__device__ __forceinline__ void subtract(i64& from, i64 what) {
    from = static_cast<i64>(static_cast<u64>(from) - static_cast<u64>(what));
}

template <u32 COUNT>
__device__ __forceinline__ void inverse(const Rotation (&rotations)[COUNT], const Output (&outputs)[8], i64 (&v)[8]) {
    i64 c[8];
#pragma unroll
    for (u32 k = 0; k < 8; ++k) c[k] = v[k];
#pragma unroll
    for (u32 k = 0; k < 8; ++k) v[outputs[k].element] = outputs[k].negate ? static_cast<i64>(0 - static_cast<u64>(c[k])) : c[k];
#pragma unroll
    for (u32 step = COUNT; step-- > 0;) {
        const u32 a = rotations[step].a, b = rotations[step].b;
        subtract(v[a], scaled(v[b], rotations[step].outer));
        subtract(v[b], scaled(v[a], rotations[step].inner));
        subtract(v[a], scaled(v[b], rotations[step].outer));
    }
}

__device__ __forceinline__ void inverse(u32 transform, i64 (&v)[8]) {
    // Tables as constants here: every index is known, and the vector stays in registers.
    constexpr Rotation DCT[] = DCT_ROTATIONS, ADST[] = ADST_ROTATIONS;
    constexpr Output DCT_OUT[8] = DCT_OUTPUTS, ADST_OUT[8] = ADST_OUTPUTS;
    if (transform == TRANSFORM_DCT) inverse(DCT, DCT_OUT, v);
    else inverse(ADST, ADST_OUT, v);
}
