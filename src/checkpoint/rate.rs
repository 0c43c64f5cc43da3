//! The search for the strength that gives the bits which are asked for.

use super::estimate;
use super::lossy::{Lossy, Quantising};
use super::original::{Original, OriginalTensor};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::progress::Progress;
use rayon::prelude::*;

/// The file may have this part more than the bits that were asked for.
const TOLERANCE: f64 = 0.002;
/// Passes over the model in search of the rate; the error falls by ten with each.
const PASSES: usize = 6;
/// Bytes of a tensor in index and safetensors header, about.
const ENTRY_BYTES: f64 = 400.0;
/// Bits a weight below which levels are nearly all 0.
const LEAST_BITS: f64 = 0.5;

/// A tensor, and the file that it is in.
type Taken<'a> = (&'a Original, &'a OriginalTensor);

fn all(originals: &[Original]) -> impl Iterator<Item = Taken<'_>> {
    originals.iter().flat_map(|o| o.tensors().iter().map(move |t| (o, t)))
}

/// The tensors that are quantised; if there is none, that is said in words.
pub(super) fn taken<'a>(
    originals: &'a [Original],
    lossy: &Lossy,
    quantising: &Quantising,
) -> std::result::Result<Vec<Taken<'a>>, String> {
    let taken: Vec<_> = all(originals)
        .filter(|(_, t)| lossy.takes(&t.spec, quantising))
        .collect();
    match taken.is_empty() {
        true => Err("it has no large matrix of floats to quantise".into()),
        false => Ok(taken),
    }
}

/// The strength that is likely to give tensors these bits a weight.
pub(super) fn guess(taken: &[Taken], quantising: &Quantising, bits: f64) -> Result<f64> {
    let unit = |(o, t): &Taken| (quantising.unit)(&t.spec, o.data(t));
    let units: Vec<f64> = taken.par_iter().map(unit).collect::<Result<_>>()?;
    // A Gaussian source takes 2.05 bits more than the octaves that its deviation is above the step.
    Ok(units.iter().sum::<f64>() / units.len() as f64 + 2.05 - bits)
}

pub(super) struct Search<'a> {
    /// The tensors that are quantised.
    taken: Vec<Taken<'a>>,
    /// Weights of those.
    weights: f64,
    /// Bits a weight that those may have.
    target: f64,
    quantising: &'a Quantising<'a>,
}

impl<'a> Search<'a> {
    /// What is in the way is said in words.
    pub(super) fn new(
        originals: &'a [Original],
        lossy: &Lossy,
        backend: Backend,
        quantising: &'a Quantising,
    ) -> std::result::Result<Self, String> {
        let weights = |t: &OriginalTensor| t.spec.shape.iter().product::<usize>() as f64;
        let total: f64 = all(originals).map(|(_, t)| weights(t)).sum();
        let taken = taken(originals, lossy, quantising)?;
        let kept = all(originals).filter(|(_, t)| !lossy.takes(&t.spec, quantising));
        let kept: f64 = kept.map(|(o, t)| estimate::of_tensor(backend, o, t)).sum();
        let headers: usize = originals.iter().map(|o| o.header().len()).sum();
        let fixed = 8.0 * (kept + headers as f64 + ENTRY_BYTES * all(originals).count() as f64);
        let quantised: f64 = taken.iter().map(|(_, t)| weights(t)).sum();
        let target = (lossy.bits * total - fixed) / quantised;
        if target < LEAST_BITS {
            let (kept, least) = (fixed / total, (LEAST_BITS * quantised + fixed) / total);
            return Err(format!(
                "{} bits a weight cannot be met: what is kept exactly takes {kept:.2} of them, and {least:.2} is the \
                 least",
                lossy.bits
            ));
        }
        Ok(Self {
            taken,
            weights: quantised,
            target,
            quantising,
        })
    }

    /// Bits a weight of a strength.
    fn bits(&self, strength: f64, progress: &dyn Progress) -> Result<f64> {
        let one = |(original, t): &(&Original, &OriginalTensor)| {
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

    /// The strength that gives the bits.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<f64> {
        let bytes: usize = self.taken.iter().map(|(_, t)| t.data.len()).sum();
        let mut at = guess(&self.taken, self.quantising, self.target)?;
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
