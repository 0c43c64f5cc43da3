// Scale steps: the unit in row i and column j of the tensor's matrix has the step `row[i] + column[j]`.
#pragma once
#include "base.cuh"

// A byte each of 8 consecutive units, in order from the low byte.
struct Eight {
    u32 word[2];
    __device__ __forceinline__ u32 byte(u32 i) const { return word[i / 4] >> (i % 4 * 8) & 0xff; }
};

// The step of the unit `across` columns after the first of row `row`.
OUT_OF_LINE u32 step_of(const u8* rows, const u8* columns, u32 width, u32 row, u32 across) {
    return load<u8>(rows + row + across / width) + load<u8>(columns + across % width);
}

struct Scale {
    const u8* rows;
    const u8* columns;
    u32 width;       // columns of the matrix, 0 without one
    u32 row, column; // of the chunk's first unit
    bool whole;      // units 8i to 8i + 7 of the chunk are in one row, and their columns in 8 aligned bytes

    __device__ __forceinline__ Scale(const Tensor& tensor, const Chunk& chunk)
        : rows(input_of(tensor.rows)), columns(input_of(tensor.columns)), width(tensor.width), row(chunk.row),
          column(chunk.column), whole(tensor.width % 8 == 0 && chunk.column % 8 == 0) {}

    // The step of a unit of the chunk.
    __device__ __forceinline__ u32 of(u32 unit) const {
        return step_of(rows, columns, width, row, column + unit);
    }

    // The steps of units `unit` to `unit + 7` of the chunk, at row `i` and column `j`.
    __device__ __forceinline__ Eight eight_at(u32 unit, u32 i, u32 j) const {
        if (whole) {
            // No sum of steps exceeds a byte.
            u32 four = load<u8>(rows + i) * 0x01010101u;
            uint2 pair = load<uint2>(columns + j);
            return {{pair.x + four, pair.y + four}};
        }
        Eight eight = {{0, 0}};
#pragma unroll 1
        for (u32 k = 8; k-- > 0;) {
            eight.word[1] = eight.word[1] << 8 | eight.word[0] >> 24;
            eight.word[0] = eight.word[0] << 8 | of(unit + k);
        }
        return eight;
    }

    __device__ __forceinline__ Eight eight(u32 unit) const {
        u32 across = column + unit;
        return eight_at(unit, row + across / width, across % width);
    }
};

// Where a lane's eight units of a group are, kept without a division for matrices of more columns than that.
struct Place {
    u32 row, column;

    __device__ __forceinline__ static Place of(const Scale& scale, u32 unit) {
        return {scale.row + (scale.column + unit) / scale.width, (scale.column + unit) % scale.width};
    }

    __device__ __forceinline__ void next_group(u32 width) {
        column += GROUP;
        if (column >= width) {
            u32 down = width >= GROUP ? 1 : column / width;
            row += down;
            column -= down * width;
        }
    }
};
