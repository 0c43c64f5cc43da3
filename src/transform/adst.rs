//! The 8-point orthonormal ADST (asymmetric discrete sine transform) as 15 rotations.
//!
//! The basis is that of the DST-IV, as in the 8-point ADST of VP9 and AV1 (Han, Xu and
//! Mukherjee, "A butterfly structured design of the hybrid transform coding scheme",
//! 2013): the first function rises from `sin(pi/32)` next to the predicted edge to
//! `sin(15*pi/32)` away from it, as residuals do. The DST-VII of HEVC and VVC fits that
//! model a little better, but without a sparse factorisation into rotations it would
//! take 28 of them, with more rounding noise, where the DST-IV takes 15.
//!
//! Factorisation: four rotations by odd multiples of pi/32, two 4-point DCT-II, three
//! butterflies (that of Plonka and Tasche, 2005, for the DCT-IV, whose mirror image the
//! DST-IV is). Rotations by more than pi/4 and reflections are folded into the signed
//! permutation at the end.

use super::lifting::{Network, Rotation, minus, plus};

/// Coefficient `k` is close to `1/2 * sum_n x[n] * sin((2n + 1) * (2k + 1) * pi / 32)`.
pub(super) const ADST: Network<15> = Network {
    rotations: [
        // Mirrored inputs; results in elements 4..8 and 0..4.
        Rotation::new(0, 7, 1),
        Rotation::new(1, 6, 3),
        Rotation::new(2, 5, 5),
        Rotation::new(3, 4, 7),
        // 4-point DCT-II of elements 7, 6, 5, 4.
        Rotation::new(4, 7, 8),
        Rotation::new(5, 6, 8),
        Rotation::new(6, 7, 8),
        Rotation::new(4, 5, -4),
        // 4-point DCT-II of elements 0, 1, 2, 3, odd ones negated.
        Rotation::new(0, 3, 8),
        Rotation::new(1, 2, 8),
        Rotation::new(0, 1, 8),
        Rotation::new(2, 3, -4),
        // Butterflies between the two.
        Rotation::new(2, 4, 8),
        Rotation::new(1, 6, 8),
        Rotation::new(3, 5, -8),
    ],
    outputs: [plus(7), plus(4), plus(2), plus(6), plus(1), minus(5), plus(3), plus(0)],
};
