// What a chunk of floats is made of: where its parts are, raw bits in pieces, tokens.
#pragma once
#include "base.cuh"

// Bytes of a plane of pieces of so many bits.
__device__ __forceinline__ u32 plane_bytes(u32 units, u32 piece) { return (units + 7) / 8 * piece; }

// Bits of the first piece of `left` raw bits.
__device__ __forceinline__ constexpr u32 piece_of(u32 left) { return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

// The raw bits of any unit of a chunk, one piece after the other. Of the last plane, what is past `stored_last`
// bytes is in `seeds`.
OUT_OF_LINE u64 raw_bits_of(const u8* plane, u32 raw_bits, u32 stored_last, u32 units, u32 unit, const u8* seeds) {
    const u32 group = unit / GROUP, within = unit % GROUP, left_units = units - group * GROUP;
    const u32 in_group = left_units < GROUP ? left_units : GROUP;
    u64 raw = 0;
#pragma unroll 1
    for (u32 left = raw_bits; left > 0;) {
        const u32 piece = piece_of(left), bytes = plane_bytes(in_group, piece);
        const u32 at = group * (GROUP / 8) * piece + within % bytes;
        const u32 byte = left == piece && at >= stored_last ? seeds[at - stored_last] : load<u8>(plane + at);
        raw = raw << piece | (byte >> within / bytes * piece & ((1u << piece) - 1));
        plane += plane_bytes(units, piece);
        left -= piece;
    }
    return raw;
}

// Where the parts of a chunk are, from its entry in the chunk table.
struct FloatParts {
    u32 zeros, raw_bits, escapes;
    u32 last_piece;    // bits of the last plane's pieces
    u32 stored_last;   // bytes of the last plane that are in the chunk: the seeds have the rest
    u32 words_bytes;
    u32 planes_at, escapes_at;  // offsets in the chunk

    __device__ __forceinline__ FloatParts(const Tensor& tensor, const Chunk& chunk, u32& status) {
        zeros = chunk.extra >> ESCAPES_BITS;
        escapes = chunk.extra & ((1u << ESCAPES_BITS) - 1);
        note(status, zeros > tensor.low, STATUS_ZEROS);
        if (status != STATUS_OK) zeros = 0;
        raw_bits = tensor.low - zeros + 1;
        last_piece = raw_bits % 8 == 0 ? 8 : raw_bits & (0u - raw_bits);
        u32 last = plane_bytes(chunk.units, last_piece);
        u32 seeded = last < SEEDS_BYTES ? last : SEEDS_BYTES;
        stored_last = last - seeded;
        u64 stored = plane_bytes(chunk.units, raw_bits) - seeded;
        u64 rest = STATES_BYTES + stored + 4ull * escapes;
        note(status, rest > chunk.bytes, STATUS_PARTS);
        words_bytes = status == STATUS_OK ? chunk.bytes - static_cast<u32>(rest) : 0;
        planes_at = STATES_BYTES + words_bytes;
        escapes_at = chunk.bytes - 4 * escapes;
    }
};

// Turns a token and raw bits into a unit.
struct FloatSplit {
    u32 base, fraction, mantissa, low, token_mask, sign_at, zeros, kept;

    __device__ __forceinline__ FloatSplit(const Tensor& tensor, const FloatParts& parts, u32 stored_bytes)
        : base(tensor.base), fraction(tensor.fraction), mantissa(tensor.mantissa), low(tensor.low),
          token_mask((1u << tensor.token_bits) - 1), sign_at(8 * stored_bytes - 1), zeros(parts.zeros),
          kept(parts.raw_bits - 1) {}

    __device__ __forceinline__ u32 token(u32 symbol, u32 step) const {
        return base + symbol + (step >> fraction << mantissa) & token_mask;
    }

    __device__ __forceinline__ u64 unit(u32 token, u64 raw) const {
        return raw >> kept << sign_at | static_cast<u64>(token) << low | (raw & ((1ull << kept) - 1)) << zeros;
    }
};

// An unsigned integer of at least so many bytes.
template <u32 BYTES>
struct Bits {
    using Word = u32;
};
template <>
struct Bits<8> {
    using Word = u64;
};

// The pieces of RAW raw bits, known when this is compiled.
template <u32 RAW>
struct Pieces {
    static constexpr u32 COUNT = RAW / 8 + (RAW >> 2 & 1) + (RAW >> 1 & 1) + (RAW & 1);
    // The pieces after the whole bytes. No loop: in an unrolled loop over `i` every size is a constant.
    static constexpr u32 REST = RAW % 8, TOP = piece_of(REST), NEXT = piece_of(REST - TOP);
    // Bits of piece `i`.
    __device__ __forceinline__ static constexpr u32 piece(u32 i) {
        return i + 1 <= RAW / 8 ? 8 : i == RAW / 8 ? TOP : i == RAW / 8 + 1 ? NEXT : 1;
    }
};
