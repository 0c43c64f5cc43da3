// The `float` method: a warp decodes a chunk, group by group of 256 units.
//
//   chunk   states 128 | words | raw planes, the top piece first | escapes
//   group   32 lanes decode 8 symbols each (lane = unit % 32), through shared memory, then
//           32 lanes join runs of units each (8 of 2 bytes), and store 16 bytes
#pragma once
#include "float_parts.cuh"
#include "rans.cuh"
#include "scale.cuh"
#include "widen.cuh"

// Decodes a chunk of floats of STORED bytes into ones of OUT bytes. RAW: the raw bits of every unit, and MANTISSA
// the mantissa bits of its token, if they are known when this is compiled; else RAW is 0.
template <u32 STORED, u32 OUT, u32 RAW, u32 MANTISSA>
struct FloatChunk {
    // Units that a lane joins at once, one store of 16 bytes (8 of one byte), and how often that makes a group.
    static constexpr u32 RUN = OUT == 1 ? 8 : 16 / OUT;
    static constexpr u32 ROUNDS = GROUP / (RUN * WARP);
    // A run's bytes of a plane, in words; the pieces if they are known.
    static constexpr u32 RUN_WORDS = RUN == 8 ? 2 : 1;
    static constexpr u32 PIECES = RAW == 0 ? 1 : Pieces<RAW>::COUNT;
    // The planes' bytes of this lane's runs, and those bytes.
    using Planes = const u8* [PIECES];
    struct Ahead {
        u32 word[ROUNDS][PIECES][RUN_WORDS];
    };

    const Tensor& tensor;
    const Chunk chunk;
    const u8* input;
    u8* output;
    u32 buffer;  // this warp's symbols in shared memory, and its seeds after them
    u32 problem = STATUS_OK;
    FloatParts parts;
    FloatSplit split;

    __device__ __forceinline__ FloatChunk(const Tensor& tensor, const Chunk* chunk, u32 buffer)
        : tensor(tensor), chunk(*chunk), input(input_of(tensor.input) + this->chunk.input),
          output(output_of(tensor.output) + this->chunk.output), buffer(buffer), parts(tensor, this->chunk, problem),
          split(tensor, parts, STORED) {}

    // Loads the bytes of a plane with the pieces of a run of units.
    __device__ __forceinline__ static void load_run(const u8* from, u32 (&word)[RUN_WORDS]) {
        if constexpr (RUN == 8) {
            uint2 pair = load<uint2>(from);
            word[0] = pair.x;
            word[1] = pair.y;
        } else if constexpr (RUN == 4) {
            word[0] = load<u32>(from);
        } else {
            word[0] = load<u16>(from);
        }
    }

    // The same, of symbols in shared memory.
    __device__ __forceinline__ static void shared_run(const u8* from, u32 (&word)[RUN_WORDS]) {
        if constexpr (RUN == 8) {
            const uint2 pair = *reinterpret_cast<const uint2*>(from);
            word[0] = pair.x;
            word[1] = pair.y;
        } else if constexpr (RUN == 4) {
            word[0] = *reinterpret_cast<const u32*>(from);
        } else {
            word[0] = *reinterpret_cast<const u16*>(from);
        }
    }

    // How far to shift them right.
    __device__ __forceinline__ static u32 shift_of(u32 piece, u32 within) { return within / (GROUP / 8 * piece) * piece; }

    // The first unit of a lane's run, in its group.
    __device__ __forceinline__ static u32 within_of(u32 round) { return RUN * (round * WARP + lane_of_thread()); }

    __device__ __forceinline__ void find_planes(Planes& planes) const {
        if constexpr (RAW > 0) {
            const u8* plane = input + parts.planes_at;
#pragma unroll
            for (u32 i = 0; i < PIECES; ++i) {
                const u32 piece = Pieces<RAW>::piece(i);
                planes[i] = plane + within_of(0) % (GROUP / 8 * piece);
                plane += plane_bytes(chunk.units, piece);
            }
        }
    }

    // Loads the raw bits of a full group, so that they arrive while its symbols are decoded, and moves on.
    __device__ __forceinline__ static void load_ahead(Planes& planes, Ahead& ahead) {
        if constexpr (RAW > 0) {
#pragma unroll
            for (u32 i = 0; i < PIECES; ++i) {
                const u32 bytes = GROUP / 8 * Pieces<RAW>::piece(i);
#pragma unroll
                for (u32 round = 0; round < ROUNDS; ++round)
                    load_run(planes[i] + RUN * WARP * round % bytes, ahead.word[round][i]);
                planes[i] += bytes;
            }
        }
    }

    // Joins a full group of 16-bit units, two to a register; `to` is where this lane's go.
    __device__ __forceinline__ void join_pairs(u8* to, const Eight& steps, const Ahead& ahead) const {
        constexpr u32 LOW = RAW - 1, MASK = (1u << (16 - RAW)) - 1;
        constexpr u32 FIRST = Pieces<RAW>::piece(0);
        u32 within = within_of(0);
        const uint2 symbols = *reinterpret_cast<const uint2*>(shared_bytes() + buffer + within);
        const u32 base_pair = split.base * 0x00010001u;
        u32 out[4];
#pragma unroll
        for (u32 half = 0; half < 2; ++half) {
            const u32 octaves = steps.word[half] >> split.fraction & (0xffu >> split.fraction) * 0x01010101u;
            const u32 symbol = half == 0 ? symbols.x : symbols.y;
            // The pieces of each unit, as long as a byte holds them.
            u32 first = ahead.word[0][0][half] >> shift_of(FIRST, within) & ((1u << FIRST) - 1) * 0x01010101u;
            if constexpr (RAW < 8) {
#pragma unroll
                for (u32 i = 1; i < PIECES; ++i) {
                    const u32 piece = Pieces<RAW>::piece(i);
                    u32 next = ahead.word[0][i][half] >> shift_of(piece, within) & ((1u << piece) - 1) * 0x01010101u;
                    first = first << piece | next;
                }
            }
#pragma unroll
            for (u32 pair = 0; pair < 2; ++pair) {
                const u32 spread = pair == 0 ? 0x4140 : 0x4342;
                u32 raw = __byte_perm(first, 0, spread);
                if constexpr (RAW > 8) {
#pragma unroll
                    for (u32 i = 1; i < PIECES; ++i) {
                        const u32 piece = Pieces<RAW>::piece(i);
                        u32 next = ahead.word[0][i][half] >> shift_of(piece, within) & ((1u << piece) - 1) * 0x01010101u;
                        raw = raw << piece | __byte_perm(next, 0, spread);
                    }
                }
                // No sum exceeds 16 bits.
                u32 token = (__byte_perm(octaves, 0, spread) << MANTISSA) + __byte_perm(symbol, 0, spread) + base_pair;
                token = (token & MASK * 0x00010001u) << LOW;
                const u32 sign = raw << (15 - LOW) & 0x80008000u;
                out[2 * half + pair] = sign | token | (raw & ((1u << LOW) - 1) * 0x00010001u);
            }
        }
        store(to, uint4{out[0], out[1], out[2], out[3]});
    }

    // Byte `i` of a run's.
    __device__ __forceinline__ static u32 byte_of(const u32 (&word)[RUN_WORDS], u32 i) { return word[i / 4] >> i % 4 * 8 & 0xff; }

    // The steps of a run: lane l has those of units 8 l to 8 l + 7 of the group.
    __device__ __forceinline__ static void steps_of_run(const Eight& steps, u32 within, u32 (&word)[RUN_WORDS]) {
        if constexpr (RUN == 8) {
            word[0] = steps.word[0];
            word[1] = steps.word[1];
        } else {
            const u32 low = __shfl_sync(ALL_LANES, steps.word[0], within / 8);
            const u32 high = __shfl_sync(ALL_LANES, steps.word[1], within / 8);
            word[0] = (within % 8 < 4 ? low : high) >> within % 4 * 8;
        }
    }

    // Joins a full group of any units.
    template <bool SCALED>
    __device__ __forceinline__ void join_runs(u32 group, const Eight& steps, const Ahead& ahead) const {
        using Value = typename Bits<STORED>::Word;
        const u32 kept = RAW > 0 ? RAW - 1 : split.kept, zeros = RAW > 0 ? 0 : split.zeros;
#pragma unroll
        for (u32 round = 0; round < ROUNDS; ++round) {
            const u32 within = within_of(round), unit = group * GROUP + within;
            Value raw[RUN] = {};
            auto add = [&](u32 piece, const u32(&word)[RUN_WORDS]) {
                const u32 shift = shift_of(piece, within), mask = (1u << piece) - 1;
#pragma unroll
                for (u32 i = 0; i < RUN; ++i) raw[i] = raw[i] << piece | (word[i / 4] >> i % 4 * 8 >> shift & mask);
            };
            if constexpr (RAW > 0) {
#pragma unroll
                for (u32 i = 0; i < PIECES; ++i) add(Pieces<RAW>::piece(i), ahead.word[round][i]);
            } else {
                const u8* plane = input + parts.planes_at;
#pragma unroll 1
                for (u32 left = parts.raw_bits; left > 0;) {
                    const u32 piece = piece_of(left), bytes = GROUP / 8 * piece;
                    u32 word[RUN_WORDS];
                    load_run(plane + group * bytes + within % bytes, word);
                    add(piece, word);
                    plane += plane_bytes(chunk.units, piece);
                    left -= piece;
                }
            }
            u32 symbols[RUN_WORDS], step[RUN_WORDS] = {};
            shared_run(shared_bytes() + buffer + within, symbols);
            if constexpr (SCALED) steps_of_run(steps, within, step);
            u32 out[RUN * OUT / 4] = {};
#pragma unroll
            for (u32 i = 0; i < RUN; ++i) {
                const u32 octaves = byte_of(step, i) >> split.fraction;
                const u32 token = split.base + byte_of(symbols, i) + (octaves << (RAW > 0 ? MANTISSA : split.mantissa));
                const Value value = raw[i] >> kept << (8 * STORED - 1) | static_cast<Value>(token & split.token_mask) << kept + zeros |
                                    (raw[i] & (static_cast<Value>(1) << kept) - 1) << zeros;
                const u64 wide = widen<STORED, OUT>(value, tensor.widen);
                if constexpr (OUT == 8) {
                    out[2 * i] = static_cast<u32>(wide);
                    out[2 * i + 1] = static_cast<u32>(wide >> 32);
                } else {
                    out[i * OUT / 4] |= static_cast<u32>(wide) << i * OUT % 4 * 8;
                }
            }
            u8* to = output + OUT * unit;
            if constexpr (OUT == 1) {
                store(to, uint2{out[0], out[1]});
            } else {
                store(to, uint4{out[0], out[1], out[2], out[3]});
            }
        }
    }

    // Writes a unit of the chunk, wherever it is.
    __device__ __forceinline__ void store_unit(u32 unit, u32 token) const {
        const u8* seeds = shared_bytes() + buffer + SYMBOLS_BYTES;
        const u64 raw =
            raw_bits_of(input + parts.planes_at, parts.raw_bits, parts.stored_last, chunk.units, unit, seeds);
        const u64 value = widen<STORED, OUT>(split.unit(token, raw), tensor.widen);
        u8* to = output + static_cast<u64>(OUT) * unit;
        // The caller's buffer may start anywhere.
#pragma unroll
        for (u32 i = 0; i < OUT; ++i) to[i] = static_cast<u8>(value >> 8 * i);
    }

    // Joins a group unit by unit: its symbols are at `slot` of the buffer.
    __device__ __forceinline__ void join_units(u32 group, const Scale& scale, u32 slot) const {
#pragma unroll 1
        for (u32 within = lane_of_thread(); within < GROUP; within += WARP) {
            const u32 unit = group * GROUP + within;
            if (unit >= chunk.units) break;
            const u32 symbol = shared_bytes()[buffer + slot * GROUP + within];
            store_unit(unit, split.token(symbol, scale.width > 0 ? scale.of(unit) : 0));
        }
    }

    // Escapes follow the raw planes, at any address.
    __device__ __forceinline__ u32 escape(u32 i) const {
        const u8* from = input + parts.escapes_at + 4 * i;
        return load<u8>(from) | load<u8>(from + 1) << 8 | load<u8>(from + 2) << 16 | load<u8>(from + 3) << 24;
    }

    // What is wrong with the chunk before anything is decoded.
    __device__ __forceinline__ u32 check() const {
        bool bad = false;
        u32 status = problem;
        if (status != STATUS_OK) return status;
#pragma unroll 1
        for (u32 i = lane_of_thread(); i < parts.escapes; i += WARP) {
            const u32 position = escape(i) % (1u << POSITION_BITS), token = escape(i) >> POSITION_BITS;
            bad |= position >= chunk.units || token > split.token_mask;
            bad |= i > 0 && position <= escape(i - 1) % (1u << POSITION_BITS);
        }
        note(status, __any_sync(ALL_LANES, bad), STATUS_ESCAPES);
        return status;
    }

    // The context of each unit of a group, one after the other.
    __device__ __forceinline__ void write_contexts(u32 group, const Scale& scale, u32 slot) const {
#pragma unroll 1
        for (u32 within = lane_of_thread(); within < GROUP; within += WARP) {
            const u32 unit = group * GROUP + within;
            const u32 step = unit < chunk.units ? scale.of(unit) : 0;
            shared_bytes()[buffer + slot * GROUP + within] = static_cast<u8>(step & ((1u << split.fraction) - 1));
        }
    }

    // Whether raw bits and steps can be loaded, and units stored, in vectors.
    __device__ __forceinline__ bool in_vectors() const {
        if (RAW > 0 && parts.raw_bits != RAW) return false;
        if (tensor.width > 0 && !Scale(tensor, chunk).whole) return false;
        return chunk.units % 64 == 0 && parts.planes_at % 8 == 0 && aligned(output, OUT == 1 ? 8 : 16);
    }

    // Groups that the seeds have raw bits of wait for the stream's end; one that is not full is among them.
    __device__ __forceinline__ u32 first_waiting() const { return parts.stored_last / (GROUP / 8 * parts.last_piece); }

    // Decodes all groups but those that wait, in vectors.
    template <bool SCALED, class Tables>
    __device__ __forceinline__ void decode(const Tables& tables, Stream& stream) const {
        const Scale scale(tensor, chunk);
        const u32 waiting = first_waiting();
        const u32 context_mask = ((1u << split.fraction) - 1) * 0x01010101u;
        u8* to = output + OUT * within_of(0);
        Planes planes;
        find_planes(planes);
        Eight steps = {{0, 0}};
        Place place = {0, 0};
        if (SCALED && waiting > 0) {
            place = Place::of(scale, 8 * lane_of_thread());
            steps = place.load_steps(scale).sum();
        }
#pragma unroll 1
        for (u32 group = 0; group < waiting; ++group, to += OUT * GROUP) {
            // What is loaded here arrives while symbols are decoded.
            Ahead ahead;
            load_ahead(planes, ahead);
            Parts8 next = {{0, 0}, 0};
            if constexpr (SCALED) {
                *reinterpret_cast<uint2*>(shared_bytes() + buffer + 8 * lane_of_thread()) =
                    uint2{steps.word[0] & context_mask, steps.word[1] & context_mask};
                place.next_group(scale.width);
                if (group + 1 < waiting) next = place.load_steps(scale);
            }
            decode_group<SCALED>(tables, stream, buffer);
            if constexpr (STORED == 2 && OUT == 2 && RAW > 0) {
                join_pairs(to, steps, ahead);
            } else {
                join_runs<SCALED>(group, steps, ahead);
            }
            steps = next.sum();
            // The next group's contexts go where these symbols were.
            __syncwarp();
        }
    }

    // Decodes the groups from `first` on one unit at a time: those that wait, or all. Checks the stream's end, and
    // puts escapes in their places.
    template <class Tables>
    __device__ __forceinline__ u32 finish(const Tables& tables, Stream& stream, u32 first) const {
        const Scale scale(tensor, chunk);
        const u32 waiting = first_waiting(), groups = (chunk.units + GROUP - 1) / GROUP;
#pragma unroll 1
        for (u32 group = first; group < groups; ++group) {
            const u32 left = chunk.units - group * GROUP, slot = group < waiting ? 0 : group - waiting;
            if (scale.width > 0) write_contexts(group, scale, slot);
            decode_part(tables, stream, scale.width > 0, buffer + slot * GROUP, left < GROUP ? left : GROUP);
            if (group < waiting) join_units(group, scale, 0);
            __syncwarp();
        }
        u32 status = STATUS_OK;
        stream.end(parts.words_bytes, status);
        const u32 seed = stream.seed(), seed_at = 2 * lane_of_thread();
        reinterpret_cast<u16*>(shared_bytes() + buffer + SYMBOLS_BYTES)[lane_of_thread()] = static_cast<u16>(seed);
        // Those bytes of the seeds that no plane has are 0.
        const u32 last = plane_bytes(chunk.units, parts.last_piece);
        const u32 idle = (seed_at >= last ? seed & 0xff : 0) | (seed_at + 1 >= last ? seed >> 8 : 0);
        note(status, __any_sync(ALL_LANES, idle != 0), STATUS_SEEDS);
        __syncwarp();
#pragma unroll 1
        for (u32 group = waiting; group < groups; ++group) join_units(group, scale, group - waiting);
        // Stores of all lanes are before those of escapes.
        __syncwarp();
#pragma unroll 1
        for (u32 i = lane_of_thread(); i < parts.escapes; i += WARP)
            store_unit(escape(i) % (1u << POSITION_BITS), escape(i) >> POSITION_BITS);
        __syncwarp();
        return status;
    }
};

// Decodes the chunks of this CTA's item, one a warp.
template <u32 STORED, u32 OUT, u32 RAW, u32 MANTISSA, class Tables>
__device__ __forceinline__ void decode_float(const Tables& tables, u32 table_room, const Tensor& tensor, const Chunk* chunks,
                                             const Item& item, Report* reports) {
    using Job = FloatChunk<STORED, OUT, RAW, MANTISSA>;
    const u32 ring = table_room + RING_BYTES * warp_of_thread();
    const u32 buffer = table_room + RING_BYTES * warps_of_block() + (SYMBOLS_BYTES + SEEDS_BYTES) * warp_of_thread();
    each_chunk(item, chunks, reports, [&](const Chunk* chunk) {
        Stream stream;
        const Job job(tensor, chunk, buffer);
        u32 status = job.check();
        if (status == STATUS_OK) {
            stream.begin(job.input, job.parts.words_bytes, ring);
            u32 done = 0;
            if (job.in_vectors()) {
                if (tensor.width > 0) job.template decode<true>(tables, stream);
                else job.template decode<false>(tables, stream);
                done = job.first_waiting();
            }
            forget(chunk);
            status = Job(tensor, chunk, buffer).finish(tables, stream, done);
        }
        return status;
    });
}
