// Kernels of the methods `raw`, whose units are in the chunk as they are, and `constant`, whose units are one.
// A warp writes a chunk.
#include "base.cuh"

#define PLAIN_PARAMETERS                                                                                  \
    const Tensor *__restrict__ tensors, const Chunk *__restrict__ chunks, const Item *__restrict__ items, \
        u32 *__restrict__ statuses, u32

extern "C" __global__ void __launch_bounds__(MAX_THREADS) wcodec_raw(PLAIN_PARAMETERS) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    for (u32 i = warp_of_thread(); i < item.count; i += warps_of_block()) {
        const Chunk chunk = chunks[item.first + i];
        const u8* from = input_of(tensor.input) + chunk.input;
        u8* to = output_of(tensor.output) + chunk.output;
        const u64 bytes = static_cast<u64>(chunk.units) * tensor.unit_bytes;
        u32 status = STATUS_OK;
        note(status, bytes != chunk.bytes, STATUS_LENGTH);
        if (status == STATUS_OK) {
            const u64 vectors = aligned(to, 16) ? bytes / 16 : 0;
            for (u64 k = lane_of_thread(); k < vectors; k += WARP)
                reinterpret_cast<uint4*>(to)[k] = load<uint4>(from + 16 * k);
            for (u64 k = 16 * vectors + lane_of_thread(); k < bytes; k += WARP) to[k] = load<u8>(from + k);
        }
        if (lane_of_thread() == 0) statuses[item.first + i] = status;
    }
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS) wcodec_constant(PLAIN_PARAMETERS) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    // The unit, repeated to 8 bytes.
    u64 unit = tensor.values;
    for (u32 bits = 8 * tensor.unit_bytes; bits < 64; bits *= 2) unit |= unit << bits;
    const u32 low = static_cast<u32>(unit), high = static_cast<u32>(unit >> 32);
    for (u32 i = warp_of_thread(); i < item.count; i += warps_of_block()) {
        const Chunk chunk = chunks[item.first + i];
        u8* to = output_of(tensor.output) + chunk.output;
        const u64 bytes = static_cast<u64>(chunk.units) * tensor.unit_bytes;
        const u64 vectors = aligned(to, 16) ? bytes / 16 : 0;
        const uint4 four = {low, high, low, high};
        for (u64 k = lane_of_thread(); k < vectors; k += WARP) reinterpret_cast<uint4*>(to)[k] = four;
        for (u64 k = 16 * vectors + lane_of_thread(); k < bytes; k += WARP)
            to[k] = static_cast<u8>(unit >> 8 * (k % tensor.unit_bytes));
        if (lane_of_thread() == 0) statuses[item.first + i] = STATUS_OK;
    }
}
