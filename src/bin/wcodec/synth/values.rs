//! Values that are like those of real weights, the same on every machine.

use super::numbers::{Random, bf16, normal, scale, small_float};
use super::plan::{Elements, Plan, Values};

/// Streams of a tensor's seed: rows' scales, columns' scales.
const ROWS: u64 = 0x20e5;
const COLUMNS: u64 = 0xc015;
/// Largest finite values of small floats, as bits.
const F16_LARGEST: u32 = 0x7bff;
const E4M3_LARGEST: u32 = 0x7e;
const E5M2_LARGEST: u32 = 0x7b;

/// What makes a tensor's values.
pub(super) struct Generator<'a> {
    plan: &'a Plan,
    seed: u64,
    /// A scale for each column.
    columns: Vec<f32>,
}

impl<'a> Generator<'a> {
    /// A generator of a tensor's values; `seed` is the tensor's own.
    pub(super) fn new(plan: &'a Plan, seed: u64) -> Self {
        let width = plan.shape.last().copied().unwrap_or(1);
        let columns = match plan.values {
            Values::Weights { column_spread, .. } => (0..width as u64)
                .map(|c| scale(seed ^ COLUMNS, c, column_spread))
                .collect(),
            Values::Positive(_) => vec![1.0; width],
        };
        Self { plan, seed, columns }
    }

    /// Writes the elements from `first` on, as many as `out` has room for. The values depend on where
    /// the range starts: the same ranges give the same bytes.
    pub(super) fn fill(&self, first: usize, out: &mut [u8]) {
        let mut random = Random::new(self.seed, first as u64);
        let bytes = self.plan.elements.dtype().bits() / 8;
        let width = self.columns.len();
        let (mut at, mut out) = (first, out);
        let mut values = Vec::new();
        while !out.is_empty() {
            let column = at % width;
            let n = (width - column).min(out.len() / bytes);
            let (now, later) = std::mem::take(&mut out).split_at_mut(n * bytes);
            values.resize(n, 0.0);
            self.row(at / width, column, &mut random, &mut values);
            self.store(&values, &mut random, now);
            (at, out) = (at + n, later);
        }
    }

    /// The values of a part of a row.
    fn row(&self, row: usize, column: usize, random: &mut Random, out: &mut [f32]) {
        random.normals(out);
        match self.plan.values {
            Values::Weights {
                deviation, row_spread, ..
            } => {
                let factor = deviation * scale(self.seed ^ ROWS, row as u64, row_spread);
                for (value, column) in out.iter_mut().zip(&self.columns[column..]) {
                    *value *= factor * column;
                }
            }
            Values::Positive(about) => out.iter_mut().for_each(|z| *z = about * (1.0 + 0.18 * *z)),
        }
    }

    /// Rounds values to the tensor's type.
    fn store(&self, values: &[f32], random: &mut Random, out: &mut [u8]) {
        // Quantized weights fill their type's range; the scale is in a tensor of its own.
        let unit = match self.plan.values {
            Values::Weights { deviation, .. } => 1.0 / deviation,
            Values::Positive(about) => 1.0 / about,
        };
        match self.plan.elements {
            Elements::Bf16 => each(values, out, |v| ((bf16(v) >> 16) as u16).to_le_bytes()),
            Elements::F16 => each(values, out, |v| {
                (small_float(v, 5, 10, F16_LARGEST) as u16).to_le_bytes()
            }),
            Elements::F32 => each(values, out, f32::to_le_bytes),
            Elements::F32FromBf16 => each(values, out, |v| bf16(v).to_le_bytes()),
            // The mantissa bits that a single lacks are noise in real doubles too.
            Elements::F64 => {
                each(values, out, |v| {
                    (f64::from(v).to_bits() | random.next() >> 35).to_le_bytes()
                });
            }
            Elements::F8E4m3 => each(
                values,
                out,
                |v| [small_float(v * unit * 64.0, 4, 3, E4M3_LARGEST) as u8],
            ),
            Elements::F8E5m2 => each(
                values,
                out,
                |v| [small_float(v * unit * 64.0, 5, 2, E5M2_LARGEST) as u8],
            ),
            Elements::I8 => each(values, out, |v| [(v * unit * 28.0).round_ties_even() as i8 as u8]),
            Elements::U8 => each(values, out, |v| {
                let nibble = |z: f32| (z * 2.6 + 8.0).clamp(0.0, 15.0) as u8;
                [nibble(v * unit) | nibble(normal(random.next() as u32)) << 4]
            }),
        }
    }
}

fn each<const N: usize>(values: &[f32], out: &mut [u8], mut convert: impl FnMut(f32) -> [u8; N]) {
    for (value, out) in values.iter().zip(out.chunks_exact_mut(N)) {
        out.copy_from_slice(&convert(*value));
    }
}
