// Kernel of the `raw` method, whose units are in the chunk as they are. A warp copies a chunk. Compiled with KERNEL
// (its name) defined.
#include "base.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS)
    KERNEL(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, const Item* __restrict__ items,
           Report* __restrict__ reports, u32) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    each_chunk(item, chunks, reports, [&](const Chunk* of) {
        const Chunk chunk = *of;
        const u8* from = input_of(tensor.input) + chunk.input;
        u8* to = output_of(tensor.output) + chunk.output;
        const u64 bytes = static_cast<u64>(chunk.units) * tensor.unit_bytes;
        u32 status = STATUS_OK;
        note(status, bytes != chunk.bytes, STATUS_LENGTH);
        if (status == STATUS_OK) {
            const u64 vectors = aligned(to, 16) ? bytes / 16 : 0;
            for (u64 k = lane_of_thread(); k < vectors; k += WARP)
                store(to + 16 * k, load<uint4>(from + 16 * k));
            for (u64 k = 16 * vectors + lane_of_thread(); k < bytes; k += WARP) to[k] = load<u8>(from + k);
        }
        return status;
    });
}
