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

/// The contexts of a matrix, by rows: those of one scale step have the same.
#[derive(Debug)]
pub(crate) struct RowContexts {
    columns: usize,
    /// Where in `contexts` each row's begin.
    rows: Vec<usize>,
    /// A row for each scale step that there is.
    contexts: Vec<u8>,
}

impl RowContexts {
    pub(crate) fn new(backend: Backend, scale: &Scale, classes: &Classes) -> Self {
        let columns = scale.columns().len();
        let (mut contexts, mut of_step) = (Vec::new(), [None; 256]);
        let mut row_of = |row: usize| {
            *of_step[usize::from(scale.rows()[row])].get_or_insert_with(|| {
                let at = contexts.len();
                contexts.resize(at + columns, 0);
                let (steps, contexts) = (&mut vec![0; columns], &mut contexts[at..]);
                vectorised(
                    backend,
                    Predict {
                        scale,
                        classes,
                        first: row * columns,
                        steps,
                        contexts,
                    },
                );
                at
            })
        };
        let rows = (0..scale.rows().len()).map(&mut row_of).collect();
        Self {
            columns,
            rows,
            contexts,
        }
    }

    /// Writes the contexts of elements `first..first + out.len()` of the row-major matrix.
    ///
    /// # Panics
    /// If the matrix does not have those elements.
    pub(crate) fn write(&self, first: usize, out: &mut [u8]) {
        let (mut row, mut column) = (first / self.columns, first % self.columns);
        let mut rest = out;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(self.columns - column));
            now.copy_from_slice(&self.contexts[self.rows[row] + column..][..now.len()]);
            (rest, row, column) = (later, row + 1, 0);
        }
    }
}

/// Writes the scale steps of the elements from `first` on, and the contexts that they pick.
pub(crate) struct Predict<'a> {
    pub(crate) scale: &'a Scale,
    pub(crate) classes: &'a Classes,
    pub(crate) first: usize,
    pub(crate) steps: &'a mut [u8],
    pub(crate) contexts: &'a mut [u8],
}

impl Work for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.scale.steps(self.first, self.steps);
        self.classes.pick(self.steps, self.contexts);
    }
}
