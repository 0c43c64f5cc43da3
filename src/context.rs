//! Contexts: which frequency table codes a symbol.

use crate::backend::Backend;
use crate::simd::{Work, vectorised};

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
    pub(crate) fn pick(&self, backend: Backend, steps: &[u8], contexts: &mut [u8]) {
        vectorised(
            backend,
            Pick {
                classes: self,
                steps,
                contexts,
            },
        );
    }
}

struct Pick<'a> {
    classes: &'a Classes,
    steps: &'a [u8],
    contexts: &'a mut [u8],
}

impl Work for Pick<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            classes,
            steps,
            contexts,
        } = self;
        match classes {
            Classes::Fraction(mask) => contexts.iter_mut().zip(steps).for_each(|(c, s)| *c = s & mask),
            Classes::Thresholds(thresholds) => {
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
