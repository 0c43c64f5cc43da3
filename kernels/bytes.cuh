// The `bytes` method: every byte of a unit is a plane.
//
//   chunk    lengths of segments, 4 bytes each (units of several bytes only) | segments, a plane each
//   segment  a stream | bytes as they are | nothing
//
// A warp decodes a chunk, all planes of a group of 256 units before the next group, so that whole units are
// stored.
#pragma once
#include "rans.cuh"
#include "scale.cuh"

template <u32 WIDTH>
struct BytesChunk {
    const Tensor& tensor;
    const Chunk& chunk;
    const AnyTables& tables;
    const u8* input;
    u8* output;
    u32 buffer;  // shared memory: a group of units; before it, with scale steps, a group of contexts
    u32 ring;

    // The ranges of the planes' segments.
    __device__ __forceinline__ void segments(u32 (&at)[WIDTH], u32 (&bytes)[WIDTH], u32& status) const {
        if constexpr (WIDTH == 1) {
            at[0] = 0;
            bytes[0] = chunk.bytes;
        } else {
            u64 next = round_up(4 * WIDTH, 16);
            note(status, next > chunk.bytes, STATUS_LENGTHS);
            if (status != STATUS_OK) return;
#pragma unroll
            for (u32 plane = 0; plane < WIDTH; ++plane) {
                at[plane] = static_cast<u32>(next);
                bytes[plane] = load<u32>(input + 4 * plane);
                next += bytes[plane];
                note(status, next > chunk.bytes, STATUS_SEGMENT);
                if (status != STATUS_OK) return;
            }
            note(status, next != chunk.bytes, STATUS_SEGMENTS);
        }
    }

    __device__ __forceinline__ u32 kind(u32 plane) const { return tensor.kinds >> 8 * plane & 0xff; }
    __device__ __forceinline__ u32 value(u32 plane) const { return tensor.values >> 8 * plane & 0xff; }

    // Problems of planes come in their order, so each is noted when its plane ends; those of its length first.
    __device__ __forceinline__ bool sound(u32 plane, u32 at, u32 bytes, u32& problem) const {
        problem = STATUS_OK;
        switch (kind(plane)) {
            case KIND_CODED:
                note(problem, bytes < STATES_BYTES, STATUS_PLANE);
                // What is before a plane that is not aligned has a problem of its own.
                note(problem, at % 16 != 0, STATUS_PLANE);
                break;
            case KIND_RAW: note(problem, bytes != round_up(chunk.units, 16), STATUS_RAW); break;
            default: note(problem, bytes != 0, STATUS_CONSTANT);
        }
        return problem == STATUS_OK;
    }

    __device__ __forceinline__ void write_contexts(u32 group, const Scale& scale) const {
        const u8* classes = input_of(tensor.classes);
        u8* to = shared_bytes() + buffer;
#pragma unroll 1
        for (u32 within = lane_of_thread(); within < GROUP; within += WARP) {
            const u32 unit = group * GROUP + within;
            to[within] = unit < chunk.units ? load<u8>(classes + scale.of(unit)) : 0;
        }
    }

    // As `write_contexts`, for full groups of a matrix of whole eights.
    __device__ __forceinline__ void write_eight_contexts(u32 group, const Scale& scale) const {
        const u8* classes = input_of(tensor.classes);
        const Eight steps = Place::of(scale, group * GROUP + 8 * lane_of_thread()).load_steps(scale).sum();
        u32 contexts[2] = {0, 0};
#pragma unroll
        for (u32 i = 0; i < 8; ++i) contexts[i / 4] |= load<u8>(classes + steps.byte(i)) << i % 4 * 8;
        *reinterpret_cast<uint2*>(shared_bytes() + buffer + 8 * lane_of_thread()) = {contexts[0], contexts[1]};
    }

    // Writes a group's units, which are in shared memory.
    __device__ __forceinline__ void store(u32 group, u32 count, bool vectors) const {
        const u8* from = shared_bytes() + buffer;
        u8* to = output + static_cast<u64>(group) * GROUP * WIDTH;
        const u32 bytes = count * WIDTH;
        if (vectors && count == GROUP) {
            for (u32 i = 8 * lane_of_thread(); i < bytes; i += 8 * WARP)
                ::store(to + i, *reinterpret_cast<const uint2*>(from + i));
        } else {
            for (u32 i = lane_of_thread(); i < bytes; i += WARP) to[i] = from[i];
        }
    }

    __device__ __forceinline__ void decode(u32& status) const {
        u32 at[WIDTH] = {}, bytes[WIDTH] = {}, problems[WIDTH];
        segments(at, bytes, status);
        if (status != STATUS_OK) return;
        Stream streams[WIDTH];
        bool runs[WIDTH];
#pragma unroll
        for (u32 plane = 0; plane < WIDTH; ++plane) {
            runs[plane] = sound(plane, at[plane], bytes[plane], problems[plane]) && kind(plane) == KIND_CODED;
            if (runs[plane])
                streams[plane].begin(input + at[plane], bytes[plane] - STATES_BYTES, ring + plane * RING_BYTES);
        }
        const Scale scale(tensor, chunk);
        // Contexts and symbols take turns in one place: only units of one byte have contexts.
        const bool scaled = WIDTH == 1 && scale.width > 0;
        const bool vectors = aligned(output, 8);
        const u32 groups = (chunk.units + GROUP - 1) / GROUP;
        const u32 symbols = WIDTH == 1 ? buffer : buffer + GROUP * WIDTH;
        for (u32 group = 0; group < groups; ++group) {
            const u32 left = chunk.units - group * GROUP, count = left < GROUP ? left : GROUP;
            u8* to = shared_bytes() + buffer;
#pragma unroll
            for (u32 plane = 0; plane < WIDTH; ++plane) {
                if (runs[plane]) {
                    if (scaled && count == GROUP && scale.whole) write_eight_contexts(group, scale);
                    else if (scaled) write_contexts(group, scale);
                    if (count < GROUP) decode_part(tables_of(plane), streams[plane], scaled, symbols, count);
                    else if (scaled) decode_group<true>(tables_of(plane), streams[plane], symbols);
                    else decode_group<false>(tables_of(plane), streams[plane], symbols);
                }
                const u8* raw = input + at[plane] + group * GROUP;
                for (u32 i = lane_of_thread(); i < count; i += WARP) {
                    u32 byte = value(plane);
                    if (runs[plane]) byte ^= shared_bytes()[symbols + i];
                    else if (kind(plane) == KIND_RAW) byte = problems[plane] == STATUS_OK ? load<u8>(raw + i) : 0;
                    to[i * WIDTH + plane] = static_cast<u8>(byte);
                }
                // The next plane's symbols go where these were.
                __syncwarp();
            }
            store(group, count, vectors);
            __syncwarp();
        }
#pragma unroll
        for (u32 plane = 0; plane < WIDTH; ++plane) {
            if (runs[plane]) {
                streams[plane].end(bytes[plane] - STATES_BYTES, problems[plane]);
                note(problems[plane], __any_sync(ALL_LANES, streams[plane].seed() != 0), STATUS_CODER_SEEDS);
            }
            note(status, problems[plane] != STATUS_OK, problems[plane]);
        }
    }

    // Tables of a plane, one plane's after the other's.
    __device__ __forceinline__ AnyTables tables_of(u32 plane) const {
        u32 coded = 0;
        for (u32 before = 0; before < plane; ++before) coded += kind(before) == KIND_CODED;
        return {tables.entries + (coded * tensor.contexts << tensor.prob), tensor.prob};
    }
};

template <u32 WIDTH>
__device__ __forceinline__ void decode_bytes(const Tensor* tensors, const Chunk* chunks, const Item* items, Report* reports,
                                             u32 table_room) {
    const Item item = items[blockIdx.x];
    const Tensor tensor = tensors[item.tensor];
    u32 coded = 0;
    for (u32 plane = 0; plane < WIDTH; ++plane) coded += (tensor.kinds >> 8 * plane & 0xff) == KIND_CODED;
    const AnyTables tables = place_tables(tensor.tables, coded * tensor.contexts << tensor.prob, tensor.prob, table_room);
    const u32 ring = table_room + WIDTH * RING_BYTES * warp_of_thread();
    const u32 room = WIDTH == 1 ? GROUP : GROUP * (WIDTH + 1);
    const u32 buffer = table_room + WIDTH * RING_BYTES * warps_of_block() + room * warp_of_thread();
    each_chunk(item, chunks, reports, [&](const Chunk* of) {
        const Chunk chunk = *of;
        const BytesChunk<WIDTH> job = {tensor, chunk, tables, input_of(tensor.input) + chunk.input,
                                       output_of(tensor.output) + chunk.output, buffer, ring};
        u32 status = STATUS_OK;
        job.decode(status);
        return status;
    });
}
