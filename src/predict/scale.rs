//! Row x column scale: the magnitude expected of element (i, j) is `2^(row[i] + column[j])`.
//!
//! Rows and columns carry one small step each, in fractions of an octave; their sum is the element's
//! *scale step*. A float's token is shifted by the whole octaves of its step, and the fraction of an
//! octave picks the frequency table; an integer's table is picked by thresholds on the step.

use crate::bits::BitReader;
#[cfg(feature = "encode")]
use crate::bits::BitWriter;
use crate::entropy::{Frequencies, rans::serial};
use crate::format::MAX_PROB_BITS;

/// The scale steps of a matrix.
///
/// Invariant: at least one column; the largest row step and the largest column step add up to at
/// most 255, so that no sum overflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    rows: Vec<u8>,
    columns: Vec<u8>,
}

impl Scale {
    /// `None` if there is no column or a sum of steps could exceed 255.
    pub(crate) fn new(rows: Vec<u8>, columns: Vec<u8>) -> Option<Self> {
        let highest = |steps: &[u8]| u16::from(steps.iter().copied().max().unwrap_or(0));
        (!columns.is_empty() && highest(&rows) + highest(&columns) <= 255).then_some(Self { rows, columns })
    }

    /// The step of each row.
    pub(crate) fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// The step of each column.
    pub(crate) fn columns(&self) -> &[u8] {
        &self.columns
    }

    /// Writes the steps of elements `first..first + out.len()` of the row-major matrix.
    ///
    /// # Panics
    /// If the matrix does not have those elements.
    #[inline(always)]
    pub(crate) fn steps(&self, first: usize, out: &mut [u8]) {
        let width = self.columns.len();
        let (mut row, mut column) = (first / width, first % width);
        let mut rest = out;
        while !rest.is_empty() {
            let n = rest.len().min(width - column);
            let (now, later) = rest.split_at_mut(n);
            let base = self.rows[row];
            // No sum overflows.
            for (step, c) in now.iter_mut().zip(&self.columns[column..column + n]) {
                *step = base.wrapping_add(*c);
            }
            rest = later;
            row += 1;
            column = 0;
        }
    }

    /// The steps of rows and of columns.
    #[cfg(feature = "kernels")]
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.rows, &self.columns)
    }

    /// Reads row steps, then column steps.
    pub(crate) fn parse(reader: &mut BitReader, rows: usize, columns: usize) -> Result<Self, &'static str> {
        let rows = parse_steps(reader, rows)?;
        let columns = parse_steps(reader, columns)?;
        Self::new(rows, columns).ok_or("row and column scales add up to more than 255")
    }
}

#[cfg(feature = "encode")]
impl Scale {
    pub(crate) fn write(&self, writer: &mut BitWriter) {
        write_steps(&self.rows, writer);
        write_steps(&self.columns, writer);
    }
}

/// Bits of a step where steps are stored plainly.
const PLAIN_BITS: u32 = 8;

fn parse_steps(reader: &mut BitReader, count: usize) -> Result<Vec<u8>, &'static str> {
    const SHORT: &str = "row or column scales are cut off";
    if reader.bits(1).ok_or(SHORT)? == 0 {
        let step = reader.bits(PLAIN_BITS).ok_or(SHORT)? as u8;
        let mut steps = Vec::new();
        steps.try_reserve_exact(count).map_err(|_| "no memory for the scales")?;
        steps.resize(count, step);
        return Ok(steps);
    }
    let table = Frequencies::parse(reader, MAX_PROB_BITS)?;
    serial::decode(&table, reader, count)
}

#[cfg(feature = "encode")]
fn write_steps(steps: &[u8], writer: &mut BitWriter) {
    let first = steps.first().copied().unwrap_or(0);
    if steps.iter().all(|&s| s == first) {
        writer.bits(0, 1);
        writer.bits(u64::from(first), PLAIN_BITS);
        return;
    }
    writer.bits(1, 1);
    let mut counts = [0u64; 256];
    steps.iter().for_each(|&s| counts[usize::from(s)] += 1);
    let table = Frequencies::normalise(&counts, MAX_PROB_BITS);
    table.write(writer);
    serial::encode(&table, steps, writer);
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scales_round_trip_and_add(
            rows in proptest::collection::vec(0u8..100, 1..200),
            columns in proptest::collection::vec(3u8..20, 1..90),
            first in 0usize..100,
        ) {
            let scale = Scale::new(rows.clone(), columns.clone()).unwrap();
            let mut writer = BitWriter::default();
            scale.write(&mut writer);
            let bytes = writer.finish();
            let parsed = Scale::parse(&mut BitReader::new(&bytes), rows.len(), columns.len()).unwrap();
            prop_assert_eq!(&parsed, &scale);
            let all = rows.len() * columns.len();
            let first = first.min(all);
            let mut steps = vec![0u8; (all - first).min(333)];
            scale.steps(first, &mut steps);
            for (i, &step) in steps.iter().enumerate() {
                let at = first + i;
                prop_assert_eq!(step, rows[at / columns.len()] + columns[at % columns.len()]);
            }
        }
    }
}
