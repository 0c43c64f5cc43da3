//! Contexts: which frequency table codes a symbol.

use crate::backend::Backend;
use crate::predict::scale::Scale;
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
    /// Writes the scale steps of elements `first..first + steps.len()`, and the table of each.
    pub(crate) fn pick(&self, backend: Backend, scale: &Scale, first: usize, steps: &mut [u8], contexts: &mut [u8]) {
        let classes = self;
        vectorised(
            backend,
            Pick {
                classes,
                scale,
                first,
                steps,
                contexts,
            },
        );
    }
}

struct Pick<'a> {
    classes: &'a Classes,
    scale: &'a Scale,
    first: usize,
    steps: &'a mut [u8],
    contexts: &'a mut [u8],
}

impl Work for Pick<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            classes,
            scale,
            first,
            steps,
            contexts,
        } = self;
        scale.steps(first, steps);
        let steps = &*steps;
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
