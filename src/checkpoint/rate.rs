//! The search for the strength that gives the bits which are asked for.

use super::estimate;
use super::lossy::{Lossy, Quantising};
use super::original::{Original, OriginalTensor};
use super::pattern::Fate;
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

fn weights(tensor: &OriginalTensor) -> f64 {
    tensor.spec.shape.iter().product::<usize>() as f64
}

/// The tensors of some files, by what becomes of them.
pub(super) struct Parts<'a> {
    /// Those that share the bits which the others leave.
    shared: Vec<Taken<'a>>,
    /// Those that have rates of their own.
    own: Vec<Taken<'a>>,
    kept: Vec<Taken<'a>>,
    quantising: &'a Quantising<'a>,
}

impl<'a> Parts<'a> {
    /// What is in the way is said in words.
    pub(super) fn new(
        originals: &'a [Original],
        lossy: &Lossy,
        quantising: &'a Quantising,
    ) -> std::result::Result<Self, String> {
        lossy.check(originals, &*quantising.takes)?;
        let (taken, kept): (Vec<_>, Vec<_>) = all(originals).partition(|(_, t)| lossy.takes(&t.spec, quantising));
        if taken.is_empty() {
            return Err("it has no large matrix of floats to quantise".into());
        }
        let is_shared = |(_, t): &Taken| lossy.fate(&t.spec.name) == Fate::Shared;
        let (shared, own): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_shared);
        if shared.is_empty() {
            return Err("all that is quantised has a rate of its own: nothing is left to reach the goal with".into());
        }
        Ok(Self {
            shared,
            own,
            kept,
            quantising,
        })
    }

    /// The search for the strength that gives the file its bits. What is in the way is said in words.
    pub(super) fn of_file(
        &self,
        originals: &[Original],
        lossy: &Lossy,
        backend: Backend,
    ) -> std::result::Result<Search<'a>, String> {
        let total: f64 = all(originals).map(|(_, t)| weights(t)).sum();
        let kept: f64 = self.kept.iter().map(|(o, t)| estimate::of_tensor(backend, o, t)).sum();
        let own_bits = |(_, t): &Taken| match lossy.fate(&t.spec.name) {
            Fate::Own(rate) => lossy.rates[rate].1 * weights(t),
            _ => 0.0,
        };
        let own_bits: f64 = self.own.iter().map(own_bits).sum();
        let headers: usize = originals.iter().map(|o| o.header().len()).sum();
        let fixed = 8.0 * (kept + headers as f64 + ENTRY_BYTES * all(originals).count() as f64) + own_bits;
        let quantised: f64 = self.shared.iter().map(|(_, t)| weights(t)).sum();
        let target = (lossy.bits * total - fixed) / quantised;
        if target < LEAST_BITS {
            let (kept, least) = (fixed / total, (LEAST_BITS * quantised + fixed) / total);
            return Err(format!(
                "{} bits a weight cannot be met: what is kept exactly or has a rate of its own takes {kept:.2} of \
                 them, and {least:.2} is the least",
                lossy.bits
            ));
        }
        Ok(self.search(self.shared.clone(), target))
    }

    /// The searches for rates of their own, in the order of [`Lossy::rates`].
    pub(super) fn own(&self, lossy: &Lossy) -> impl Iterator<Item = Search<'a>> {
        let of_rate = |(number, &(_, target)): (usize, &(String, f64))| {
            let of_this = |(_, t): &Taken| lossy.fate(&t.spec.name) == Fate::Own(number);
            self.search(self.own.iter().copied().filter(of_this).collect(), target)
        };
        lossy.rates.iter().enumerate().map(of_rate)
    }

    /// The strength that is likely to give the tensors which share these bits a weight.
    pub(super) fn guess(&self, bits: f64) -> Result<f64> {
        self.search(self.shared.clone(), bits).guess()
    }

    fn search(&self, taken: Vec<Taken<'a>>, target: f64) -> Search<'a> {
        Search {
            weights: taken.iter().map(|(_, t)| weights(t)).sum(),
            taken,
            target,
            quantising: self.quantising,
        }
    }
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

impl Search<'_> {
    /// The strength that is likely to give the bits.
    fn guess(&self) -> Result<f64> {
        let unit = |(o, t): &Taken| (self.quantising.unit)(&t.spec, o.data(t));
        let units: Vec<f64> = self.taken.par_iter().map(unit).collect::<Result<_>>()?;
        // A Gaussian source takes 2.05 bits more than the octaves that its deviation is above the step.
        Ok(units.iter().sum::<f64>() / units.len() as f64 + 2.05 - self.target)
    }

    /// Bits a weight of a strength.
    fn bits(&self, strength: f64, progress: &dyn Progress) -> Result<f64> {
        let one = |(original, t): &(&Original, &OriginalTensor)| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let quantised = (self.quantising.quantise)(&t.spec, original.data(t), strength)?;
            progress.advance(t.data.len() as u64, &t.spec.name);
            Ok(quantised.map_or(8 * t.data.len() as u64, |q| q.bits()))
        };
        let bits: Vec<u64> = self.taken.par_iter().with_max_len(1).map(one).collect::<Result<_>>()?;
        Ok(bits.iter().sum::<u64>() as f64 / self.weights)
    }

    /// The strength that gives the bits.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<f64> {
        let bytes: usize = self.taken.iter().map(|(_, t)| t.data.len()).sum();
        let mut at = self.guess()?;
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
