//! The search for the strength that gives the bits which are asked for.

use super::estimate;
use super::lossy::{Lossy, Quantising};
use super::original::{Original, OriginalTensor};
use super::pattern::Fate;
use crate::backend::Backend;
use crate::encoder::index_room;
use crate::error::{Error, Result};
use crate::format::{ALIGNMENT, PREFIX_BYTES};
use crate::progress::Progress;
use rayon::prelude::*;

/// The file may have this part more or less than the bits that were asked for,
const TOLERANCE: f64 = 0.001;
/// and this, if no strength is found that is nearer: of a small model a step's rounding is so much.
const COARSE_TOLERANCE: f64 = 0.02;
/// Passes over the model in search of the rate; the error falls by ten with each.
const PASSES: usize = 12;
/// Bytes before a tensor's payload, so that it begins where it must: the mean.
const GAP: f64 = ALIGNMENT as f64 / 2.0;
/// Bits a weight below which levels are nearly all 0.
const LEAST_BITS: f64 = 0.5;
/// Bits a weight above which a lossless file may be smaller.
const MANY_BITS: f64 = 8.0;

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
    /// The checkpoint, for messages.
    name: &'a str,
    originals: &'a [Original],
    lossy: &'a Lossy,
    quantising: &'a Quantising<'a>,
    backend: Backend,
    /// Bytes that every file's index leaves free.
    room: usize,
    /// Those that share the bits which the others leave.
    shared: Vec<Taken<'a>>,
    /// Those that have rates of their own.
    own: Vec<Taken<'a>>,
    kept: Vec<Taken<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        name: &'a str,
        originals: &'a [Original],
        lossy: &'a Lossy,
        quantising: &'a Quantising,
        backend: Backend,
        room: usize,
    ) -> Result<Self> {
        let wrong = |what: String| Error::input(name, what);
        lossy.check(originals, &*quantising.takes).map_err(wrong)?;
        let (taken, kept): (Vec<_>, Vec<_>) = all(originals).partition(|(_, t)| lossy.takes(&t.spec, quantising));
        if taken.is_empty() {
            let what = match all(originals).any(|(_, t)| (quantising.takes)(&t.spec)) {
                true => "all that could be quantised is kept (--lossless, --keep-head): nothing is left to quantise",
                false => {
                    "it has no matrix of floats that is large enough to quantise: 16384 weights and 32 columns at least"
                }
            };
            return Err(wrong(what.into()));
        }
        let is_shared = |(_, t): &Taken| lossy.fate(&t.spec.name) == Fate::Shared;
        let (shared, own): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_shared);
        if shared.is_empty() {
            return Err(wrong(
                "all that is quantised has a rate of its own: nothing is left to reach the goal with".into(),
            ));
        }
        Ok(Self {
            name,
            originals,
            lossy,
            quantising,
            backend,
            room,
            shared,
            own,
            kept,
        })
    }

    /// The search for the strength that gives the file its bits.
    pub(super) fn of_file(&self) -> Result<Search<'a>> {
        let (lossy, asked) = (self.lossy, self.lossy.bits);
        let total: f64 = all(self.originals).map(|(_, t)| weights(t)).sum();
        let own_bits = |(_, t): &Taken| match lossy.fate(&t.spec.name) {
            Fate::Own(rate) => lossy.rates[rate].1 * weights(t),
            _ => 0.0,
        };
        let own_bits: f64 = self.own.iter().map(own_bits).sum();
        let of_file = |original: &Original| {
            let room = index_room(&original.specs(), Some(&original.source(Some(self.room))))?;
            Ok((PREFIX_BYTES as usize + room + original.header().len()) as f64 + GAP * original.tensors().len() as f64)
        };
        let others: Vec<f64> = self.originals.iter().map(of_file).collect::<Result<_>>()?;
        let fixed = 8.0 * others.iter().sum::<f64>() + lossless_bits(self.backend, &self.kept) + own_bits;
        let search = self.search(format!("{asked} bits a weight"), self.shared.clone(), 0.0);
        let target = (asked * total - fixed) / search.weights;
        if target < LEAST_BITS {
            let (kept, least) = (fixed / total, (LEAST_BITS * search.weights + fixed) / total);
            return Err(self.unmet(format!(
                "{asked} bits a weight cannot be met: what is kept exactly or has a rate of its own takes {kept:.2} of \
                 them, and {least:.2} is the least"
            )));
        }
        Search { target, ..search }.checked()
    }

    /// The searches for rates of their own, in the order of [`Lossy::rates`].
    pub(super) fn own(&self) -> impl Iterator<Item = Result<Search<'a>>> {
        let of_rate = |(number, (pattern, target)): (usize, &(String, f64))| {
            let of_this = |(_, t): &Taken| self.lossy.fate(&t.spec.name) == Fate::Own(number);
            let what = format!("{target} bits a weight for {pattern:?}");
            if *target < LEAST_BITS {
                return Err(self.unmet(format!("{what} cannot be met: {LEAST_BITS} is the least")));
            }
            let taken = self.own.iter().copied().filter(of_this).collect();
            self.search(what, taken, *target).checked()
        };
        self.lossy.rates.iter().enumerate().map(of_rate)
    }

    /// The strength that is likely to give the tensors which share these bits a weight.
    pub(super) fn guess(&self, bits: f64) -> Result<f64> {
        self.search(String::new(), self.shared.clone(), bits).guess()
    }

    fn unmet(&self, what: String) -> Error {
        Error::input(self.name, what)
    }

    fn search(&self, what: String, taken: Vec<Taken<'a>>, target: f64) -> Search<'a> {
        Search {
            name: self.name,
            what,
            weights: taken.iter().map(|(_, t)| weights(t)).sum(),
            taken,
            target,
            quantising: self.quantising,
            backend: self.backend,
        }
    }
}

/// Bits that tensors take losslessly, about.
fn lossless_bits(backend: Backend, tensors: &[Taken]) -> f64 {
    let bytes = tensors.par_iter().map(|(o, t)| estimate::of_tensor(backend, o, t));
    // One order: sums are the same with any number of threads.
    8.0 * bytes.collect::<Vec<f64>>().iter().sum::<f64>()
}

pub(super) struct Search<'a> {
    /// The checkpoint, for messages.
    name: &'a str,
    /// What is searched for, for messages.
    what: String,
    /// The tensors that are quantised.
    taken: Vec<Taken<'a>>,
    /// Weights of those.
    weights: f64,
    /// Bits a weight that those may have.
    target: f64,
    quantising: &'a Quantising<'a>,
    backend: Backend,
}

impl Search<'_> {
    /// Refuses more bits than a lossless file takes.
    fn checked(self) -> Result<Self> {
        if self.target > MANY_BITS {
            let lossless = lossless_bits(self.backend, &self.taken) / self.weights;
            if self.target >= lossless {
                let what = format!(
                    "{}: {:.2} of them would be the quantised tensors', and losslessly they take {lossless:.2}: ask for \
                     fewer, or for none, which loses nothing",
                    self.what, self.target
                );
                return Err(Error::input(self.name, what));
            }
        }
        Ok(self)
    }

    /// Something of every tensor, side by side.
    fn of_all(&self, one: impl Fn(&Taken) -> Result<f64> + Sync) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(self.taken.len());
        for group in self.quantising.groups(&self.taken, |(_, t)| &t.spec) {
            let done = group.par_iter().with_max_len(1).map(&one);
            all.append(&mut done.collect::<Result<Vec<_>>>()?);
        }
        Ok(all)
    }

    /// The strength that is likely to give the bits.
    fn guess(&self) -> Result<f64> {
        let unit = |(o, t): &Taken| (self.quantising.unit)(&t.spec, o.data(t));
        let units = self.of_all(unit)?;
        // A Gaussian source takes 2.05 bits more than the octaves that its deviation is above the step.
        Ok(units.iter().sum::<f64>() / units.len() as f64 + 2.05 - self.target)
    }

    /// Bits a weight of a strength.
    fn bits(&self, strength: f64, progress: &dyn Progress) -> Result<f64> {
        let one = |taken: &Taken| {
            let (original, t) = taken;
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let quantised = (self.quantising.quantise)(&t.spec, original.data(t), strength)?;
            progress.advance(t.data.len() as u64, &t.spec.name);
            Ok(match quantised {
                Some(quantised) => quantised.bits() as f64,
                None => lossless_bits(self.backend, &[*taken]),
            })
        };
        let bits = self.of_all(one)?;
        Ok(bits.iter().sum::<f64>() / self.weights)
    }

    /// The strength that gives the bits.
    ///
    /// # Errors
    /// [`Error::Input`] if none does.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<f64> {
        let bytes: usize = self.taken.iter().map(|(_, t)| t.data.len()).sum();
        let bits = |strength| {
            progress.start(bytes as u64);
            self.bits(strength, progress)
        };
        let (strength, got) = meet(self.guess()?, self.target, bits)?;
        let off = (got - self.target).abs();
        if off.is_nan() || off > COARSE_TOLERANCE * self.target {
            let what = format!(
                "{} cannot be met: the quantised tensors would have {:.2} of their own, and {got:.2} is the nearest that was found",
                self.what, self.target
            );
            return Err(Error::input(self.name, what));
        }
        Ok(strength)
    }
}

/// The strength whose bits are nearest to a target, and those bits: a larger one has fewer.
fn meet(guess: f64, target: f64, mut bits: impl FnMut(f64) -> Result<f64>) -> Result<(f64, f64)> {
    let (mut at, mut best, mut stride) = (guess, None::<(f64, f64)>, 1.02);
    // Strengths with too many bits and with too few, next to each other, and those bits.
    let (mut fine, mut coarse) = (None::<(f64, f64)>, None::<(f64, f64)>);
    let (mut last, mut repeats) = (None, 0);
    for _ in 0..PASSES {
        let got = bits(at)?;
        let off = (got - target).abs();
        if best.is_none_or(|(_, bits)| off < (bits - target).abs()) {
            best = Some((at, got));
        }
        if off <= TOLERANCE * target {
            break;
        }
        let side = got > target;
        repeats = if last == Some(side) { repeats + 1 } else { 0 };
        last = Some(side);
        match side {
            true if fine.is_none_or(|(strength, _)| at > strength) => fine = Some((at, got)),
            false if coarse.is_none_or(|(strength, _)| at < strength) => coarse = Some((at, got)),
            _ => {}
        }
        at = match (fine, coarse) {
            (Some(a), Some(b)) => {
                let part = (a.1 - target) / (a.1 - b.1);
                // A bracket that only one side moves in is halved.
                let part = if repeats > 1 { 0.5 } else { part.clamp(0.02, 0.98) };
                a.0 + (b.0 - a.0) * part
            }
            // An octave is a bit, or less where levels are few or beyond their limit.
            (Some(a), None) => a.0 + (a.1 - target).clamp(0.01, 6.0) * stride,
            (None, Some(b)) => b.0 - (target - b.1).clamp(0.01, 6.0) * stride,
            (None, None) => break,
        };
        stride *= 1.5;
    }
    best.ok_or(Error::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_met_or_the_nearest_is_said() {
        // Bits by strength: few levels at large ones, and more bits than are of use at small ones.
        let curve = |s: f64| (3.0 - s).exp2().ln_1p() * 1.3;
        for target in [0.6, 1.0, 2.5, 4.0, 6.0, 12.0] {
            for guess in [-8.0, 0.0, 3.0, 15.0] {
                let mut passes = 0;
                let (_, got) = meet(guess, target, |s| {
                    passes += 1;
                    Ok(curve(s))
                })
                .unwrap();
                assert!((got - target).abs() <= 0.02 * target, "{target} {guess}: {got}");
                assert!(passes <= PASSES);
            }
        }
        // One that jumps, and one that never comes there.
        let (_, got) = meet(0.0, 4.0, |s| Ok(if s > 0.3 { 1.0 } else { 9.0 })).unwrap();
        assert_eq!(got, 1.0);
        assert!(meet(0.0, 4.0, |_| Ok(6.0)).unwrap().1 == 6.0);
        assert!(meet(0.0, 4.0, |_| Ok(f64::NAN)).unwrap().1.is_nan());
    }
}
