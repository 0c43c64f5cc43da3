//! Quantised checkpoints without calibration.

use super::original::{Original, OriginalTensor};
use super::pattern::Fate;
use super::{Quantise, encode_as, estimate};
use crate::backend::Backend;
use crate::codec::encode::levels::Quantised;
use crate::cost::exp2;
use crate::encoder::{EncodeOptions, Report, TensorSpec};
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use crate::quant::{Float, Steps, nearest};
use rayon::prelude::*;
use std::path::Path;

/// What may be lost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Lossy {
    /// Bits a weight that the file is to have, everything counted: all tensors, header and index.
    pub bits: f64,
    /// Names of tensors of which every bit is kept; `*` stands for any characters. Each must name one.
    pub lossless: Vec<String>,
    /// Names of tensors, and the bits a weight that all tensors of such a name have together. The first name
    /// decides; the tensors of none share what is left of [`Lossy::bits`].
    pub rates: Vec<(String, f64)>,
    /// Keeps every bit of embedding and head.
    pub keep_head: bool,
}

impl Lossy {
    /// This many bits a weight.
    pub fn bits(bits: f64) -> Self {
        Self {
            bits,
            ..Self::default()
        }
    }

    fn takes(&self, spec: &TensorSpec, quantising: &Quantising) -> bool {
        (quantising.takes)(spec) && self.fate(&spec.name) != Fate::Kept
    }
}

/// Whether a tensor is a matrix of floats that is large enough for it to matter.
pub(crate) fn large_matrix(spec: &TensorSpec) -> bool {
    let units: usize = spec.shape.iter().product();
    let columns = units.checked_div(spec.shape.first().copied().unwrap_or(0));
    Float::of(spec.dtype).is_some()
        && spec.shape.len() >= 2
        && units >= SMALLEST
        && columns.is_some_and(|c| c >= NARROWEST)
}

/// Weights of the smallest tensor that is quantised: of smaller ones the tables would weigh as much.
const SMALLEST: usize = 1 << 14;
/// Columns that a matrix has at least: fewer steps of rows than weights.
const NARROWEST: usize = 32;
/// The file may have this part more than the bits that were asked for.
const TOLERANCE: f64 = 0.002;
/// Passes over the model in search of the rate; the error falls by ten with each.
const PASSES: usize = 6;
/// Bytes of a tensor in index and safetensors header, about.
const ENTRY_BYTES: f64 = 400.0;

/// Encodes a safetensors file, or a folder with all its files, with quantised weights: every large matrix
/// of floats has steps in proportion to its weights, so that all have the same relative error, at
/// the bits a weight that are asked for. Decoding gives a checkpoint of the same tensors and types.
///
/// # Errors
/// As [`encode`](super::encode); [`Error::Usage`] if there is nothing to quantise, or the bits cannot be met.
pub fn encode_lossy(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    progress: &dyn Progress,
) -> Result<Vec<Report>> {
    let backend = Backend::choose(options.backend)?;
    let quantising = Quantising {
        takes: &large_matrix,
        unit: &|_, _| Ok(0.0),
        quantise: &|spec, data, strength| Ok(data_free(backend, spec, data, strength)),
    };
    encode_with(input, output, options, lossy, &quantising, progress)
}

/// A way to quantise.
pub(crate) struct Quantising<'a> {
    /// Whether a tensor is quantised.
    pub(crate) takes: &'a (dyn Fn(&TensorSpec) -> bool + Sync),
    /// The strength at which a tensor's steps are about as large as its weights.
    pub(crate) unit: &'a (dyn Fn(&TensorSpec, &[u8]) -> Result<f64> + Sync),
    /// Makes a tensor of a strength: larger ones lose more. `None` if it cannot be.
    pub(crate) quantise: &'a Quantiser<'a>,
}

/// Quantises a tensor, given its data and a strength.
pub(crate) type Quantiser<'a> = dyn Fn(&TensorSpec, &[u8], f64) -> Result<Option<Quantised>> + Sync + 'a;

/// As [`encode_lossy`], quantised in some way.
pub(crate) fn encode_with(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    quantising: &Quantising,
    progress: &dyn Progress,
) -> Result<Vec<Report>> {
    let backend = Backend::choose(options.backend)?;
    let quantiser = |originals: &[Original]| {
        let search = Search::new(originals, lossy, backend, quantising).map_err(|e| Error::input(display(input), e))?;
        let strength = search.run(progress)?;
        let own: Vec<f64> = search.own(lossy).map(|s| s.run(progress)).collect::<Result<_>>()?;
        let chosen = move |spec: &TensorSpec, data: &[u8]| {
            let strength = match lossy.fate(&spec.name) {
                Fate::Own(rate) => own[rate],
                _ => strength,
            };
            if !lossy.takes(spec, quantising) {
                return Ok(None);
            }
            let quantised = (quantising.quantise)(spec, data, strength)?;
            if quantised.is_none() {
                progress.warn(&format!(
                    "{}: {}: every bit of it is kept",
                    spec.name,
                    unfit(spec, data)
                ));
            }
            Ok(quantised)
        };
        Ok(Some(Box::new(chosen) as Box<Quantise>))
    };
    encode_as(input, output, options, &quantiser, progress, &|_| true)
}

/// Why a tensor was not quantised.
fn unfit(spec: &TensorSpec, data: &[u8]) -> &'static str {
    match Float::of(spec.dtype).and_then(|float| float.read(data)) {
        None => "not all of its weights are finite",
        Some(_) => "no steps fit its weights",
    }
}

/// Quantises with one step, `2^strength` times the weights' root mean square.
pub(crate) fn data_free(backend: Backend, spec: &TensorSpec, data: &[u8], strength: f64) -> Option<Quantised> {
    let float = Float::of(spec.dtype)?;
    let weights = float.read(data)?;
    let rows = *spec.shape.first()?;
    let step = (exp2(strength) * nearest::rms(&weights)) as f32;
    let steps = Steps::near(&vec![1.0; rows], &vec![step; weights.len().checked_div(rows)?])?;
    let levels = nearest::nearest(&weights, steps)?;
    Quantised::new(backend, float, &weights, levels)
}

/// The quantised tensors of a batch, `None` for those of which every bit is kept.
pub(super) fn quantise_batch(
    original: &Original,
    batch: &[OriginalTensor],
    quantise: &Quantise,
) -> Result<Vec<Option<Quantised>>> {
    let one = |t: &OriginalTensor| quantise(&t.spec, original.data(t));
    batch.par_iter().with_max_len(1).map(one).collect()
}

/// A tensor of a file.
type Place<'a> = (&'a Original, &'a OriginalTensor);

/// The search for the strength that gives the bits which are asked for.
struct Search<'a> {
    /// The tensors that are quantised.
    taken: Vec<Place<'a>>,
    /// Those that have rates of their own.
    own: Vec<Place<'a>>,
    /// Weights of those.
    weights: f64,
    /// Bits a weight that those may have.
    target: f64,
    quantising: &'a Quantising<'a>,
}

impl<'a> Search<'a> {
    /// What is in the way is said in words.
    fn new(
        originals: &'a [Original],
        lossy: &Lossy,
        backend: Backend,
        quantising: &'a Quantising,
    ) -> std::result::Result<Self, String> {
        lossy.check(originals, quantising.takes)?;
        let all = || originals.iter().flat_map(|o| o.tensors().iter().map(move |t| (o, t)));
        let total: f64 = all().map(|(_, t)| weights(t)).sum();
        let (taken, kept): (Vec<_>, Vec<_>) = all().partition(|(_, t)| lossy.takes(&t.spec, quantising));
        if taken.is_empty() {
            return Err("it has no large matrix of floats to quantise".into());
        }
        let (taken, own): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .partition(|(_, t)| lossy.fate(&t.spec.name) == Fate::Shared);
        if taken.is_empty() {
            return Err("all that is quantised has a rate of its own: nothing is left to reach the bits with".into());
        }
        let kept: f64 = kept.iter().map(|(o, t)| estimate::of_tensor(backend, o, t)).sum();
        let own_bits = |(_, t): &Place| match lossy.fate(&t.spec.name) {
            Fate::Own(rate) => lossy.rates[rate].1 * weights(t),
            _ => 0.0,
        };
        let own_bits: f64 = own.iter().map(own_bits).sum();
        let headers: usize = originals.iter().map(|o| o.header().len()).sum();
        let fixed = 8.0 * (kept + headers as f64 + ENTRY_BYTES * all().count() as f64) + own_bits;
        let quantised: f64 = taken.iter().map(|(_, t)| weights(t)).sum();
        let target = (lossy.bits * total - fixed) / quantised;
        if target < LEAST_BITS {
            let (kept, least) = (fixed / total, (LEAST_BITS * quantised + fixed) / total);
            return Err(format!(
                "{} bits a weight cannot be met: what is kept exactly or has a rate of its own takes {kept:.2} of \
                 them, and {least:.2} is the least",
                lossy.bits
            ));
        }
        Ok(Self {
            taken,
            own,
            weights: quantised,
            target,
            quantising,
        })
    }

    /// The searches for rates of their own, in the order of [`Lossy::rates`].
    fn own(&self, lossy: &Lossy) -> impl Iterator<Item = Search<'a>> {
        let of_rate = |(number, &(_, target)): (usize, &(String, f64))| {
            let own = self.own.iter().copied();
            let taken: Vec<_> = own
                .filter(|(_, t)| lossy.fate(&t.spec.name) == Fate::Own(number))
                .collect();
            Search {
                weights: taken.iter().map(|(_, t)| weights(t)).sum(),
                taken,
                own: Vec::new(),
                target,
                quantising: self.quantising,
            }
        };
        lossy.rates.iter().enumerate().map(of_rate)
    }

    /// Bits a weight of a strength.
    fn bits(&self, strength: f64, progress: &dyn Progress) -> Result<f64> {
        let one = |(original, t): &Place| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let quantised = (self.quantising.quantise)(&t.spec, original.data(t), strength)?;
            progress.advance(t.data.len() as u64, &t.spec.name);
            Ok(quantised.map_or(8 * t.data.len() as u64, |q| q.plan.bits))
        };
        let bits: Vec<u64> = self.taken.par_iter().with_max_len(1).map(one).collect::<Result<_>>()?;
        Ok(bits.iter().sum::<u64>() as f64 / self.weights)
    }

    fn run(&self, progress: &dyn Progress) -> Result<f64> {
        let bytes: usize = self.taken.iter().map(|(_, t)| t.data.len()).sum();
        let unit = |(o, t): &Place| (self.quantising.unit)(&t.spec, o.data(t));
        let units: Vec<f64> = self.taken.par_iter().map(unit).collect::<Result<_>>()?;
        // A Gaussian source takes 2.05 bits more than the octaves that its deviation is above the step.
        let mut at = units.iter().sum::<f64>() / units.len() as f64 + 2.05 - self.target;
        let mut before: Option<(f64, f64)> = None;
        for _ in 0..PASSES {
            progress.start(bytes as u64);
            let got = self.bits(at, progress)?;
            let off = got - self.target;
            if off.abs() <= TOLERANCE / 2.0 * self.target {
                break;
            }
            let slope = match before {
                Some((strength, bits)) if strength != at => ((got - bits) / (at - strength)).clamp(-1.1, -0.2),
                _ => -1.0,
            };
            before = Some((at, got));
            at -= off / slope;
        }
        Ok(at)
    }
}

fn weights(tensor: &OriginalTensor) -> f64 {
    tensor.spec.shape.iter().product::<usize>() as f64
}

/// Bits a weight below which levels are nearly all 0.
const LEAST_BITS: f64 = 0.5;
