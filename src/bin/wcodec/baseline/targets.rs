//! What the project set out to reach, and how far it is on a model.

use super::load::{SAFETENSORS, WCODEC};
use super::measure::{TensorFacts, sums};
use super::model::Found;
use super::quantised::{FLOATS, INT4, INT8};
use crate::output;
use serde::Serialize;
use wcodec::DType;
use wcodec::eval::Outcome;

/// What a model's warm-up is here, in words.
pub(super) const WARM_UP: &str =
    "from opening the safetensors files to the first logits of 16 tokens, in F32 on the CPU, one run";
/// Less than this of a file that a cold run did not read from the disk: the cache was not cold.
const COLD: f64 = 0.9;

/// The bound knows the frequencies of values and the scales of rows and columns, nothing else.
const BELOW_BOUND: &str =
    "the code predicts values from their neighbours, which the bound does not, and comes below it";

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Met,
    NotMet,
    /// Measured on some of the matrices only: that says nothing of the model.
    InPart,
    NotMeasured,
}

/// A target and what was measured.
#[derive(Serialize)]
pub(super) struct Target {
    pub(super) target: &'static str,
    pub(super) state: State,
    pub(super) measured: String,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::InPart => "in part",
            Self::NotMeasured => "not measured",
        }
    }

    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::NotMet }
    }
}

/// Bits of weights as they are, coded, and at least. Percentages are of the bits as they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Against {
    pub(super) weights: u64,
    pub(super) plain: f64,
    pub(super) encoded: f64,
    pub(super) bound: f64,
    /// Matrices that these are of, and all that the model has.
    pub(super) matrices: [usize; 2],
    /// All elements of the tensors that they could be of.
    all: u64,
}

impl Against {
    /// Nothing yet, of what tensors of these types there are.
    fn among<'a>(tensors: impl Iterator<Item = &'a TensorFacts>) -> Self {
        tensors.fold(Self::default(), |mut sum, t| {
            sum.all += t.sum.elements;
            sum.matrices[1] += usize::from(t.shape.len() >= 2);
            sum
        })
    }

    /// Of the model's floats, rounded to nearest.
    pub(super) fn rounded(tensors: &[TensorFacts], scheme: &str) -> Option<Self> {
        let mut sum = Self::among(tensors.iter().filter(|t| FLOATS.contains(&t.dtype)));
        for q in tensors.iter().flat_map(|t| &t.quantised).filter(|q| q.scheme == scheme) {
            sum.matrices[0] += 1;
            sum.weights += q.weights;
            sum.plain += q.plain;
            sum.encoded += q.encoded;
            sum.bound += q.bound;
        }
        (sum.weights > 0).then_some(sum)
    }

    /// Of integers that the file itself has.
    fn stored(tensors: &[TensorFacts], dtype: DType) -> Option<Self> {
        let matrices: Vec<&TensorFacts> = tensors
            .iter()
            .filter(|t| t.dtype == dtype && t.shape.len() == 2)
            .collect();
        let mut sum = Self::among(tensors.iter());
        for t in matrices {
            let bits = t.sum.bytes as f64 * 8.0;
            sum.matrices[0] += 1;
            sum.weights += t.sum.elements;
            sum.plain += bits;
            sum.encoded += t.sum.encoded as f64 * 8.0;
            sum.bound += t.ideal.least().map_or(bits, |b| b * t.sum.elements as f64);
        }
        (sum.weights > 0).then_some(sum)
    }

    /// Whether no matrix is left out.
    fn whole(&self) -> bool {
        self.matrices[0] == self.matrices[1]
    }

    pub(super) fn share(&self) -> f64 {
        100.0 * self.weights as f64 / self.all.max(1) as f64
    }

    /// What the figures are of, in words.
    pub(super) fn part(&self) -> String {
        let [some, all] = self.matrices;
        let matrices = if all == 1 { "matrix" } else { "matrices" };
        format!("{some} of {all} {matrices} ({:.1} % of the weights)", self.share())
    }

    /// Why coding comes below the bound, where it does.
    pub(super) fn below_bound(&self) -> Option<&'static str> {
        (self.encoded < self.bound).then_some(BELOW_BOUND)
    }

    pub(super) fn saved(&self) -> f64 {
        100.0 - 100.0 * self.encoded / self.plain
    }

    pub(super) fn bound_saved(&self) -> f64 {
        100.0 - 100.0 * self.bound / self.plain
    }
}

/// Every target.
pub(super) fn targets(found: &Found) -> Vec<Target> {
    vec![
        size(found, "file size 30 to 60 % below INT8", INT8, DType::I8),
        size(found, "file size 30 to 60 % below INT4", INT4, DType::U8),
        decode_time(found),
        accuracy(found),
        Target {
            target: "100 % bit-exact",
            state: State::Met,
            // A byte that differs ends the program with an error.
            measured: format!(
                "all {} are the original's, compared byte by byte in {:.2} s",
                output::bytes(found.compared),
                found.verify_seconds
            ),
        },
        Target {
            target: "GPU use above 80 % while decoding",
            state: State::NotMeasured,
            measured: "no GPU is used by this program".into(),
        },
    ]
}

fn size(found: &Found, target: &'static str, scheme: &'static str, stored: DType) -> Target {
    let (against, of) = match Against::stored(&found.tensors, stored) {
        Some(against) => (Some(against), format!("the {stored} matrices of the file, lossless")),
        None => {
            let of = format!("the weights rounded to {scheme}, then coded without loss");
            (Against::rounded(&found.tensors, scheme), of)
        }
    };
    let Some(against) = against else {
        return Target {
            target,
            state: State::NotMeasured,
            measured: "the model has no matrices that could be held against it".into(),
        };
    };
    let (saved, bound, part) = (against.saved(), against.bound_saved(), against.part());
    let why = against.below_bound().map_or(String::new(), |why| format!(": {why}"));
    Target {
        target,
        state: match against.whole() {
            true => State::of(saved >= 30.0),
            false => State::InPart,
        },
        measured: format!("{saved:.1} % of {of}, {part}; the entropy bound allows {bound:.1} %{why}"),
    }
}

fn decode_time(found: &Found) -> Target {
    let target = "decode time no more than the model's warm-up";
    let not = |measured: String| Target {
        target,
        state: State::NotMeasured,
        measured,
    };
    let warm = |format: &str| {
        let loads = found.loads.as_ref().ok()?;
        loads
            .iter()
            .find(|l| l.format == format && !l.cold)
            .map(|l| median(&l.seconds))
    };
    let (Some(plain), Some(decode)) = (warm(SAFETENSORS), warm(WCODEC)) else {
        return not(found.loads.as_ref().err().cloned().unwrap_or_default());
    };
    if found.not_loaded > 0 {
        let left_out = output::count(found.not_loaded, "tensor");
        return not(format!(
            "{left_out} of types that Candle does not load from safetensors were left out"
        ));
    }
    let compared = format!(
        "decode {decode:.3} s (all tensors from .wcodec into Candle tensors, warm cache, median), {:.2} times what \
         loading them from safetensors takes ({plain:.3} s)",
        decode / plain
    );
    match &found.warm_up {
        Ok(warm_up) => Target {
            target,
            state: State::of(decode <= *warm_up),
            measured: format!("{compared}; warm-up {warm_up:.3} s ({WARM_UP})"),
        },
        Err(why) => not(format!("{compared}; the model cannot be run here: {why}")),
    }
}

fn accuracy(found: &Found) -> Target {
    let target = "accuracy within 0.1 points";
    let candidate = found.accuracy.as_ref().and_then(|r| r.candidates.first());
    let (state, measured) = match candidate {
        None => (State::NotMeasured, "not asked for: --task FILE does".to_owned()),
        Some(c) if c.identical() => (
            State::Met,
            "identical: every logit is the original's, bit by bit".into(),
        ),
        Some(c) => match &c.verdict {
            None => (State::NotMeasured, "logits differ, and no task was given".into()),
            Some(v) => {
                let worst = v.checks.iter().map(|c| c.upper).fold(0.0, f64::max);
                let what = format!("logits differ; the largest drop may be {worst:.3} points");
                (State::of(v.outcome == Outcome::Met), what)
            }
        },
    };
    Target {
        target,
        state,
        measured,
    }
}

/// The middle one; of an even number the mean of both.
pub(super) fn median(seconds: &[f64]) -> f64 {
    crate::bench::median(seconds)
}

/// Whether what should have come from the disk did.
pub(super) fn was_cold(load: &super::load::Loads, bytes: u64) -> Option<bool> {
    load.from_disk.map(|read| read as f64 >= COLD * bytes as f64)
}

/// Sums by dtype and by kind, which all reports show.
pub(super) fn by_dtype(found: &Found) -> Vec<(String, super::measure::Sum)> {
    sums(&found.tensors, |t| t.dtype.to_string())
}

/// As [`by_dtype`].
pub(super) fn by_kind(found: &Found) -> Vec<(String, super::measure::Sum)> {
    sums(&found.tensors, |t| t.kind.clone())
}
