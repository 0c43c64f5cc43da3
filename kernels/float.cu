// Kernel of the `float` method: floats of STORED_BYTES bytes are in the file, ones of OUT_BYTES come out. RAW_BITS:
// the raw bits of every unit in all chunks, with MANTISSA_BITS of the mantissa in a token and tables of MAX_PROB_BITS
// that fit shared memory; 0 for any. Compiled with KERNEL (its name) and these defined.
#include "float.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS, RAW_BITS > 0 ? 2 : 1)
    KERNEL(const Tensor* __restrict__ tensors, const Chunk* __restrict__ chunks, const Item* __restrict__ items,
           Report* __restrict__ reports, u32 table_room) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
#if RAW_BITS > 0
    load_tables(input_of(tensor.tables), tensor.contexts << MAX_PROB_BITS);
    const SharedTables tables = {};
#else
    const AnyTables tables = place_tables(tensor.tables, tensor.contexts << tensor.prob, tensor.prob, table_room);
#endif
    decode_float<STORED_BYTES, OUT_BYTES, RAW_BITS, MANTISSA_BITS>(tables, table_room, tensor, chunks, item, reports);
}
