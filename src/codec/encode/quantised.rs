//! A quantised tensor: its levels are coded by what magnitudes are expected, or in tiles where neighbours look alike.

use super::{Encoded, fits, levels, tiled_levels};
use crate::backend::Backend;
use crate::cost::COST_BITS;
use crate::quant::nearest::noise;
use crate::quant::{Float, Levels};

/// A quantised tensor, ready to be written.
pub(crate) struct Quantised {
    pub(crate) levels: Levels,
    plan: levels::Plan,
    /// In place of the plan, where that is the cheaper one by its estimate.
    tiled: Option<tiled_levels::Plan>,
    /// What decoding gives, little-endian.
    pub(crate) decoded: Vec<u8>,
    /// Squared error against squared weights.
    pub(crate) noise: f64,
    /// What the model is expected to lose by it, in nats a token, where that is known.
    pub(crate) loss: Option<f64>,
}

impl Quantised {
    /// Makes levels of the weights of a tensor of some shape ready. `None` as [`levels::Plan::new`].
    pub(crate) fn new(
        backend: Backend,
        float: Float,
        shape: &[usize],
        weights: &[f32],
        levels: Levels,
    ) -> Option<Self> {
        let plan = levels::Plan::new(backend, &levels)?;
        let tiled = tiled_levels::Plan::new(backend, shape, &levels, plan.bits);
        let decoded = levels.decoded(backend, float);
        let noise = noise(weights, &float.read(&decoded)?);
        Some(Self {
            levels,
            plan,
            tiled,
            decoded,
            noise,
            loss: None,
        })
    }

    /// Payload in bits, estimated.
    pub(crate) fn bits(&self) -> u64 {
        self.tiled.as_ref().map_or(self.plan.bits, |tiled| tiled.bits)
    }

    pub(crate) fn encode(&self, backend: Backend) -> Encoded {
        let plain = self.plan.encode(backend, &self.levels);
        // Prices of tiles are estimates: what they favour must still be smaller.
        let tiled = self
            .tiled
            .as_ref()
            .and_then(|tiled| tiled.encode(backend, &self.levels));
        let tiled = tiled.filter(|tiled| tiled.len() < plain.len() && fits(tiled, self.decoded.len()));
        tiled.unwrap_or(plain)
    }
}

/// Estimated payload of a quantised tensor of some shape with each tool by itself, in 2^-16 bits; `none` first.
pub(crate) fn tool_costs(backend: Backend, shape: &[usize], levels: &Levels) -> Vec<(&'static str, u64)> {
    let plans = [
        ("none", levels::Plan::flat(levels)),
        ("scale", levels::Plan::new(backend, levels)),
    ];
    let costs = plans
        .into_iter()
        .filter_map(|(tool, plan)| Some((tool, plan?.bits << COST_BITS)));
    costs.chain(tiled_levels::tool_costs(backend, shape, levels)).collect()
}
