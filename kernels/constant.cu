// Kernel of the `constant` method, whose units are all one. A warp writes a chunk. Compiled with KERNEL (its name)
// defined.
#include "base.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS)
    KERNEL(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, const Item* __restrict__ items,
           Report* __restrict__ reports, u32) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    // The unit, repeated to 8 bytes.
    u64 unit = tensor.values;
    for (u32 bits = 8 * tensor.unit_bytes; bits < 64; bits *= 2) unit |= unit << bits;
    const u32 low = static_cast<u32>(unit), high = static_cast<u32>(unit >> 32);
    each_chunk(item, chunks, reports, [&](const Chunk* of) {
        const Chunk chunk = *of;
        u8* to = output_of(tensor.output) + chunk.output;
        const u64 bytes = static_cast<u64>(chunk.units) * tensor.unit_bytes;
        const u64 vectors = aligned(to, 16) ? bytes / 16 : 0;
        const uint4 four = {low, high, low, high};
        for (u64 k = lane_of_thread(); k < vectors; k += WARP) store(to + 16 * k, four);
        for (u64 k = 16 * vectors + lane_of_thread(); k < bytes; k += WARP)
            to[k] = static_cast<u8>(unit >> 8 * (k % tensor.unit_bytes));
        return STATUS_OK;
    });
}
