//! What levels take in bits, where they are.

use crate::entropy::signed::MAX_MAGNITUDE;
use crate::predict::scale::Scale;

/// Magnitudes that have a token.
pub(crate) const MAGNITUDES: usize = MAX_MAGNITUDE + 1;

/// The bits of levels by the scale of their row and column.
#[derive(Debug)]
pub(crate) struct Rates {
    scale: Scale,
    /// The class of every scale step.
    classes: [u8; 256],
    /// Bits of the levels of each magnitude, sign included, a class each.
    bits: Vec<[f32; MAGNITUDES]>,
}

impl Rates {
    /// # Panics
    /// If there is no class, or not each that is named.
    pub(crate) fn new(scale: Scale, classes: [u8; 256], bits: Vec<[f32; MAGNITUDES]>) -> Self {
        assert!(classes.iter().all(|&class| usize::from(class) < bits.len()));
        Self { scale, classes, bits }
    }

    /// Bits by magnitude.
    #[inline(always)]
    pub(super) fn of(&self, row: usize, column: usize) -> &[f32; MAGNITUDES] {
        let step = self.scale.rows()[row] + self.scale.columns()[column];
        &self.bits[usize::from(self.classes[usize::from(step)])]
    }
}
