// Kernels of the `tiles` method, and of `tiled-levels` for floats of OUT_BYTES bytes. Compiled with KERNEL (its name) and
// OUT_BYTES (0 for `tiles`) defined.
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS)
    KERNEL(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, const Item* __restrict__ items,
           Report* __restrict__ reports, u32 table_room) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    const AnyTables tables = place_tables(tensor.tables, tensor.contexts << tensor.prob, tensor.prob, table_room);
    const u32 ring = table_room + RING_BYTES * warp_of_thread();
    const u32 values = table_room + RING_BYTES * warps_of_block() + VALUES * sizeof(i64) * warp_of_thread();
    each_chunk(item, chunks, reports, [&](const Chunk* of) {
        const Chunk chunk = *of;
        const u32 rows = chunk.units / tensor.width, across = (tensor.width + tensor.tile_width - 1) / tensor.tile_width;
        const u32 down = (rows + tensor.tile_height - 1) / tensor.tile_height;
        TilesChunk<OUT_BYTES> job = {tensor, chunk, tables, input_of(tensor.input) + chunk.input,
                          output_of(tensor.output) + chunk.output, output_of(tensor.scratch) + chunk.scratch,
                          reinterpret_cast<i64*>(shared_bytes() + values), Units(tensor), rows, tensor.width, across,
                          across * down, {}, 0};
        u32 status = STATUS_OK;
        job.decode(ring, status);
        return status;
    });
}
