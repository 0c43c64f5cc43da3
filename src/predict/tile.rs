//! Prediction of the elements of one tile from their neighbours in it.
//!
//! Elements are `bits`-bit unsigned integers in `u64`s, a tile is row-major, and all
//! arithmetic is modulo `2^bits`. A tile never looks outside itself: its first row is
//! predicted from the left, its first column from above, and its first element from
//! the middle of the range, `2^(bits - 1)`.

#[cfg(test)]
mod tests;

/// How an element of a tile is predicted from those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Predictor {
    /// No prediction: the residual is the element, the first one included.
    None,
    /// The element to the left.
    Left,
    /// The element above.
    Top,
    /// `floor((left + top) / 2)`, with the sum not reduced modulo `2^bits`.
    Average,
    /// `left + top - topleft`, the plane through the three neighbours.
    Planar,
}

impl Predictor {
    /// Every predictor, at the index of its wire code.
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Left, Self::Top, Self::Average, Self::Planar];

    /// The predictor of a wire code, if there is one.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in reports.
    #[cfg(feature = "encode")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Left => "left",
            Self::Top => "top",
            Self::Average => "average",
            Self::Planar => "planar",
        }
    }

    /// The wire code.
    #[cfg(any(test, feature = "encode"))]
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Left => 1,
            Self::Top => 2,
            Self::Average => 3,
            Self::Planar => 4,
        }
    }
}

/// Writes `element - prediction mod 2^bits` for every element of a row-major tile.
///
/// # Panics
///
/// If the slices differ in length, `width` is 0 or does not divide the length, or
/// `bits` is not in `1..=64`: the caller computes these, no input decides them.
#[cfg(any(test, feature = "encode"))]
pub(crate) fn residual(predictor: Predictor, tile: &[u64], width: usize, bits: u32, out: &mut [u64]) {
    check(tile, width, bits, out);
    if predictor == Predictor::None || tile.is_empty() {
        out.copy_from_slice(tile);
        return;
    }
    let mask = mask(bits);
    let difference = |element: u64, prediction: u64| element.wrapping_sub(prediction) & mask;

    out[0] = difference(tile[0], middle(bits));
    for (out, pair) in out[1..width].iter_mut().zip(tile.windows(2)) {
        *out = difference(pair[1], pair[0]);
    }
    for (rows, out) in tile
        .windows(2 * width)
        .step_by(width)
        .zip(out[width..].chunks_exact_mut(width))
    {
        let (above, row) = rows.split_at(width);
        out[0] = difference(row[0], above[0]);
        let left = row.iter();
        let targets = out[1..].iter_mut().zip(&row[1..]);
        let tops = above[1..].iter().zip(above);
        for (((out, &element), &left), (&top, &topleft)) in targets.zip(left).zip(tops) {
            let prediction = match predictor {
                Predictor::None => 0,
                Predictor::Left => left,
                Predictor::Top => top,
                Predictor::Average => average(left, top),
                Predictor::Planar => left.wrapping_add(top).wrapping_sub(topleft),
            };
            *out = difference(element, prediction);
        }
    }
}

/// Undoes [`residual`]: rebuilds the elements of a row-major tile.
///
/// # Panics
///
/// As [`residual`] does.
pub(crate) fn reconstruct(predictor: Predictor, residual: &[u64], width: usize, bits: u32, out: &mut [u64]) {
    check(residual, width, bits, out);
    if predictor == Predictor::None || residual.is_empty() {
        out.copy_from_slice(residual);
        return;
    }
    let mask = mask(bits);
    let (first, first_out) = (&residual[..width], &mut out[..width]);
    running_sum(middle(bits), first, mask, first_out);

    let mut done = width;
    for residual in residual[width..].chunks_exact(width) {
        let (above, row) = out[done - width..].split_at_mut(width);
        reconstruct_row(predictor, residual, above, mask, &mut row[..width]);
        done += width;
    }
}

/// One row that has a row above it; all three slices are of the tile's width.
fn reconstruct_row(predictor: Predictor, residual: &[u64], above: &[u64], mask: u64, row: &mut [u64]) {
    let first = above[0].wrapping_add(residual[0]) & mask;
    row[0] = first;
    let rest = row[1..].iter_mut().zip(&residual[1..]);
    match predictor {
        Predictor::None => row.copy_from_slice(residual),
        Predictor::Left => running_sum(above[0], residual, mask, row),
        Predictor::Top => {
            for ((element, &residual), &top) in rest.zip(&above[1..]) {
                *element = top.wrapping_add(residual) & mask;
            }
        }
        Predictor::Average => {
            let mut left = first;
            for ((element, &residual), &top) in rest.zip(&above[1..]) {
                left = average(left, top).wrapping_add(residual) & mask;
                *element = left;
            }
        }
        Predictor::Planar => {
            // left - topleft is the running sum of this row's residuals.
            let mut slope = residual[0];
            for ((element, &residual), &top) in rest.zip(&above[1..]) {
                slope = slope.wrapping_add(residual);
                *element = top.wrapping_add(slope) & mask;
            }
        }
    }
}

/// `start` plus the sum of the residuals up to each position, modulo `mask + 1`. Sums modulo
/// `2^64` may be masked afterwards, which keeps the loop-carried chain to one addition.
fn running_sum(start: u64, residual: &[u64], mask: u64, out: &mut [u64]) {
    let mut sum = start;
    for (element, &residual) in out.iter_mut().zip(residual) {
        sum = sum.wrapping_add(residual);
        *element = sum & mask;
    }
}

/// The signed number of a residual that transforms work on: its two's complement reading, after
/// unpredicted elements are centred on zero (so that a constant tile has no jump in it).
pub(crate) fn to_signed(predictor: Predictor, residual: u64, bits: u32) -> i64 {
    let unused = u64::BITS - bits;
    (residual.wrapping_sub(centre(predictor, bits)) << unused).cast_signed() >> unused
}

/// Undoes [`to_signed`]; any `i64` is taken modulo `2^bits`.
pub(crate) fn from_signed(predictor: Predictor, signed: i64, bits: u32) -> u64 {
    signed.cast_unsigned().wrapping_add(centre(predictor, bits)) & mask(bits)
}

fn centre(predictor: Predictor, bits: u32) -> u64 {
    match predictor {
        Predictor::None => middle(bits),
        _ => 0,
    }
}

/// `floor((a + b) / 2)` without the carry that would overflow at 64 bits.
fn average(a: u64, b: u64) -> u64 {
    (a & b) + ((a ^ b) >> 1)
}

fn mask(bits: u32) -> u64 {
    u64::MAX >> (u64::BITS - bits)
}

/// The prediction of a tile's first element: half of the range.
fn middle(bits: u32) -> u64 {
    1 << (bits - 1)
}

fn check(input: &[u64], width: usize, bits: u32, out: &[u64]) {
    assert!((1..=u64::BITS).contains(&bits), "bits outside 1..=64");
    assert_eq!(input.len(), out.len(), "tile and output differ in length");
    assert!(
        width > 0 && input.len().is_multiple_of(width),
        "not whole rows of the tile's width"
    );
}
