//! The levels of quantised tensors.

use super::Tensor;
use crate::error::Result;
use crate::quant::{Float, LEVEL_LIMIT, Levels};

impl Tensor<'_> {
    /// Levels and steps; `None` if the tensor is not quantised. Levels that no encoder makes are brought into range.
    ///
    /// # Errors
    /// As [`Tensor::decode`].
    pub(crate) fn levels(&self) -> Result<Option<Levels>> {
        const MOST: f32 = (LEVEL_LIMIT - 1) as f32;
        let source = self.gather_all()?;
        let plan = self.plan(&*source)?;
        plan.check_lengths().map_err(|p| self.error(p, Some(&plan)))?;
        let Some((plan, steps)) = plan.into_levels() else {
            return Ok(None);
        };
        let mut out = vec![0; self.info().units() as usize * Float::F32.bytes()];
        self.decode_chunks(&*source, &plan, 0..plan.chunks(), &mut out)?;
        let level = |b: &[u8; 4]| f32::from_le_bytes(*b).clamp(-MOST, MOST) as i16;
        Ok(Levels::new(out.as_chunks().0.iter().map(level).collect(), steps))
    }
}
