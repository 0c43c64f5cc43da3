//! What is asked for, and what is given.

use super::probe::Probe;
use crate::calibrate::Calibration;
use crate::checkpoint::Lossy;
use crate::encoder::Report;
use crate::eval::{Check, Limits};
use crate::format::certificate::Certificate;
use crate::progress::Progress;
use std::path::PathBuf;
use std::time::Duration;

/// What a file has to be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// So many bits a weight of the whole file.
    Bits(f64),
    /// As small as these limits allow, all of them together.
    Limits {
        /// The limits.
        limits: Limits,
        /// Take a figure within its limit as met, however far up it may be.
        accept_uncertain: bool,
    },
}

/// What files are measured on. Each text and task is to be like what the model is for, and other than what it
/// is calibrated on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Evaluation {
    /// Texts, as [`read_text`](crate::eval::read_text) reads them. Without one, and for limits, the last eighth of
    /// each of the calibration's texts is held out from calibration and measured on.
    pub texts: Vec<PathBuf>,
    /// Tasks, as [`read_items`](crate::eval::read_items) reads them.
    pub tasks: Vec<PathBuf>,
    /// First windows of each text that are read. Default 16.
    pub windows: Option<usize>,
    /// First items of each task that are answered. Default: all.
    pub items: Option<usize>,
}

/// What is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What the file has to be like.
    pub goal: Goal,
    /// What becomes of which tensors. Its bits are the goal's.
    pub lossy: Lossy,
    /// What to calibrate on. Without it, every tensor gets the same relative error.
    pub calibration: Option<Calibration>,
    /// What to measure on.
    pub evaluation: Evaluation,
    /// Folder for what is found on the way, which is kept. Default: one beside the output, deleted in the end.
    pub folder: Option<PathBuf>,
}

impl Request {
    /// For a goal; nothing is calibrated, and measured on nothing.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            lossy: Lossy::default(),
            calibration: None,
            evaluation: Evaluation::default(),
            folder: None,
        }
    }
}

/// A step of the work, with a progress of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The model reads the calibration's texts. In tokens that go through layers.
    Calibrating,
    /// In bytes.
    Encoding,
    /// Both models read a text. In tokens.
    Reading,
    /// Both models answer a task. In tokens.
    Answering,
}

/// Who is told of the work.
pub struct Watch<'a> {
    /// Makes a step's progress.
    pub progress: &'a dyn Fn(Stage) -> Box<dyn Progress>,
    /// Told of every probe.
    pub probed: &'a dyn Fn(&Probed),
}

/// A probe that was measured.
pub struct Probed<'a> {
    /// The probe.
    pub probe: &'a Probe,
    /// From 1, of this run.
    pub number: usize,
    /// Whether an earlier run made and measured it.
    pub known: bool,
    /// Its figures against the limits.
    pub checks: &'a [Check],
    /// Whether it holds them.
    pub holds: bool,
    /// What is left to do, about.
    pub left: Duration,
}

/// What became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What was made of each file. None if no file holds the limits: nothing was written then.
    pub reports: Option<Vec<Report>>,
    /// All probes, in their order, each with its figures against the limits, and whether it holds them.
    pub probes: Vec<(Probe, Vec<Check>, bool)>,
    /// Which of them was written, or, of none that holds, came nearest.
    pub best: Option<usize>,
    /// What the files have, if something was measured.
    pub certificate: Option<Certificate>,
}
