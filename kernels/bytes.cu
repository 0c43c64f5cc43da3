// Kernel of the `bytes` method, for units of UNIT_BYTES bytes. Compiled with KERNEL (its name) and UNIT_BYTES defined.
#include "bytes.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS)
    KERNEL(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, const Item* __restrict__ items,
           Report* __restrict__ reports, u32 table_room) {
    decode_bytes<UNIT_BYTES>(tensors, chunks, items, reports, table_room);
}
