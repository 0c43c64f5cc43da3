//! The same weights as INT8 and INT4, rounded to nearest, and what lossless coding makes of those.

use crate::failure::Failure;
use wcodec::DType;
use wcodec::analysis::{encoded_len, ideal, numbers};

/// Weights of a group that share a scale in INT4.
const GROUP: usize = 128;
/// Bits of a scale. Scales are not coded.
const SCALE: f64 = 16.0;

/// A matrix in few bits. Bits are of all its weights, with the scales.
#[derive(Clone, Copy)]
pub(super) struct Quantised {
    pub(super) scheme: &'static str,
    pub(super) weights: u64,
    /// As it is.
    pub(super) plain: f64,
    /// Coded by this program.
    pub(super) encoded: f64,
    /// What no code comes below that knows the frequencies of values and the scales of rows and columns.
    pub(super) bound: f64,
}

/// What the schemes are called.
pub(super) const INT8: &str = "INT8, a scale a row";
pub(super) const INT4: &str = "INT4, groups of 128";

/// Types of weights that are quantised.
pub(super) const FLOATS: [DType; 3] = [DType::BF16, DType::F16, DType::F32];

/// Quantises a matrix of finite floats, of any size: to INT8, and if two weights of a row fill bytes to INT4.
/// Anything else in no way.
pub(super) fn quantise(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Vec<Quantised>, Failure> {
    let &[rows, columns] = shape else {
        return Ok(Vec::new());
    };
    if rows * columns == 0 || !FLOATS.contains(&dtype) {
        return Ok(Vec::new());
    }
    let Some(values) = numbers(dtype, data).filter(|v| v.iter().all(|v| v.is_finite())) else {
        return Ok(Vec::new());
    };
    let eight = levels(&values, columns, 127.0);
    let weights = values.len() as u64;
    let scheme = |scheme, bits: f64, scales: usize, encoded: u64, levels: &[u8]| {
        let scales = scales as f64 * SCALE;
        let bound = ideal(DType::I8, shape, levels)?.least().unwrap_or(bits);
        Ok::<_, Failure>(Quantised {
            scheme,
            weights,
            plain: bits * weights as f64 + scales,
            encoded: encoded as f64 * 8.0 + scales,
            bound: bound * weights as f64 + scales,
        })
    };
    let eight_len = encoded_len(DType::I8, shape, &eight)?;
    let mut found = vec![scheme(INT8, 8.0, rows, eight_len, &eight)?];
    if columns.is_multiple_of(2) {
        let group = GROUP.min(columns);
        let four: Vec<u8> = values
            .chunks_exact(columns)
            .flat_map(|row| levels(row, group, 7.0))
            .collect();
        // As files have it: two to a byte, the first in the low half.
        let packed: Vec<u8> = four.chunks_exact(2).map(|pair| (pair[0] & 15) | pair[1] << 4).collect();
        let four_len = encoded_len(DType::U8, &[rows, columns / 2], &packed)?;
        let scales = rows * columns.div_ceil(group);
        found.push(scheme(INT4, 4.0, scales, four_len, &four)?);
    }
    Ok(found)
}

/// Symmetric rounding to nearest, a scale for each `group` values: from -`most` to `most`, as I8.
fn levels(values: &[f32], group: usize, most: f32) -> Vec<u8> {
    let of_group = |group: &[f32]| {
        let largest = group.iter().fold(0f32, |a, v| a.max(v.abs()));
        let scale = if largest > 0.0 { most / largest } else { 0.0 };
        let level = move |v: &f32| (v * scale).round().clamp(-most, most) as i8 as u8;
        group.iter().map(level).collect::<Vec<u8>>()
    };
    values.chunks(group).flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_uses_the_whole_range() {
        let levels = levels(&[1.0, -2.0, 0.5, 0.0, 0.0, 0.0], 3, 7.0);
        assert_eq!(
            levels.into_iter().map(|l| l as i8).collect::<Vec<_>>(),
            [4, -7, 2, 0, 0, 0]
        );
    }

    #[test]
    fn bound_and_achieved_stand_side_by_side() {
        let mut state = 1u64;
        let mut value = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let data: Vec<u8> = (0..1 << 16).flat_map(|_| value().to_le_bytes()).collect();
        let found = quantise(DType::F32, &[256, 256], &data).unwrap();
        assert_eq!(found.iter().map(|q| q.scheme).collect::<Vec<_>>(), [INT8, INT4]);
        for q in found {
            // Uniform noise: nothing to win.
            assert!(
                q.bound <= q.encoded * 1.001 && q.encoded <= q.plain * 1.02,
                "{}: bound {}, encoded {}, plain {}",
                q.scheme,
                q.bound,
                q.encoded,
                q.plain
            );
        }
        // Small and odd ones too: INT8 needs no groups, INT4 needs pairs.
        let schemes = |shape: &[usize]| {
            let found = quantise(DType::F32, shape, &data[..4 * shape.iter().product::<usize>()]).unwrap();
            found.iter().map(|q| q.scheme).collect::<Vec<_>>()
        };
        assert_eq!(schemes(&[64, 64]), [INT8, INT4]);
        assert_eq!(schemes(&[64, 63]), [INT8]);
        assert_eq!(schemes(&[1, 1]), [INT8]);
        assert!(schemes(&[0, 64]).is_empty());
        assert!(quantise(DType::I8, &[256, 256], &[0; 1 << 16]).unwrap().is_empty());
        assert!(quantise(DType::F32, &[65536], &data).unwrap().is_empty());
    }
}
