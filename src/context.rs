//! Contexts: which frequency table codes a symbol.

/// How a scale step picks a frequency table.
#[derive(Clone, Debug)]
pub(crate) enum Classes {
    /// Its low bits, those under this mask.
    Fraction(u8),
    /// The number of thresholds that are not above it.
    Thresholds(Vec<u8>),
}

impl Classes {
    /// Writes the table of each step.
    #[inline(always)]
    pub(crate) fn pick(&self, steps: &[u8], contexts: &mut [u8]) {
        match self {
            Self::Fraction(mask) => contexts.iter_mut().zip(steps).for_each(|(c, s)| *c = s & mask),
            Self::Thresholds(thresholds) => {
                contexts.fill(0);
                for &t in thresholds {
                    contexts
                        .iter_mut()
                        .zip(steps)
                        .for_each(|(c, &s)| *c += u8::from(s >= t));
                }
            }
        }
    }
}
