//! The contexts of a tensor's units.

use crate::backend::Backend;
use crate::context::Classes;
use crate::predict::scale::Scale;
use crate::simd::{Work, vectorised};

/// Where contexts come from.
#[derive(Clone, Copy)]
pub(super) enum Contexts<'a> {
    /// All are 0.
    None,
    /// From scale steps, which the join gets, too.
    Steps(&'a Scale, &'a Classes),
    /// Found before, of such steps.
    Rows(&'a Scale, &'a RowContexts),
}

impl Contexts<'_> {
    /// Writes the contexts of as many units from `first` on, and with [`Contexts::Steps`] their scale steps.
    pub(super) fn write(&self, backend: Backend, first: usize, steps: &mut [u8], contexts: &mut [u8]) {
        match *self {
            Self::None => {}
            Self::Steps(scale, classes) => vectorised(
                backend,
                Predict {
                    scale,
                    classes,
                    first,
                    steps,
                    contexts,
                },
            ),
            Self::Rows(scale, rows) => rows.write(scale, first, contexts),
        }
    }
}

/// The contexts of a matrix by its rows: those of one scale step have the same.
#[derive(Debug)]
pub(super) struct RowContexts {
    /// Where in `contexts` those of a row begin, by the row's step.
    of_step: Box<[usize; 256]>,
    /// A row for each step that some row has.
    contexts: Vec<u8>,
}

impl RowContexts {
    pub(super) fn new(backend: Backend, scale: &Scale, classes: &Classes) -> Self {
        let columns = scale.columns().len();
        let (mut contexts, mut of_step) = (Vec::new(), [None; 256]);
        for (row, &step) in scale.rows().iter().enumerate() {
            of_step[usize::from(step)].get_or_insert_with(|| {
                let at = contexts.len();
                contexts.resize(at + columns, 0);
                let predict = Predict {
                    scale,
                    classes,
                    first: row * columns,
                    steps: &mut vec![0; columns],
                    contexts: &mut contexts[at..],
                };
                vectorised(backend, predict);
                at
            });
        }
        Self {
            of_step: Box::new(of_step.map(|at| at.unwrap_or(0))),
            contexts,
        }
    }

    /// Writes the contexts of elements `first..first + out.len()` of the row-major matrix.
    ///
    /// # Panics
    /// If the matrix does not have those elements.
    fn write(&self, scale: &Scale, first: usize, out: &mut [u8]) {
        let columns = scale.columns().len();
        let (mut row, mut column) = (first / columns, first % columns);
        let mut rest = out;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(columns - column));
            let at = self.of_step[usize::from(scale.rows()[row])] + column;
            now.copy_from_slice(&self.contexts[at..at + now.len()]);
            (rest, row, column) = (later, row + 1, 0);
        }
    }
}

/// Writes the scale steps of the elements from `first` on, and the contexts that they pick.
struct Predict<'a> {
    scale: &'a Scale,
    classes: &'a Classes,
    first: usize,
    steps: &'a mut [u8],
    contexts: &'a mut [u8],
}

impl Work for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.scale.steps(self.first, self.steps);
        self.classes.pick(self.steps, self.contexts);
    }
}
