// 32-lane rANS: a lane of the stream is a lane of the warp. A refill is a ballot and a population count.
//
// Words come through a ring in shared memory, one a warp, which is filled in the background while the steps
// of a group of 256 symbols run:
//
//   ring   ... | taken | to take, arrived | asked for, under way | ...      RING_BYTES, a power of two
//                      ^ at               ^                      ^ filled
#pragma once
#include "base.cuh"

static_assert(LANES == WARP, "a lane of a stream is a lane of a warp");

struct Stream {
    u32 state;        // this lane's
    u32 at;           // bytes of words taken
    u32 filled;       // bytes of words asked for, there or not
    u32 there;        // bytes of words that there are, whole pieces of 16
    u32 ring;         // offset of the ring in shared memory, a multiple of its size
    const u8* words;  // a multiple of 16

    // Fetches what the ring has room for, at most 16 bytes a lane: as much as a group can take.
    __device__ __forceinline__ void top_up() {
        u32 end = at / 16 * 16 + RING_BYTES;
        u32 from = filled + 16 * lane_of_thread();
        if (from < end && from < there) copy_async(shared_bytes() + (from % RING_BYTES | ring), words + from);
        filled = end - filled < 16 * WARP ? end : filled + 16 * WARP;
    }

    // `chunk`: 128 bytes of states and then `words_bytes` of words; a multiple of 16.
    __device__ __forceinline__ void begin(const u8* chunk, u32 words_bytes, u32 ring_offset) {
        state = load<u32>(chunk + 4 * lane_of_thread());
        words = chunk + STATES_BYTES;
        there = words_bytes / 16 * 16;
        at = filled = 0;
        ring = ring_offset;
        // What the stream before this one has asked for and not needed must not arrive later.
        wait_for_copies();
        __syncwarp();
        top_up();
        top_up();
    }

    // To be called before each group: from here on, the words of all its steps are in the ring.
    __device__ __forceinline__ void begin_group() {
        wait_for_copies();
        // All lanes' copies have arrived, and all lanes are done with what is overwritten next.
        __syncwarp();
        bool enough = filled - at >= GROUP * 2;
        top_up();
        // A stream made to take a word a symbol has run ahead of its copies; none that was encoded does.
        if (!enough) {
            wait_for_copies();
            __syncwarp();
        }
    }

    // Moves on by a symbol, of which `entry` says frequency and offset; then lanes that need a word take one,
    // in order.
    __device__ __forceinline__ void advance(u32 entry, u32 prob) {
        state = (entry >> 20) * (state >> prob) + (entry >> 8 & 0xfff);
        refill();
    }

    // As `advance`, by a token of a signed integer; gives the symbol, whose low bits are raw in the state.
    __device__ __forceinline__ u32 advance_signed(u32 entry, u32 prob) {
        state = (entry >> 21) * (state >> prob) + (entry >> 10 & 0x7ff);
        const u32 raw = entry & 7, symbol = entry >> 2 & 0xfe | state & (1u << raw) - 1;
        state >>= raw;
        refill();
        return symbol;
    }

    __device__ __forceinline__ void refill() {
        bool low = state < STATE_LOW;
        u32 takers = __ballot_sync(ALL_LANES, low);
        u32 below = (1u << lane_of_thread()) - 1;
        u32 from = (at + 2 * __popc(takers & below)) % RING_BYTES | ring;
        // A lane that takes no word reads the next one all the same: a choice costs less than a branch.
        u32 word = *reinterpret_cast<const u16*>(shared_bytes() + from);
        state = low ? state << 16 | word : state;
        at += 2 * __popc(takers);
    }

    // Checks the end of the stream, of which the words have `words_bytes` with their padding.
    __device__ __forceinline__ void end(u32 words_bytes, u32& status) const {
        note(status, round_up(at, 16) != words_bytes, STATUS_WORDS);
        note(status, __any_sync(ALL_LANES, state >> 16 != 1), STATUS_LANES);
    }

    // What a lane of an encoded stream ends on besides a 1.
    __device__ __forceinline__ u32 seed() const { return state & 0xffff; }
};

// Frequency tables: entry of slot `s` in context `c` is `entries[(c << prob) + s]`, from bit 0 symbol (8
// bits), slot less the symbol's first slot (12), frequency (12); of signed integers: raw bits (3 bits), least magnitude
// of the token (7), slot less the token's first slot (11), frequency (11). The usual ones, in shared memory from offset
// 0 ...
struct SharedTables {
    static constexpr u32 prob = MAX_PROB_BITS;
    __device__ __forceinline__ u32 look_up(u32 context, u32 state) const {
        u32 slot = state & ((1u << prob) - 1);
        return reinterpret_cast<const u32*>(shared_bytes())[(context << prob) + slot];
    }
};

// ... or wherever they are.
struct AnyTables {
    const u32* entries;
    u32 prob;
    __device__ __forceinline__ u32 look_up(u32 context, u32 state) const {
        u32 slot = state & ((1u << prob) - 1);
        return entries[context * (1u << prob) + slot];
    }
};

// Brings `count` entries to shared memory from offset 0; all threads of the CTA take part.
__device__ __forceinline__ void load_tables(const u8* from, u32 count) {
    __syncthreads();
    uint4* to = reinterpret_cast<uint4*>(shared_bytes());
    for (u32 i = threadIdx.x; i < count / 4; i += blockDim.x) to[i] = load<uint4>(from + 16 * i);
    __syncthreads();
}

// The tables of a tensor: in shared memory if `room` bytes of it hold them.
__device__ __forceinline__ AnyTables place_tables(u64 address, u32 count, u32 prob, u32 room) {
    const u8* from = input_of(address);
    if (4 * count > room) return {reinterpret_cast<const u32*>(from), prob};
    load_tables(from, count);
    return {reinterpret_cast<const u32*>(shared_bytes()), prob};
}

// Decodes a step, 32 symbols: `symbol` is this lane's in shared memory, where its context is if there are any.
template <bool CONTEXTS, bool SIGNED, class Tables>
__device__ __forceinline__ void decode_step(const Tables& tables, Stream& stream, u8* symbol) {
    const u32 entry = tables.look_up(CONTEXTS ? *symbol : 0, stream.state);
    if constexpr (SIGNED) {
        *symbol = static_cast<u8>(stream.advance_signed(entry, tables.prob));
    } else {
        *symbol = static_cast<u8>(entry);
        stream.advance(entry, tables.prob);
    }
}

// Decodes a full group to `buffer` in shared memory.
template <bool CONTEXTS, bool SIGNED = false, class Tables>
__device__ __forceinline__ void decode_group(const Tables& tables, Stream& stream, u32 buffer) {
    u8* symbols = shared_bytes() + buffer + lane_of_thread();
    stream.begin_group();
#pragma unroll
    for (u32 i = 0; i < GROUP; i += WARP) decode_step<CONTEXTS, SIGNED>(tables, stream, symbols + i);
    // Symbols are seen by all lanes.
    __syncwarp();
}

// As `decode_group`, of the first `count` units of a group: less code, more time.
template <bool SIGNED = false, class Tables>
__device__ __forceinline__ void decode_part(const Tables& tables, Stream& stream, bool contexts, u32 buffer, u32 count) {
    u8* symbols = shared_bytes() + buffer + lane_of_thread();
    stream.begin_group();
#pragma unroll 1
    for (u32 i = 0; i < count; i += WARP) {
        if (!contexts) symbols[i] = 0;
        decode_step<true, SIGNED>(tables, stream, symbols + i);
    }
    __syncwarp();
}
