//! Quantised checkpoints without calibration.

use super::original::{Original, OriginalTensor};
use super::pattern::Fate;
use super::rate::Parts;
use super::{Change, Quantise, Work};
use crate::backend::Backend;
use crate::codec::encode::quantised::Quantised;
use crate::cost::exp2;
use crate::encoder::{EncodeOptions, Report, TensorSpec};
use crate::error::{Result, display};
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

    pub(super) fn takes(&self, spec: &TensorSpec, quantising: &Quantising) -> bool {
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
/// Encodes a safetensors file, or a folder with all its files, with quantised weights: every large matrix
/// of floats has steps in proportion to its weights, so that all have the same relative error, at
/// the bits a weight that are asked for. Decoding gives a checkpoint of the same tensors and types.
///
/// # Errors
/// As [`encode`](super::encode); [`Error::Usage`](crate::Error::Usage) if there is nothing to quantise, or the bits cannot be met.
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
    let quantising = uncalibrated(Backend::choose(options.backend)?);
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
    pub(crate) takes: Box<Takes<'a>>,
    /// The strength at which a tensor's steps are about as large as its weights.
    pub(crate) unit: Box<Unit<'a>>,
    /// Makes a tensor of a strength: larger ones lose more. `None` if it cannot be.
    pub(crate) quantise: Box<Quantiser<'a>>,
    /// What may be in memory at a time, if that is limited.
    pub(crate) room: Option<Room>,
}

/// Memory for tensors that are quantised side by side.
#[cfg_attr(not(feature = "eval"), allow(dead_code))]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    /// What one takes.
    pub(crate) cost: fn(&TensorSpec) -> u64,
}

impl Quantising<'_> {
    /// Tensors that are quantised side by side, in order: as many as there is memory for, one at least.
    pub(super) fn groups<'t, T>(&self, mut rest: &'t [T], spec: impl Fn(&T) -> &TensorSpec) -> Vec<&'t [T]> {
        let Some(Room { bytes, cost }) = &self.room else {
            return vec![rest];
        };
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let mut sum = 0u64;
            let fits = rest.iter().take_while(|item| {
                sum = sum.saturating_add(cost(spec(item)));
                sum <= *bytes
            });
            let (group, later) = rest.split_at(fits.count().max(1));
            groups.push(group);
            rest = later;
        }
        groups
    }
}

/// Whether a tensor is quantised.
pub(crate) type Takes<'a> = dyn Fn(&TensorSpec) -> bool + Sync + 'a;

/// The strength at which a tensor's steps are about as large as its weights.
pub(crate) type Unit<'a> = dyn Fn(&TensorSpec, &[u8]) -> Result<f64> + Sync + 'a;

/// Quantises a tensor, given its data and a strength.
pub(crate) type Quantiser<'a> = dyn Fn(&TensorSpec, &[u8], f64) -> Result<Option<Quantised>> + Sync + 'a;

/// The way that asks for nothing but the weights.
pub(crate) fn uncalibrated(backend: Backend) -> Quantising<'static> {
    Quantising {
        takes: Box::new(large_matrix),
        unit: Box::new(|_, _| Ok(0.0)),
        quantise: Box::new(move |spec, data, strength| Ok(data_free(backend, spec, data, strength))),
        room: None,
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
    let name = display(input);
    let decide = &|originals: &[Original]| {
        let &Order { lossy, quantising, .. } = order;
        let parts = Parts::new(&name, originals, lossy, quantising, backend, order.room)?;
        let strength = match order.aim {
            Aim::Bits => parts.of_file()?.run(progress)?,
            Aim::Near(bits) => parts.guess(bits)?,
            Aim::Strength(strength) => strength,
        };
        used.set(strength);
        let own = parts.own().map(|search| search?.run(progress));
        let own: Vec<f64> = own.collect::<Result<_>>()?;
        let quantise = move |spec: &TensorSpec, data: &[u8]| {
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
        let (quantise, room) = (Box::new(quantise) as Box<Quantise>, order.room);
        Ok(Some(Change {
            quantise,
            quantising,
            room,
        }))
    };
    let work = Work {
        input,
        output,
        options,
        decide,
        progress,
        wanted: order.wanted,
    };
    let reports = work.run()?;
    Ok((reports, used.get()))
}

/// Refuses what [`encode_with`] would refuse, before the work that it takes to know how to quantise: `takes` says what will
/// be quantised.
#[cfg(feature = "eval")]
pub(crate) fn check(
    input: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    takes: Box<Takes<'static>>,
    has_bits: bool,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<()> {
    let backend = Backend::choose(options.backend)?;
    let quantising = Quantising {
        takes,
        ..uncalibrated(backend)
    };
    let (name, originals) = (display(input), Original::all(input, wanted)?);
    let parts = Parts::new(&name, &originals, lossy, &quantising, backend, 0)?;
    if has_bits {
        parts.of_file()?;
    }
    parts.own().try_for_each(|search| search.map(drop))
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
    Quantised::new(backend, float, &spec.shape, &weights, levels)
}

/// The quantised tensors of a batch, `None` for those of which every bit is kept.
pub(super) fn quantise_batch(
    original: &Original,
    batch: &[OriginalTensor],
    change: &Change,
) -> Result<Vec<Option<Quantised>>> {
    let one = |t: &OriginalTensor| (change.quantise)(&t.spec, original.data(t));
    let mut all = Vec::new();
    for group in change.quantising.groups(batch, |t| &t.spec) {
        let done = group.par_iter().with_max_len(1).map(one);
        all.append(&mut done.collect::<Result<Vec<_>>>()?);
    }
    Ok(all)
}
