//! Rotary positions.

use super::config::ModelConfig;
use super::rotary::RopeScaling;
use candle_core::{DType, Device, Result, Tensor};
use std::f32::consts::PI;

/// Cosines and sines of a batch's positions, each (tokens, half the head's size).
pub(super) struct Rope {
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

/// Frequency of each pair of a head's elements, in radians a position.
pub(crate) fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let dim = config.head_dim;
    let plain = (0..dim)
        .step_by(2)
        .map(|i| 1f32 / config.rope_theta.powf(i as f32 / dim as f32));
    plain.map(|frequency| scale(frequency, &config.rope_scaling)).collect()
}

fn scale(frequency: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear(factor) => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low,
            high,
            original_positions,
        } => {
            let wavelength = 2. * PI / frequency;
            if wavelength < original_positions / high {
                frequency
            } else if wavelength > original_positions / low {
                frequency / factor
            } else {
                let smooth = (original_positions / wavelength - low) / (high - low);
                (1. - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

impl Rope {
    pub(super) fn new(frequencies: &Tensor, positions: &[u32], dtype: DType, device: &Device) -> Result<Self> {
        let positions = Tensor::new(positions, device)?.to_dtype(DType::F32)?.unsqueeze(1)?;
        let angles = positions.broadcast_mul(&frequencies.unsqueeze(0)?)?;
        Ok(Self {
            cos: angles.cos()?.to_dtype(dtype)?,
            sin: angles.sin()?.to_dtype(dtype)?,
        })
    }

    /// Turns (tokens, heads, head size).
    pub(super) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope_thd(&x.unsqueeze(0)?.contiguous()?, &self.cos, &self.sin)?.squeeze(0)
    }
}
