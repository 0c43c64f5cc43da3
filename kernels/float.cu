// Kernels of the `float` method. `wcodec_float_S_O`: floats of S bits are stored, floats of O bits come out; any
// split. `wcodec_float_S_O_R`: with R raw bits a unit in all chunks, and tables that fit shared memory.
#include "float.cuh"

#define FLOAT_PARAMETERS                                                                                        \
    const Tensor *__restrict__ tensors, const Chunk *__restrict__ chunks, const Item *__restrict__ items,       \
        u32 *__restrict__ statuses, u32 table_room

#define ANY_FLOAT(name, stored, out)                                                                            \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS) name(FLOAT_PARAMETERS) {                          \
        const Item item = items[blockIdx.x];                                                                    \
        const Tensor tensor = tensors[item.tensor];                                                             \
        const AnyTables tables = place_tables(tensor.tables, tensor.contexts << tensor.prob, tensor.prob, table_room); \
        decode_float<stored, out, 0>(tables, table_room, tensor, chunks, item, statuses);                       \
    }

#define SPLIT_FLOAT(name, stored, raw)                                                                          \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 2) name(FLOAT_PARAMETERS) {                       \
        const Item item = items[blockIdx.x];                                                                    \
        const Tensor tensor = tensors[item.tensor];                                                             \
        load_tables(input_of(tensor.tables), tensor.contexts << tensor.prob);                                   \
        decode_float<stored, stored, raw>(SharedTables{tensor.prob}, table_room, tensor, chunks, item, statuses); \
    }

ANY_FLOAT(wcodec_float_8_8, 1, 1)
ANY_FLOAT(wcodec_float_16_16, 2, 2)
ANY_FLOAT(wcodec_float_16_32, 2, 4)
ANY_FLOAT(wcodec_float_32_32, 4, 4)
ANY_FLOAT(wcodec_float_32_64, 4, 8)
ANY_FLOAT(wcodec_float_64_64, 8, 8)

// BF16 with 2 and 3 mantissa bits in the token; F16 likewise; F32 with 2.
SPLIT_FLOAT(wcodec_float_16_16_6, 2, 6)
SPLIT_FLOAT(wcodec_float_16_16_5, 2, 5)
SPLIT_FLOAT(wcodec_float_16_16_9, 2, 9)
SPLIT_FLOAT(wcodec_float_16_16_8, 2, 8)
SPLIT_FLOAT(wcodec_float_32_32_22, 4, 22)
