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
    u32 width;        // columns of the matrix, 0 without one
    u32 row, column;  // of the chunk's first unit
    bool whole;       // units 8i to 8i + 7 of the chunk are in one row, and their columns in 8 aligned bytes

    __device__ __forceinline__ Scale(const Tensor& tensor, const Chunk& chunk)
        : rows(input_of(tensor.rows)), columns(input_of(tensor.columns)), width(tensor.width), row(chunk.row),
          column(chunk.column), whole(tensor.width % 8 == 0 && chunk.column % 8 == 0) {}

    // The step of a unit of the chunk.
    __device__ __forceinline__ u32 of(u32 unit) const { return step_of(rows, columns, width, row, column + unit); }
};

// The steps of eight units, as they are loaded: what adds them up waits for the loads.
struct Parts8 {
    uint2 columns;
    u32 row;

    __device__ __forceinline__ Eight sum() const {
        // No sum of steps exceeds a byte.
        const u32 four = row * 0x01010101u;
        return {{columns.x + four, columns.y + four}};
    }
};

// Where a lane's eight units of a group are, in a matrix of whole eights; without a division from group to group.
struct Place {
    u32 row, column;

    // Of units `unit` to `unit + 7` of the chunk.
    __device__ __forceinline__ static Place of(const Scale& scale, u32 unit) {
        const u32 across = scale.column + unit;
        return {scale.row + across / scale.width, across % scale.width};
    }

    __device__ __forceinline__ Parts8 load_steps(const Scale& scale) const {
        return {load<uint2>(scale.columns + column), load<u8>(scale.rows + row)};
    }

    __device__ __forceinline__ void next_group(u32 width) {
        column += GROUP;
#pragma unroll 1
        while (column >= width) {
            column -= width;
            ++row;
        }
    }
};
