//! A layer: attention and the gated MLP, each after a norm and beside a residual.

use super::attention::{Attention, Place};
use super::config::ModelConfig;
use super::rope::Rope;
use candle_core::{Result, Tensor};
use candle_nn::{Linear, Module, RmsNorm, VarBuilder, linear_b, rms_norm};

pub(super) struct Layer {
    input_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    pub(super) fn load(config: &ModelConfig, layer: usize, vb: VarBuilder) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let norm = |name: &str| rms_norm(hidden, config.norm_eps, vb.pp(name));
        let mlp = |from, to, name: &str| linear_b(from, to, config.mlp_bias, vb.pp("mlp").pp(name));
        Ok(Self {
            attention: Attention::load(config, layer, vb.pp("self_attn"))?,
            gate: mlp(hidden, inner, "gate_proj")?,
            up: mlp(hidden, inner, "up_proj")?,
            down: mlp(inner, hidden, "down_proj")?,
            input_norm: norm("input_layernorm")?,
            mlp_norm: norm("post_attention_layernorm")?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, rope: &Rope, places: &[Place<'_>]) -> Result<Tensor> {
        let x = (self.attention.forward(&self.input_norm.forward(x)?, rope, places)? + x)?;
        let y = self.mlp_norm.forward(&x)?;
        let y = (self.gate.forward(&y)?.silu()? * self.up.forward(&y)?)?;
        self.down.forward(&y)? + x
    }
}
