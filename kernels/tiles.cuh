// Tiles, of any method that has them. A warp decodes a chunk:
//
//   chunk     states 128 | words | raw bits
//   sections  a symbol a tile: its predictor | a symbol a tile: its transforms | a symbol a unit
//
// Units of a tile gather in shared memory; then 32 lanes transform up to 4 blocks of 8 columns, and predict the
// rows of the tile as a wave: lane y does column x in step x + y. With OUT > 0 the tile's elements are levels, and floats
// of OUT bytes come out.
#pragma once
#include "levels.cuh"
#include "lifting.cuh"
#include "rans.cuh"
#include "units.cuh"

struct Tile {
    u32 row, column, height, width;
};

template <u32 OUT>
struct TilesChunk {
    const Tensor& tensor;
    const Chunk& chunk;
    const AnyTables& tables;
    const u8* input;
    u8* output;
    u8* modes;    // two bytes a tile, global memory: predictor and transforms
    i64* values;  // VALUES of them, shared memory: coded values, by unit modulo VALUES
    Units units;
    u32 rows, columns, across, tiles;
    Stream stream;
    u32 ready;  // steps until words must be asked for again

    __device__ __forceinline__ u32 step(u32 context) {
        if (ready == 0) {
            stream.begin_group();
            ready = GROUP / WARP;
        }
        --ready;
        const u32 entry = tables.look_up(context, stream.state);
        stream.advance(entry, tables.prob);
        return entry & 0xff;
    }

    // Tile `index`.
    __device__ __forceinline__ Tile tile_at(u32 index) const {
        const u32 row = index / across * tensor.tile_height, column = index % across * tensor.tile_width;
        const u32 down = rows - row, right = columns - column;
        return {row, column, down < tensor.tile_height ? down : tensor.tile_height,
                right < tensor.tile_width ? right : tensor.tile_width};
    }

    // Transform of a block of a tile: a digit of base 3.
    __device__ __forceinline__ static u32 transform_of(u32 transforms, u32 block) {
        for (; block > 0; --block) transforms /= 3;
        return transforms % 3;
    }

    // Context of unit `unit` of the chunk.
    __device__ __forceinline__ u32 context_of(u32 unit) const {
        const u32 band = tensor.tile_height * columns, down = unit / band, in_band = unit % band;
        const u32 left = rows - down * tensor.tile_height;
        const u32 height = left < tensor.tile_height ? left : tensor.tile_height;
        u32 right = in_band / (height * tensor.tile_width);
        if (right >= across) right = across - 1;
        const u32 within = in_band - right * height * tensor.tile_width, index = down * across + right;
        const u32 width = tile_at(index).width, y = within / width, x = within % width;
        const u32 transforms = modes[2 * index + 1];
        if (y / 8 < height / 8 && x / 8 < width / 8 && transform_of(transforms, y / 8 * (width / 8) + x / 8) != 0) {
            const u32 frequency = y % 8 + x % 8;
            return COEFFICIENT_CONTEXTS >> 4 * frequency & 15;
        }
        return modes[2 * index] == 0 ? CONTEXT_PLAIN : CONTEXT_RESIDUAL;
    }

    __device__ void read_modes(u32& status) {
        for (u32 part = 0; part < 2; ++part) {
            for (u32 first = 0; first < tiles; first += WARP) {
                const u32 index = first + lane_of_thread();
                const u32 symbol = step(part == 1 && index < tiles ? CONTEXT_TRANSFORMS : CONTEXT_PREDICTOR);
                if (index < tiles) modes[2 * index + part] = static_cast<u8>(symbol);
            }
        }
        __syncwarp();
        // The first tile with a problem, and which it is.
        u32 worst = ~0u;
        for (u32 index = lane_of_thread(); index < tiles; index += WARP) {
            const Tile tile = tile_at(index);
            u32 most = 1;
            for (u32 block = 0; block < tile.height / 8 * (tile.width / 8); ++block) most *= 3;
            const bool predictor = modes[2 * index] > PREDICTOR_LAST, transforms = modes[2 * index + 1] >= most;
            const u32 problem = 2 * index + !predictor;
            if ((predictor || transforms) && problem < worst) worst = problem;
        }
        for (u32 by = WARP / 2; by > 0; by /= 2) {
            const u32 other = __shfl_xor_sync(ALL_LANES, worst, by);
            worst = other < worst ? other : worst;
        }
        note(status, worst != ~0u, worst % 2 == 0 ? STATUS_PREDICTOR : STATUS_TRANSFORMS);
    }

    // Decodes the next 32 units, from `first` on, into `values`. `at`: bits of the raw stream that are used up.
    __device__ __forceinline__ void read_units(u32 first, const u8* raw, u32& at, bool& cut) {
        const u32 unit = first + lane_of_thread();
        const bool live = unit < chunk.units;
        const u32 context = live ? context_of(unit) : CONTEXT_PREDICTOR;
        const u32 symbol = step(context), count = live ? units.raw_bits(context, symbol) : 0;
        // Raw bits before this lane's.
        u32 sum = count;
        for (u32 by = 1; by < WARP; by *= 2) {
            const u32 before = __shfl_up_sync(ALL_LANES, sum, by);
            if (lane_of_thread() >= by) sum += before;
        }
        const u32 from = at + sum - count;
        at += __shfl_sync(ALL_LANES, sum, WARP - 1);
        const bool there = from + count <= 8 * chunk.extra;
        cut |= !there;
        const i64 value = live ? units.value(context, symbol, there ? bits_of(raw, chunk.extra, from, count) : 0) : 0;
        values[unit % VALUES] = value;
    }

    // Undoes the transforms of a tile's blocks; its first unit is `first`.
    __device__ __forceinline__ void transform(const Tile& tile, u32 first, u32 transforms) {
        const u32 wide = tile.width / 8, block = lane_of_thread() / 8, j = lane_of_thread() % 8;
        const u32 how = block < wide * (tile.height / 8) ? transform_of(transforms, block) : 0;
        const u32 corner = wide > 0 ? first + block / wide * 8 * tile.width + block % wide * 8 : first;
        // Columns, then rows.
        for (u32 pass = 0; pass < 2; ++pass) {
            const u32 from = corner + (pass == 0 ? j : j * tile.width), stride = pass == 0 ? tile.width : 1;
            if (how != 0) {
                i64 v[8];
#pragma unroll
                for (u32 i = 0; i < 8; ++i) v[i] = values[(from + i * stride) % VALUES];
                inverse(how, v);
#pragma unroll
                for (u32 i = 0; i < 8; ++i) values[(from + i * stride) % VALUES] = v[i];
            }
            __syncwarp();
        }
    }

    // Turns signed residuals into elements.
    __device__ __forceinline__ void predict(const Tile& tile, u32 first, u32 predictor) {
        const u32 y = lane_of_thread();
        u64 last = 0, above = 0;
        for (u32 wave = 0; wave < tile.width + tile.height - 1; ++wave) {
            const u64 corner = above, left = last;
            above = __shfl_up_sync(ALL_LANES, last, 1);
            const u32 x = wave - y;
            if (y < tile.height && x < tile.width) {
                i64& place = values[(first + y * tile.width + x) % VALUES];
                u64 prediction;
                if (predictor == 0 || (x == 0 && y == 0)) prediction = units.middle();
                else if (y == 0) prediction = left;
                else if (x == 0) prediction = above;
                else if (predictor == PREDICTOR_LEFT) prediction = left;
                else if (predictor == PREDICTOR_TOP) prediction = above;
                else if (predictor == PREDICTOR_AVERAGE) prediction = (left & above) + ((left ^ above) >> 1);
                else prediction = left + above - corner;
                last = static_cast<u64>(place) + prediction & units.mask();
                place = static_cast<i64>(last);
            }
        }
        __syncwarp();
    }

    __device__ __forceinline__ void store(const Tile& tile, u32 first) const {
        for (u32 i = lane_of_thread(); i < tile.height * tile.width; i += WARP) {
            const u64 element = static_cast<u64>(values[(first + i) % VALUES]);
            const u32 at = (tile.row + i / tile.width) * columns + tile.column + i % tile.width;
            if constexpr (OUT > 0) {
                store_weight<OUT>(tensor, chunk, output, at, static_cast<i32>(units.centred(element)));
            } else {
                const u64 pattern = units.pattern(element);
                u8* to = output + static_cast<u64>(at) * tensor.unit_bytes;
                for (u32 k = 0; k < tensor.unit_bytes; ++k) to[k] = static_cast<u8>(pattern >> 8 * k);
            }
        }
        // Their places are for units to come.
        __syncwarp();
    }

    __device__ void decode(u32 ring, u32& status) {
        note(status, static_cast<u64>(chunk.extra) + STATES_BYTES > chunk.bytes, STATUS_PARTS);
        if (status != STATUS_OK) return;
        const u32 words_bytes = chunk.bytes - chunk.extra - STATES_BYTES;
        const u8* raw = input + STATES_BYTES + words_bytes;
        stream.begin(input, words_bytes, ring);
        ready = 0;
        read_modes(status);
        if (status != STATUS_OK) return;
        u32 decoded = 0, first = 0, at = 0;
        bool cut = false;
        for (u32 index = 0; index < tiles; ++index) {
            const Tile tile = tile_at(index);
            const u32 end = first + tile.height * tile.width;
            for (; decoded < end; decoded += WARP) read_units(decoded, raw, at, cut);
            __syncwarp();
            if (modes[2 * index + 1] != 0) transform(tile, first, modes[2 * index + 1]);
            predict(tile, first, modes[2 * index]);
            store(tile, first);
            first = end;
        }
        stream.end(words_bytes, status);
        note(status, __any_sync(ALL_LANES, stream.seed() != 0), STATUS_CODER_SEEDS);
        note(status, __any_sync(ALL_LANES, cut), STATUS_RAW_CUT);
        if (status != STATUS_OK) return;
        const u32 left = 8 * chunk.extra - at;
        note(status, left >= 8 || bits_of(raw, chunk.extra, at, left) != 0, STATUS_RAW_END);
    }
};
