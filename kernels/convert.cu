// Kernel that turns numbers of a type that Candle has not into ones of a type that it has: FROM into TO, shifted
// left by SHIFT. Compiled with KERNEL (its name), FROM, TO and SHIFT defined. Any grid.
#include "base.cuh"

extern "C" __global__ void KERNEL(const FROM* __restrict__ input, TO* __restrict__ output, u64 count) {
    const u64 stride = static_cast<u64>(gridDim.x) * blockDim.x;
    for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
        output[i] = static_cast<TO>(static_cast<TO>(input[i]) * (1 << SHIFT));
}
