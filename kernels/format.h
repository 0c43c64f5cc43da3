// Written by a test from the Rust definitions (tests/kernels): not edited by hand.
#pragma once

constexpr u32 LANES = 32;
constexpr u32 STATE_LOW = 65536;
constexpr u32 STATES_BYTES = 128;
constexpr u32 SEEDS_BYTES = 64;
constexpr u32 GROUP = 256;
constexpr u32 MAX_PROB_BITS = 12;
constexpr u32 POSITION_BITS = 20;
constexpr u32 ESCAPES_BITS = 24;
constexpr u32 LEVEL_POSITION_BITS = 17;
constexpr u32 LEVEL_LIMIT = 16384;
constexpr u32 KIND_CODED = 0;
constexpr u32 KIND_RAW = 1;
constexpr u32 KIND_CONSTANT = 2;
constexpr u32 HYBRID_DIRECT = 16;
constexpr u32 TOKEN_ESCAPE = 255;
constexpr u32 CONTEXT_PREDICTOR = 0;
constexpr u32 CONTEXT_TRANSFORMS = 1;
constexpr u32 CONTEXT_PLAIN = 2;
constexpr u32 CONTEXT_RESIDUAL = 3;
constexpr u32 PREDICTOR_LEFT = 1;
constexpr u32 PREDICTOR_TOP = 2;
constexpr u32 PREDICTOR_AVERAGE = 3;
constexpr u32 PREDICTOR_LAST = 4;
constexpr u32 TRANSFORM_DCT = 1;
constexpr u32 WIDEN_NONE = 0;
constexpr u32 WIDEN_BF16 = 1;
constexpr u32 WIDEN_F16 = 2;
constexpr u32 WIDEN_F32 = 3;
constexpr u32 ORDER_UNSIGNED = 0;
constexpr u32 ORDER_SIGNED = 1;
constexpr u32 ORDER_FLOAT = 2;
constexpr u32 PLAIN_FLOAT = 0;
constexpr u32 PLAIN_BYTE = 1;
constexpr u32 PLAIN_HYBRID = 2;
constexpr u32 MAX_THREADS = 512;
constexpr u32 RING_BYTES = 1024;
constexpr u32 SYMBOLS_BYTES = 768;
constexpr u32 VALUES = 512;
constexpr u64 COEFFICIENT_CONTEXTS = 0x777777776666554;

constexpr u32 STATUS_OK = 0;
constexpr u32 STATUS_ZEROS = 1;
constexpr u32 STATUS_PARTS = 2;
constexpr u32 STATUS_ESCAPES = 3;
constexpr u32 STATUS_WORDS = 4;
constexpr u32 STATUS_LANES = 5;
constexpr u32 STATUS_SEEDS = 6;
constexpr u32 STATUS_CODER_SEEDS = 7;
constexpr u32 STATUS_LENGTHS = 8;
constexpr u32 STATUS_SEGMENT = 9;
constexpr u32 STATUS_SEGMENTS = 10;
constexpr u32 STATUS_PLANE = 11;
constexpr u32 STATUS_RAW = 12;
constexpr u32 STATUS_CONSTANT = 13;
constexpr u32 STATUS_LENGTH = 14;
constexpr u32 STATUS_PREDICTOR = 15;
constexpr u32 STATUS_TRANSFORMS = 16;
constexpr u32 STATUS_RAW_CUT = 17;
constexpr u32 STATUS_RAW_END = 18;

// A tensor, or the part of it whose chunks are decoded. Addresses are the device's; 0 for what there is not.
struct Tensor {
    // The payload's part; a multiple of 16.
    u64 input;
    // Where its units go.
    u64 output;
    // Frequency tables, `contexts << prob` entries of 4 bytes for each coded plane; a multiple of 16.
    u64 tables;
    // Scale steps of rows, a byte each.
    u64 rows;
    // Scale steps of columns, a byte each; a multiple of 16.
    u64 columns;
    // Levels: factors of rows and columns, 2 bytes each, as BF16; multiples of 16.
    u64 row_factors;
    u64 column_factors;
    // Methods bytes and levels: the context of each of 256 scale steps.
    u64 classes;
    // Tiles: two bytes a tile.
    u64 scratch;
    // Methods bytes and constant: a byte a plane, the lowest first: mask, or the byte; or the unit.
    u64 values;
    // Method bytes: a byte a plane, the lowest first: its kind.
    u64 kinds;
    // Columns of the matrix, 0 without one.
    u32 width;
    u32 unit_bytes;
    u32 prob;
    // Tables of a plane, a power of two.
    u32 contexts;
    // Floats: token of symbol 0, below 2^token_bits.
    u32 base;
    // Bits of a scale step below a whole octave.
    u32 fraction;
    // Mantissa bits in a token.
    u32 mantissa;
    // Mantissa bits below the token.
    u32 low;
    u32 token_bits;
    u32 widen;
    // Tiles, and the integers in them, of so many bytes.
    u32 tile_height;
    u32 tile_width;
    u32 tiled_bytes;
    u32 order;
    u32 plain;
    // Columns of the matrix whose rows and columns have steps, 0 without one.
    u32 step_columns;
};
// A chunk.
struct Chunk {
    // From the tensor's `input`; a multiple of 16.
    u64 input;
    // From the tensor's `output`.
    u64 output;
    // From the tensor's `scratch`.
    u64 scratch;
    // Bytes of input.
    u32 bytes;
    // As the chunk table has it.
    u32 extra;
    // Units of output.
    u32 units;
    // Row and column of its first unit in the matrix of steps.
    u32 row;
    u32 column;
};
// What a CTA does: some chunks of one tensor.
struct Item {
    u32 tensor;
    u32 first;
    u32 count;
};
// What a warp says of a chunk that it has decoded.
struct Report {
    // When, in nanoseconds of the GPU's clock.
    u64 begin;
    u64 end;
    // What is wrong with the chunk.
    u32 status;
    // Which of the GPU's processors it was.
    u32 processor;
};

constexpr u32 LIFTING_BITS = 14;
// A rotation of elements `a` and `b`, as three shears.
struct Rotation {
    u32 a, b;
    i32 outer, inner;
};
// Where a coefficient comes from.
struct Output {
    u32 element;
    bool negate;
};
#define DCT_ROTATIONS {{0, 7, 6786, -11585}, {1, 6, 6786, -11585}, {2, 5, 6786, -11585}, {3, 4, 6786, -11585}, {0, 3, 6786, -11585}, {1, 2, 6786, -11585}, {0, 1, 6786, -11585}, {2, 3, -3259, 6270}, {4, 7, -1614, 3196}, {5, 6, -4970, 9102}, {6, 7, -6786, 11585}, {4, 5, -6786, 11585}, {5, 6, -6786, 11585}}
#define DCT_OUTPUTS {{0, false}, {7, true}, {3, true}, {6, false}, {1, true}, {5, true}, {2, false}, {4, false}}
#define ADST_ROTATIONS {{0, 7, -805, 1606}, {1, 6, -2430, 4756}, {2, 5, -4104, 7723}, {3, 4, -5862, 10394}, {4, 7, -6786, 11585}, {5, 6, -6786, 11585}, {6, 7, -6786, 11585}, {4, 5, 3259, -6270}, {0, 3, -6786, 11585}, {1, 2, -6786, 11585}, {0, 1, -6786, 11585}, {2, 3, 3259, -6270}, {2, 4, -6786, 11585}, {1, 6, -6786, 11585}, {3, 5, 6786, -11585}}
#define ADST_OUTPUTS {{7, false}, {4, false}, {2, false}, {6, false}, {1, false}, {5, true}, {3, false}, {0, false}}
