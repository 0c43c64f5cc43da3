//! The smallest file that holds limits on what it costs in accuracy, and the proof that it does.
//!
//! [`encode`] probes: it quantises at a strength, decodes the file as everybody would, measures it against the
//! original, and so on until the file cannot be made a hundredth smaller within the limits. The reference is run once, the
//! model reads the calibration text once, and what was found is kept, so that a run which was killed goes on
//! where it was. The file has a [certificate](crate::format::certificate) then; [`verify`] repeats the measurement.

mod certify;
mod claims;
mod encode;
mod held_out;
mod journal;
mod means;
mod measuring;
mod place;
mod probe;
mod quality;
mod request;
mod search;
mod suite;
mod verify;

pub use claims::claimed_checks;
pub use encode::{encode, left_behind};
pub use probe::Probe;
pub use quality::Quality;
pub use request::{Evaluation, Goal, Outcome, Probed, Request, Stage, Watch};
pub use verify::{Compared, Verification, verify};
