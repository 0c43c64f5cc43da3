//! A file of some strength, and what it was found to be.

use super::claims::checks;
use super::search::Point;
use crate::checkpoint::Aim;
use crate::encoder::Report;
use crate::eval::{Check, Limits, Outcome};
use crate::format::certificate::{File, Task, Text};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A file that was made and measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Probe {
    /// Of the quantiser: the bits of an F64, as text would not keep all of them.
    pub(super) strength: u64,
    /// The bits a weight near which the strength was to be, likewise, if it was not given.
    #[serde(default)]
    pub(super) near: Option<u64>,
    /// Bytes that were left free for the certificate.
    #[serde(default)]
    pub(super) room: usize,
    /// Files, by what they decode to.
    pub(super) files: Vec<File>,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bits of the files a weight.
    pub bits: f64,
    /// Bits a weight of the quantised tensors.
    pub quantised_bits: f64,
    /// Measured on texts.
    pub texts: Vec<Text>,
    /// Measured on tasks.
    pub tasks: Vec<Task>,
    /// What making and measuring it took.
    pub seconds: f64,
    /// Where it lies, if it does.
    #[serde(skip)]
    pub(super) made: Option<(PathBuf, Vec<Report>)>,
}

impl Probe {
    pub(super) fn strength(&self) -> f64 {
        f64::from_bits(self.strength)
    }

    /// Whether it is what making a file with this aim would give.
    pub(super) fn answers(&self, aim: Aim, room: usize) -> bool {
        self.room == room
            && match aim {
                Aim::Bits => false,
                Aim::Near(bits) => self.near == Some(bits.to_bits()),
                Aim::Strength(strength) => self.strength == strength.to_bits(),
            }
    }

    pub(super) fn checks(&self, limits: &Limits) -> Vec<Check> {
        checks(&self.texts, &self.tasks, limits)
    }

    /// As the search sees it.
    pub(super) fn point(&self, limits: &Limits, accept_uncertain: bool) -> Point {
        let excess = |c: &Check| {
            let value = if accept_uncertain { c.value } else { c.upper };
            match value <= c.limit {
                // Not above 0, however the division is rounded.
                true => (value / c.limit).max(1e-9).ln().min(0.0),
                // What is not known is not held.
                false if value.is_nan() => 50.0,
                false => (value / c.limit).ln().clamp(1e-9, 50.0),
            }
        };
        let excess = self.checks(limits).iter().map(excess).fold(f64::NEG_INFINITY, f64::max);
        Point {
            strength: self.strength(),
            bits: self.quantised_bits,
            bytes: self.bytes as f64,
            excess,
        }
    }
}

/// Whether all limits are held.
pub(super) fn holds(checks: &[Check], accept_uncertain: bool) -> bool {
    checks
        .iter()
        .all(|c| c.outcome == Outcome::Met || accept_uncertain && c.outcome == Outcome::Uncertain)
}
