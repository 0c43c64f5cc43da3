// Units as tiles see them: order-preserving integers, and the symbols that stand for them.
#pragma once
#include "base.cuh"

// `count` bits (at most 64) from bit `at` of a stream of `bytes` bytes; the caller has seen that they are there.
__device__ __forceinline__ u64 bits_of(const u8* stream, u32 bytes, u32 at, u32 count) {
    if (count == 0) return 0;
    u64 low = 0;
    const u32 first = at / 8, shift = at % 8;
    for (u32 i = 0; i < 8; ++i)
        if (first + i < bytes) low |= static_cast<u64>(load<u8>(stream + first + i)) << 8 * i;
    u64 value = low >> shift;
    if (shift > 0 && first + 8 < bytes) value |= static_cast<u64>(load<u8>(stream + first + 8)) << (64 - shift);
    return count == 64 ? value : value & ((1ull << count) - 1);
}

struct Units {
    u32 bits;  // of a unit: 8, 16, 32 or 64
    u32 order, plain;
    u32 base, low, token_bits;  // of floats

    __device__ __forceinline__ Units(const Tensor& tensor)
        : bits(8 * tensor.tiled_bytes), order(tensor.order), plain(tensor.plain), base(tensor.base), low(tensor.low),
          token_bits(tensor.token_bits) {}

    __device__ __forceinline__ u64 mask() const { return ~0ull >> (64 - bits); }
    __device__ __forceinline__ u64 middle() const { return 1ull << (bits - 1); }

    __device__ __forceinline__ u64 pattern(u64 element) const {
        if (order == ORDER_UNSIGNED) return element;
        if (order == ORDER_FLOAT && !(element & middle())) return ~element & mask();
        return element ^ middle();
    }

    // How many raw bits follow a symbol.
    __device__ __forceinline__ u32 raw_bits(u32 context, u32 symbol) const {
        if (context == CONTEXT_PLAIN && plain == PLAIN_FLOAT) return low + 1 + (symbol == TOKEN_ESCAPE ? token_bits : 0);
        if (context == CONTEXT_PLAIN && plain == PLAIN_BYTE) return 0;
        return symbol < HYBRID_DIRECT ? 0 : (symbol - HYBRID_DIRECT) / 4 + 2;
    }

    // An unpredicted element as a signed number around the middle of its range.
    __device__ __forceinline__ i64 centred(u64 element) const {
        return static_cast<i64>((element - middle()) << (64 - bits)) >> (64 - bits);
    }

    // The coded value of a symbol and its raw bits.
    __device__ __forceinline__ i64 value(u32 context, u32 symbol, u64 raw) const {
        if (context == CONTEXT_PLAIN && plain == PLAIN_FLOAT) {
            const u64 token_mask = (1u << token_bits) - 1;
            u64 token = base + symbol & token_mask;
            if (symbol == TOKEN_ESCAPE) {
                token = raw & token_mask;
                raw >>= token_bits;
            }
            const u64 pattern = raw >> low << (bits - 1) | token << low | (raw & ((1ull << low) - 1));
            return centred(pattern & middle() ? ~pattern & mask() : pattern ^ middle());
        }
        if (context == CONTEXT_PLAIN && plain == PLAIN_BYTE) return centred(symbol);
        const u64 zigzag = symbol < HYBRID_DIRECT ? symbol : static_cast<u64>(4 | symbol % 4) << raw_bits(context, symbol) | raw;
        return static_cast<i64>(zigzag >> 1) ^ -static_cast<i64>(zigzag & 1);
    }
};
