// Types that Candle has not, as ones that it has: the same numbers. Grid-stride loops over `count` numbers.
#include "base.cuh"

#define CONVERT(name, from, to, expression)                                                              \
    extern "C" __global__ void name(const from* __restrict__ input, to* __restrict__ output, u64 count) { \
        const u64 stride = static_cast<u64>(gridDim.x) * blockDim.x;                                      \
        for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {   \
            const from x = input[i];                                                                      \
            output[i] = static_cast<to>(expression);                                                      \
        }                                                                                                 \
    }

// U16 to U32.
CONVERT(wcodec_u32_of_u16, u16, u32, x)
// I8 to I16.
CONVERT(wcodec_i16_of_i8, signed char, short, x)
// F8_E5M2 to F16, of which it is the upper byte.
CONVERT(wcodec_f16_of_f8_e5m2, u8, u16, x << 8)
