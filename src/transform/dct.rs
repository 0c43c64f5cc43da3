//! The 8-point orthonormal DCT-II as 13 rotations.
//!
//! The orthogonal factorisation of Plonka and Tasche ("Fast and numerically stable
//! algorithms for discrete cosine transforms", 2005): butterflies scaled to rotations
//! by pi/4, a 4-point DCT-II of the sums, and a 4-point DCT-IV of the differences.
//! Rotations by more than pi/4 and reflections are folded into the signed permutation
//! at the end.

use super::lifting::{Network, Rotation, minus, plus};

/// Coefficient `k` is close to `s(k) * sum_n x[n] * cos((2n + 1) * k * pi / 16)` with
/// `s(0) = sqrt(1/8)` and `s(k) = 1/2` otherwise.
pub(super) const DCT: Network<13> = Network {
    rotations: [
        // Sums (elements 0..4) and differences (elements 4..8) of mirrored inputs.
        Rotation::new(0, 7, -8),
        Rotation::new(1, 6, -8),
        Rotation::new(2, 5, -8),
        Rotation::new(3, 4, -8),
        // 4-point DCT-II of the sums.
        Rotation::new(0, 3, -8),
        Rotation::new(1, 2, -8),
        Rotation::new(0, 1, -8),
        Rotation::new(2, 3, 4),
        // 4-point DCT-IV of the differences.
        Rotation::new(4, 7, 2),
        Rotation::new(5, 6, 6),
        Rotation::new(6, 7, 8),
        Rotation::new(4, 5, 8),
        Rotation::new(5, 6, 8),
    ],
    outputs: [
        plus(0),
        minus(7),
        minus(3),
        plus(6),
        minus(1),
        minus(5),
        plus(2),
        plus(4),
    ],
};
