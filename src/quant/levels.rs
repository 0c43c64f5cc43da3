//! A quantised matrix.

use super::{Float, LEVEL_LIMIT, Steps, weights};
use crate::backend::Backend;

/// Levels of a matrix, row-major, and their steps.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    /// Above `-LEVEL_LIMIT` and below it.
    pub(crate) levels: Vec<i16>,
    pub(crate) steps: Steps,
}

impl Levels {
    /// `None` if there are not as many levels as steps make.
    pub(crate) fn new(levels: Vec<i16>, steps: Steps) -> Option<Self> {
        debug_assert!(levels.iter().all(|l| l.abs() < LEVEL_LIMIT));
        (levels.len() == steps.row_count() * steps.columns().len()).then_some(Self { levels, steps })
    }

    pub(crate) fn rows(&self) -> usize {
        self.steps.row_count()
    }

    pub(crate) fn columns(&self) -> usize {
        self.steps.columns().len()
    }

    /// The weights that decoding gives, as little-endian elements.
    pub(crate) fn decoded(&self, backend: Backend, float: Float) -> Vec<u8> {
        let mut out = vec![0; self.levels.len() * float.bytes()];
        weights(backend, &self.steps, float, 0, &self.levels, &mut out);
        out
    }
}
