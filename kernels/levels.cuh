// The `levels` method: integers times a factor a row and a factor a column, in floats that hold every product.
//
//   chunk   states 128 | words | escapes
//
// A warp decodes a chunk; the context of a level is a class of its scale step, as with units of one byte.
#pragma once
#include "rans.cuh"
#include "scale.cuh"

// The number that a BF16 is: factors are.
__device__ __forceinline__ float factor_of(u32 bf16) { return __uint_as_float(bf16 << 16); }

// To the nearest F16, ties to even; infinite above its range.
__device__ __forceinline__ u32 f16_of_f32(float value) {
    const u32 bits = __float_as_uint(value), magnitude = bits & 0x7fffffff;
    // Below the normal ones, a sum whose unit is theirs rounds as it must.
    const u32 small = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - __float_as_uint(0.5f);
    const u32 normal = (magnitude + (0xfff + (magnitude >> 13 & 1))) - (112 << 23) >> 13;
    const u32 half = magnitude < 113 << 23 ? small : normal;
    return bits >> 16 & 0x8000 | (magnitude >= 143 << 23 ? 0x7c00 : half);
}

// The weight of a level as the bits of a float of OUT bytes, of F16 if `widen` says so. Of a symbol's level no product
// is rounded before the last, nor of any level if its factors come first.
template <u32 OUT>
__device__ __forceinline__ u32 weight_of(u32 widen, i32 level, float row, float column) {
    const float value = static_cast<float>(level) * (row * column);
    if constexpr (OUT == 4) return __float_as_uint(value);
    if (widen == WIDEN_F16) return f16_of_f32(value);
    const u32 bits = __float_as_uint(value);
    return bits + 0x7fff + (bits >> 16 & 1) >> 16;
}

// Writes the weight of a level as unit `unit` of a chunk.
template <u32 OUT>
__device__ __forceinline__ void store_weight(const Tensor& tensor, const Chunk& chunk, u8* output, u32 unit, i32 level) {
    const u32 across = chunk.column + unit, row = chunk.row + across / tensor.step_columns;
    const u32 factor = load<u16>(input_of(tensor.row_factors) + 2 * static_cast<u64>(row));
    const u32 column = load<u16>(input_of(tensor.column_factors) + 2 * (across % tensor.step_columns));
    const u32 bits = weight_of<OUT>(tensor.widen, level, factor_of(factor), factor_of(column));
    u8* to = output + static_cast<u64>(OUT) * unit;
#pragma unroll
    for (u32 i = 0; i < OUT; ++i) to[i] = static_cast<u8>(bits >> 8 * i);
}

template <u32 OUT>
struct LevelsChunk {
    const Tensor& tensor;
    const Chunk& chunk;
    const AnyTables& tables;
    const u8* input;
    u8* output;
    u32 buffer;  // shared memory: a group of contexts, then of symbols

    // The level of a symbol: twice the magnitude, and 1 for those below 0.
    __device__ __forceinline__ static i32 level_of(u8 symbol) {
        const i32 magnitude = symbol >> 1;
        return symbol & 1 ? -magnitude : magnitude;
    }

    __device__ __forceinline__ void store_unit(u32 unit, i32 level) const {
        store_weight<OUT>(tensor, chunk, output, unit, level);
    }

    // Escapes follow the words, at a multiple of 4 if the chunk is one that decodes.
    __device__ __forceinline__ u32 escape(u32 at, u32 i) const {
        const u8* from = input + at + 4 * i;
        return load<u8>(from) | load<u8>(from + 1) << 8 | load<u8>(from + 2) << 16 | load<u8>(from + 3) << 24;
    }

    __device__ __forceinline__ void check_escapes(u32 at, u32& status) const {
        bool bad = false;
#pragma unroll 1
        for (u32 i = lane_of_thread(); i < chunk.extra; i += WARP) {
            const u32 position = escape(at, i) % (1u << LEVEL_POSITION_BITS);
            bad |= position >= chunk.units;
            bad |= i > 0 && position <= escape(at, i - 1) % (1u << LEVEL_POSITION_BITS);
        }
        note(status, __any_sync(ALL_LANES, bad), STATUS_ESCAPES);
    }

    // Eight units of a full group in a matrix of whole eights.
    __device__ __forceinline__ void store_eight(u32 unit, const Place& place) const {
        const float row = factor_of(load<u16>(input_of(tensor.row_factors) + 2 * static_cast<u64>(place.row)));
        const uint4 four = load<uint4>(input_of(tensor.column_factors) + 2 * place.column);
        const u32 pairs[4] = {four.x, four.y, four.z, four.w};
        const u8* symbols = shared_bytes() + buffer + 8 * lane_of_thread();
        u32 out[2 * OUT] = {};
#pragma unroll
        for (u32 i = 0; i < 8; ++i) {
            const float column = factor_of(pairs[i / 2] >> i % 2 * 16 & 0xffff);
            const u32 bits = weight_of<OUT>(tensor.widen, level_of(symbols[i]), row, column);
            out[i * OUT / 4] |= bits << i * OUT % 4 * 8;
        }
        u8* to = output + OUT * unit;
        store(to, uint4{out[0], out[1], out[2], out[3]});
        if constexpr (OUT == 4) store(to + 16, uint4{out[4], out[5], out[6], out[7]});
    }

    __device__ __forceinline__ void write_contexts(u32 group, const Scale& scale) const {
        const u8* classes = input_of(tensor.classes);
#pragma unroll 1
        for (u32 within = lane_of_thread(); within < GROUP; within += WARP) {
            const u32 unit = group * GROUP + within;
            shared_bytes()[buffer + within] = unit < chunk.units ? load<u8>(classes + scale.of(unit)) : 0;
        }
    }

    __device__ __forceinline__ void decode(u32 ring, u32& status) const {
        note(status, STATES_BYTES + 4ull * chunk.extra > chunk.bytes, STATUS_PARTS);
        if (status != STATUS_OK) return;
        const u32 escapes_at = chunk.bytes - 4 * chunk.extra, words_bytes = escapes_at - STATES_BYTES;
        check_escapes(escapes_at, status);
        if (status != STATUS_OK) return;
        Stream stream;
        stream.begin(input, words_bytes, ring);
        const Scale scale(tensor, chunk);
        const u8* classes = input_of(tensor.classes);
        const bool vectors = scale.whole && aligned(output, 16);
        const u32 groups = (chunk.units + GROUP - 1) / GROUP;
        Place place = Place::of(scale, 8 * lane_of_thread());
#pragma unroll 1
        for (u32 group = 0; group < groups; ++group) {
            const u32 left = chunk.units - group * GROUP, count = left < GROUP ? left : GROUP;
            if (vectors && count == GROUP) {
                const Eight steps = place.load_steps(scale).sum();
                u32 contexts[2] = {0, 0};
#pragma unroll
                for (u32 i = 0; i < 8; ++i) contexts[i / 4] |= load<u8>(classes + steps.byte(i)) << i % 4 * 8;
                *reinterpret_cast<uint2*>(shared_bytes() + buffer + 8 * lane_of_thread()) = uint2{contexts[0], contexts[1]};
                decode_group<true, true>(tables, stream, buffer);
                store_eight(group * GROUP + 8 * lane_of_thread(), place);
                place.next_group(scale.width);
            } else {
                write_contexts(group, scale);
                decode_part<true>(tables, stream, true, buffer, count);
#pragma unroll 1
                for (u32 i = lane_of_thread(); i < count; i += WARP)
                    store_unit(group * GROUP + i, level_of(shared_bytes()[buffer + i]));
            }
            __syncwarp();
        }
        stream.end(words_bytes, status);
        note(status, __any_sync(ALL_LANES, stream.seed() != 0), STATUS_CODER_SEEDS);
#pragma unroll 1
        for (u32 i = lane_of_thread(); i < chunk.extra; i += WARP) {
            const u32 word = escape(escapes_at, i);
            store_unit(word % (1u << LEVEL_POSITION_BITS), static_cast<i32>(word >> LEVEL_POSITION_BITS) - LEVEL_LIMIT);
        }
        __syncwarp();
    }
};
