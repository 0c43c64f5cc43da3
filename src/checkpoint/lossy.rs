//! Quantised checkpoints without calibration.

use super::original::{Original, OriginalTensor};
use super::rate::{Search, guess, taken};
use super::{Change, Quantise, encode_as};
use crate::backend::Backend;
use crate::codec::encode::levels::Quantised;
use crate::cost::exp2;
use crate::encoder::{EncodeOptions, Report, TensorSpec};
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use crate::quant::{Float, Steps, nearest};
use rayon::prelude::*;
use std::cell::Cell;
use std::ffi::OsStr;
use std::path::Path;

/// What may be lost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Lossy {
    /// Bits a weight that the file is to have, everything counted: all tensors, header and index.
    pub bits: f64,
    /// Names of tensors of which every bit is kept; `*` stands for any characters.
    pub lossless: Vec<String>,
}

impl Lossy {
    /// This many bits a weight.
    pub fn bits(bits: f64) -> Self {
        let lossless = Vec::new();
        Self { bits, lossless }
    }

    pub(super) fn takes(&self, spec: &TensorSpec, quantising: &Quantising) -> bool {
        !self.lossless.iter().any(|pattern| matches(pattern, &spec.name)) && (quantising.takes)(spec)
    }
}

/// Whether a tensor is a matrix of floats that is large enough for it to matter.
fn large_matrix(spec: &TensorSpec) -> bool {
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
    encode_lossy_only(input, output, options, lossy, progress, &|_| true)
}

/// As [`encode_lossy`], of a folder only the files whose name `wanted` takes.
///
/// # Errors
/// As [`encode_lossy`].
pub fn encode_lossy_only(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Vec<Report>> {
    let quantising = data_free(Backend::choose(options.backend)?);
    let order = Order {
        lossy,
        quantising: &quantising,
        aim: Aim::Bits,
        room: 0,
        wanted,
    };
    encode_with(input, output, options, &order, progress).map(|(reports, _)| reports)
}

/// A way to quantise.
pub(crate) struct Quantising<'a> {
    /// Whether a tensor is quantised.
    pub(crate) takes: Box<dyn Fn(&TensorSpec) -> bool + Sync + 'a>,
    /// The strength at which a tensor's steps are about as large as its weights.
    pub(crate) unit: Box<dyn Fn(&TensorSpec, &[u8]) -> Result<f64> + Sync + 'a>,
    /// Makes a tensor of a strength: larger ones lose more. `None` if it cannot be.
    pub(crate) quantise: Box<Quantiser<'a>>,
}

/// Quantises a tensor, given its data and a strength.
pub(crate) type Quantiser<'a> = dyn Fn(&TensorSpec, &[u8], f64) -> Result<Option<Quantised>> + Sync + 'a;

/// The way that asks for nothing but the weights.
pub(crate) fn data_free(backend: Backend) -> Quantising<'static> {
    Quantising {
        takes: Box::new(large_matrix),
        unit: Box::new(|_, _| Ok(0.0)),
        quantise: Box::new(move |spec, data, strength| Ok(quantise(backend, spec, data, strength))),
    }
}

/// How strongly weights are quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// So that the file has [`Lossy::bits`].
    Bits,
    /// So that quantised tensors have about these bits a weight, by a guess that takes no pass over the model.
    #[cfg_attr(not(feature = "eval"), allow(dead_code))]
    Near(f64),
    /// At a strength that is known.
    #[cfg_attr(not(feature = "eval"), allow(dead_code))]
    Strength(f64),
}

/// What is to be made of a checkpoint.
pub(crate) struct Order<'a> {
    pub(crate) lossy: &'a Lossy,
    pub(crate) quantising: &'a Quantising<'a>,
    pub(crate) aim: Aim,
    /// Bytes that every file's index leaves free, for a certificate.
    pub(crate) room: usize,
    /// Of a folder, the files that are there.
    pub(crate) wanted: &'a dyn Fn(&OsStr) -> bool,
}

/// As [`encode_lossy`], quantised in some way. Gives the strength too.
pub(crate) fn encode_with(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    order: &Order,
    progress: &dyn Progress,
) -> Result<(Vec<Report>, f64)> {
    let backend = Backend::choose(options.backend)?;
    let used = Cell::new(0.0);
    let change = |originals: &[Original]| {
        let &Order { lossy, quantising, .. } = order;
        let wrong = |what: String| Error::input(display(input), what);
        let strength = match order.aim {
            Aim::Bits => Search::new(originals, lossy, backend, quantising)
                .map_err(wrong)?
                .run(progress)?,
            Aim::Near(bits) => guess(&taken(originals, lossy, quantising).map_err(wrong)?, quantising, bits)?,
            Aim::Strength(strength) => strength,
        };
        used.set(strength);
        let quantise = move |spec: &TensorSpec, data: &[u8]| match lossy.takes(spec, quantising) {
            true => (quantising.quantise)(spec, data, strength),
            false => Ok(None),
        };
        let (quantise, room) = (Box::new(quantise) as Box<Quantise>, order.room);
        Ok(Some(Change { quantise, room }))
    };
    let reports = encode_as(input, output, options, &change, progress, order.wanted)?;
    Ok((reports, used.get()))
}

/// Quantises with one step, `2^strength` times the weights' root mean square.
fn quantise(backend: Backend, spec: &TensorSpec, data: &[u8], strength: f64) -> Option<Quantised> {
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

/// Whether a name is as a pattern says: `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|name| (0..=name.len()).any(|at| name.is_char_boundary(at) && matches(rest, &name[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("lm_head.weight", "lm_head.weight"));
        assert!(matches("*norm*", "model.layers.3.input_layernorm.weight"));
        assert!(matches("model.*.weight", "model.embed_tokens.weight"));
        assert!(!matches("model.*.weight", "model.embed_tokens.bias"));
        assert!(!matches("", "a") && matches("*", "") && !matches("a*b*", "acd"));
    }
}
