//! Reversible 8x8 block transforms: integer approximations of the orthonormal
//! DCT-II and ADST, built from lifting steps (see [`lifting`]).
//!
//! Everything is integer arithmetic modulo 2^64, so that every `i64` block comes
//! back exactly, on every machine. For inputs below `2^32` in magnitude nothing wraps.

mod adst;
mod dct;
#[cfg(feature = "kernels")]
pub(crate) mod header;
mod lifting;
#[cfg(test)]
mod tests;

use adst::ADST;
use dct::DCT;
use lifting::Lanes;

/// Rows and columns of a transform block.
pub(crate) const BLOCK: usize = 8;

/// What is done to a complete 8x8 block of signed residuals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    /// The residuals themselves.
    None,
    /// Orthonormal DCT-II, rows then columns.
    Dct,
    /// Orthonormal DST-IV, rows then columns.
    Adst,
}

impl Transform {
    /// Every transform, at the index of its wire code.
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Dct, Self::Adst];

    /// The transform of a wire code, if there is one.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in reports.
    #[cfg(feature = "encode")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dct => "dct",
            Self::Adst => "adst",
        }
    }

    /// The wire code.
    #[cfg(any(test, feature = "encode"))]
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Dct => 1,
            Self::Adst => 2,
        }
    }
}

/// Transforms a row-major block in place: each row, then each column. Afterwards
/// `block[8 * v + h]` is the coefficient of vertical frequency `v` and horizontal
/// frequency `h`.
#[cfg(any(test, feature = "encode"))]
pub(crate) fn forward(transform: Transform, block: &mut [i64; 64]) {
    match transform {
        Transform::None => {}
        Transform::Dct => forward_with(block, |lanes| DCT.forward(lanes)),
        Transform::Adst => forward_with(block, |lanes| ADST.forward(lanes)),
    }
}

/// Undoes [`forward`] exactly: each column, then each row.
pub(crate) fn inverse(transform: Transform, block: &mut [i64; 64]) {
    match transform {
        Transform::None => {}
        Transform::Dct => inverse_with(block, |lanes| DCT.inverse(lanes)),
        Transform::Adst => inverse_with(block, |lanes| ADST.inverse(lanes)),
    }
}

// A network works on the columns of its lanes, hence the transposes around the row pass.

#[cfg(any(test, feature = "encode"))]
#[inline(always)]
fn forward_with(block: &mut [i64; 64], columns: impl Fn(&mut Lanes)) {
    let mut lanes = transposed(&load(block));
    columns(&mut lanes);
    lanes = transposed(&lanes);
    columns(&mut lanes);
    store(&lanes, block);
}

#[inline(always)]
fn inverse_with(block: &mut [i64; 64], columns: impl Fn(&mut Lanes)) {
    let mut lanes = load(block);
    columns(&mut lanes);
    lanes = transposed(&lanes);
    columns(&mut lanes);
    store(&transposed(&lanes), block);
}

fn load(block: &[i64; 64]) -> Lanes {
    std::array::from_fn(|row| std::array::from_fn(|column| block[BLOCK * row + column]))
}

fn store(lanes: &Lanes, block: &mut [i64; 64]) {
    for (target, row) in block.chunks_exact_mut(BLOCK).zip(lanes) {
        target.copy_from_slice(row);
    }
}

fn transposed(lanes: &Lanes) -> Lanes {
    std::array::from_fn(|row| std::array::from_fn(|column| lanes[column][row]))
}
