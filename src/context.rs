//! Contexts: which frequency table codes a symbol.

/// How a scale step picks a frequency table.
#[derive(Clone, Debug)]
pub(crate) enum Classes {
    /// Its low bits, those under this mask.
    Fraction(u8),
    /// The number of thresholds that are not above it.
    Thresholds(Vec<u8>),
}

/// Steps whose tables are found together: so many counts stay in registers.
const BLOCK: usize = 64;

/// The number of thresholds that are not above each step.
#[inline(always)]
fn count(thresholds: &[u8], steps: &[u8; BLOCK]) -> [u8; BLOCK] {
    let mut counts = [0; BLOCK];
    for &t in thresholds {
        for (count, &step) in counts.iter_mut().zip(steps) {
            *count += u8::from(step >= t);
        }
    }
    counts
}

impl Classes {
    /// Writes the table of each step.
    #[inline(always)]
    pub(crate) fn pick(&self, steps: &[u8], contexts: &mut [u8]) {
        match self {
            Self::Fraction(mask) => contexts.iter_mut().zip(steps).for_each(|(c, s)| *c = s & mask),
            Self::Thresholds(thresholds) => {
                let (blocks, rest) = steps.as_chunks::<BLOCK>();
                let (to, to_rest) = contexts.as_chunks_mut::<BLOCK>();
                for (to, steps) in to.iter_mut().zip(blocks) {
                    *to = count(thresholds, steps);
                }
                let mut last = [0; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                to_rest.copy_from_slice(&count(thresholds, &last)[..rest.len()]);
            }
        }
    }
}
