//! Levels by statistics.

use super::forward::RELATIVE;
use super::hessians::factor_name;
use super::memory;
use super::pass::{EMBEDDING, GRADIENTS, HEAD, means};
use super::store::Store;
use crate::Result;
use crate::backend::Backend;
use crate::checkpoint::{Quantising, Room, data_free, large_matrix};
use crate::codec::encode::levels::Plan;
use crate::codec::encode::quantised::Quantised;
use crate::cost::exp2;
use crate::encoder::TensorSpec;
use crate::model::traced::LINEARS;
use crate::progress::Progress;
use crate::quant::factor::Factor;
use crate::quant::feedback::feedback;
use crate::quant::nearest::{raise, rms};
use crate::quant::rates::Rates;
use crate::quant::{Float, Levels, Steps};
use candle_nn::VarBuilder;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Mutex, OnceLock};

/// Steps of columns are within this factor of their geometric mean, times or divided by it.
const COLUMN_RANGE: f64 = 5.0;
/// So are the squared gradients of rows.
const ROW_RANGE: f64 = 16.0;

/// Quantises tensors by their statistics.
pub(crate) struct Quantiser<'a> {
    store: &'a Store,
    backend: Backend,
    /// Mean squared gradients at the outputs, by the weights' names.
    gradients: HashMap<String, Vec<f64>>,
    /// Whether nothing is known of what tensors are worth: strengths are relative to each one's weights.
    relative: bool,
    /// The weights, in F32.
    vb: VarBuilder<'static>,
    /// Bytes for tensors that are quantised side by side, if they are limited.
    room: Option<u64>,
    /// Mean unit of the tensors that there are statistics of.
    middle: OnceLock<f64>,
    /// Tensors that were quantised without.
    blind: Mutex<BTreeSet<String>>,
}

impl<'a> Quantiser<'a> {
    pub(super) fn load(
        store: &'a Store,
        vb: VarBuilder<'static>,
        backend: Backend,
        tokens: usize,
        room: Option<u64>,
    ) -> Result<Self> {
        let sums = store.load(GRADIENTS)?.unwrap_or_default();
        let weights = sums.keys().filter(|name| name.ends_with(".weight"));
        let gradients = weights.map(|name| Ok((name.clone(), means(&sums, name, tokens)?)));
        Ok(Self {
            store,
            backend,
            gradients: gradients.collect::<Result<_>>()?,
            relative: sums.contains_key(RELATIVE),
            vb,
            room,
            middle: OnceLock::new(),
            blind: Mutex::default(),
        })
    }

    /// As a checkpoint's encoder asks for it.
    pub(crate) fn quantising(&self) -> Quantising<'_> {
        Quantising {
            takes: Box::new(|spec| self.takes(spec)),
            unit: Box::new(|spec, data| self.unit(spec, data)),
            quantise: Box::new(|spec, data, strength| self.quantise(spec, data, strength)),
            room: self.room.map(|bytes| Room {
                bytes,
                cost: memory::cost,
            }),
        }
    }

    /// Whether a tensor is quantised: there are statistics of it, or it is a large matrix.
    fn takes(&self, spec: &TensorSpec) -> bool {
        self.known(spec) || large_matrix(spec)
    }

    /// Whether there are statistics of a tensor.
    fn known(&self, spec: &TensorSpec) -> bool {
        let rows = self.gradients.get(&spec.name).map(Vec::len);
        rows == spec.shape.first().copied() && spec.shape.len() == 2 && Float::of(spec.dtype).is_some()
    }

    /// Says which tensors were quantised without statistics.
    pub(crate) fn warn(&self, progress: &dyn Progress) {
        for name in self.blind.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            let what = "the text told nothing of it: quantised as without calibration";
            progress.warn(&format!("{name}: {what}"));
        }
    }

    /// The strength at which steps are about as large as the weights.
    fn unit(&self, spec: &TensorSpec, data: &[u8]) -> Result<f64> {
        if self.relative {
            return Ok(0.0);
        }
        let (Some(float), Some(factor)) = (Float::of(spec.dtype), self.known_factor(spec)?) else {
            return self.middle();
        };
        match float.read(data).map_or(0.0, |weights| rms(&weights)) {
            0.0 => self.middle(),
            rms => Ok(self.unit_of(&spec.name, &factor, rms)),
        }
    }

    fn unit_of(&self, name: &str, factor: &Factor, rms: f64) -> f64 {
        let (rows, columns) = self.shares(name, factor);
        let step = geometric_mean(&rows) * geometric_mean(&columns);
        ((rms + 1e-30) / step).log2()
    }

    /// The mean unit: so strong are errors, against their weights, in tensors that nothing is known of.
    fn middle(&self) -> Result<f64> {
        if self.relative {
            return Ok(0.0);
        }
        if let Some(middle) = self.middle.get() {
            return Ok(*middle);
        }
        let mut names: Vec<&String> = self.gradients.keys().collect();
        names.sort();
        let unit = |name: &&String| {
            let Some(factor) = self.factor(name)? else {
                return Ok(None);
            };
            let weights = self.vb.get_unchecked(name)?.flatten_all()?.to_vec1::<f32>()?;
            // Of weights that are all 0 nothing is large or small.
            let rms = Some(rms(&weights)).filter(|&rms| rms > 0.0);
            Ok(rms.map(|rms| self.unit_of(name, &factor, rms)))
        };
        let units: Vec<Option<f64>> = names.iter().map(unit).collect::<Result<_>>()?;
        let units: Vec<f64> = units.into_iter().flatten().collect();
        let middle = units.iter().sum::<f64>() / units.len().max(1) as f64;
        Ok(*self.middle.get_or_init(|| middle))
    }

    /// A tensor of a strength. `None` if the weights are not finite, or no
    /// steps fit.
    fn quantise(&self, spec: &TensorSpec, data: &[u8], strength: f64) -> Result<Option<Quantised>> {
        let Some((float, weights)) = Float::of(spec.dtype).and_then(|float| Some((float, float.read(data)?))) else {
            return Ok(None);
        };
        let Some(factor) = self.known_factor(spec)? else {
            self.blind
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .insert(spec.name.clone());
            return Ok(data_free(self.backend, spec, data, strength - self.middle()?));
        };
        let strength = match self.relative {
            true => strength + self.unit_of(&spec.name, &factor, rms(&weights)),
            false => strength,
        };
        let levels = self.levels(&spec.name, float, &weights, strength, &factor);
        Ok(levels.and_then(|(levels, loss)| {
            let mut quantised = Quantised::new(self.backend, float, &spec.shape, &weights, levels)?;
            quantised.loss = (!self.relative).then_some(loss);
            Some(quantised)
        }))
    }

    /// Levels, and the loss that is expected of them, in nats a token.
    fn levels(
        &self,
        name: &str,
        float: Float,
        weights: &[f32],
        strength: f64,
        factor: &Factor,
    ) -> Option<(Levels, f64)> {
        let (rows, columns) = self.shares(name, factor);
        let mut rows: Vec<f32> = rows.iter().map(|r| *r as f32).collect();
        let columns: Vec<f32> = columns.iter().map(|c| (c * exp2(strength)) as f32).collect();
        raise(weights, &mut rows, &columns);
        let steps = Steps::near(&rows, &columns)?;
        let feedback = |rates: Option<&Rates>| feedback(self.backend, weights, float, steps.clone(), factor, rates);
        // Once for tables that say what levels take, and again with an eye on that.
        let (levels, _) = feedback(None)?;
        let rates = Plan::new(self.backend, &levels)?.rates();
        let (levels, errors) = feedback(Some(&rates))?;
        let worth = self.gradients.get(name)?;
        let loss = errors.iter().zip(worth).map(|(error, worth)| error * worth / 2.0).sum();
        Some((levels, loss))
    }

    /// What steps are in proportion to: of rows, the root of 1 / s; of columns, `1 / R[j][j]`. So a bit less
    /// in any of them costs the same loss.
    fn shares(&self, name: &str, factor: &Factor) -> (Vec<f64>, Vec<f64>) {
        let inverse: Vec<f64> = factor.diagonal.iter().map(|&d| 1.0 / f64::from(d)).collect();
        let middle = geometric_mean(&inverse);
        let mut columns = vec![0.0; inverse.len()];
        for (&j, inverse) in factor.order.iter().zip(&inverse) {
            columns[j as usize] = inverse.clamp(middle / COLUMN_RANGE, middle * COLUMN_RANGE);
        }
        let squares = self.gradients.get(name).map_or(&[][..], |s| s);
        let range = row_range(name, squares);
        let row = |s: &f64| s.clamp(*range.start(), *range.end()).sqrt().recip();
        (squares.iter().map(row).collect(), columns)
    }

    fn known_factor(&self, spec: &TensorSpec) -> Result<Option<Factor>> {
        match self.known(spec) {
            true => self.factor(&spec.name),
            false => Ok(None),
        }
    }

    /// `None` if the text told nothing of a tensor.
    fn factor(&self, name: &str) -> Result<Option<Factor>> {
        // Outputs that do nothing to the loss of this text may do something elsewhere.
        let felt = self.gradients.get(name);
        if !felt.is_some_and(|rows| rows.iter().any(|&r| r > 0.0)) {
            return Ok(None);
        }
        match place(name) {
            Some((layer, input)) => self.store.load_factor(&factor_name(layer, input)),
            None => self.store.load_factor(name),
        }
    }
}

/// Within which the squared gradients of rows are taken. A row of embedding or head is a token: what it is worth is known
/// from how often it is predicted, most are rare, and the few that are not may weigh as much as they do.
fn row_range(name: &str, squares: &[f64]) -> RangeInclusive<f64> {
    let middle = geometric_mean(squares);
    match name {
        EMBEDDING | HEAD => squares.iter().sum::<f64>() / squares.len().max(1) as f64 / ROW_RANGE..=f64::INFINITY,
        _ => middle / ROW_RANGE..=middle * ROW_RANGE,
    }
}

fn geometric_mean(values: &[f64]) -> f64 {
    let logs: f64 = values.iter().map(|v| (v + 1e-30).ln()).sum();
    (logs / values.len().max(1) as f64).exp()
}

/// Layer and input of a linear layer's weight.
fn place(name: &str) -> Option<(usize, usize)> {
    let (layer, linear) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let linear = linear.strip_suffix(".weight")?;
    let input = LINEARS.iter().find(|(name, _)| *name == linear)?.1;
    Some((layer.parse().ok()?, input))
}
