//! What was measured, in a certificate's words, and held against limits.

use super::probe::holds;
use crate::eval::verdict::{Change, DIVERGENCE, INCREASE, TWO_SIDED, TaskChange, check, drops};
use crate::eval::{self, Check, Limits, TaskReport, TextReport, Z95};
use crate::format::certificate::{Accuracy, Certificate, Divergence, Task, Text, rounded};

/// A file may have this part more or less than the bits that were asked for: small ones have an index that is guessed at.
const BITS_OFF: f64 = 0.1;

pub(super) fn text(report: &TextReport, file: &str, sha256: &str, held_out: bool) -> Text {
    let d = &report.divergence;
    Text {
        file: file.into(),
        sha256: sha256.into(),
        held_out,
        windows: report.windows,
        window: report.window,
        tokens: report.tokens,
        identical: report.identical,
        perplexity: [report.reference.perplexity, report.candidate.perplexity].map(rounded),
        increase_percent: rounded(report.increase_percent),
        increase_interval: report.increase_interval.map(rounded),
        divergence: Divergence {
            mean: rounded(d.mean.mean),
            standard_error: rounded(d.mean.standard_error),
            median: rounded(d.median),
            p99: rounded(d.p99),
            p999: rounded(d.p999),
            max: rounded(d.max),
        },
        same_top: rounded(report.same_top.mean),
    }
}

pub(super) fn task(report: &TaskReport, file: &str, sha256: &str) -> Task {
    Task {
        file: file.into(),
        sha256: sha256.into(),
        items: report.items,
        identical: report.identical,
        accuracy: accuracy(&report.accuracy),
        normalised: report.normalised.as_ref().map(accuracy),
    }
}

fn accuracy(of: &eval::Accuracy) -> Accuracy {
    Accuracy {
        reference: rounded(of.reference.mean),
        candidate: rounded(of.candidate.mean),
        gained: of.paired.gained,
        lost: of.paired.lost,
        delta_points: rounded(of.paired.delta_points),
        interval_points: of.paired.interval_points.map(rounded),
    }
}

/// Every figure against its limit, as [`Verdict`](crate::eval::Verdict) holds them.
pub(super) fn checks(texts: &[Text], tasks: &[Task], limits: &Limits) -> Vec<Check> {
    let mut checks = Vec::new();
    for text in texts {
        let (d, increase) = (&text.divergence, text.increase_percent);
        for (figure, limit, value, upper) in [
            (DIVERGENCE, limits.divergence, d.mean, d.mean + Z95 * d.standard_error),
            (
                INCREASE,
                limits.perplexity_increase,
                increase,
                text.increase_interval[1],
            ),
        ] {
            let bounds = (value, upper, TWO_SIDED);
            checks.extend(limit.map(|limit| check(&text.file, figure, limit, bounds, text.identical)));
        }
    }
    let change = |a: Accuracy| Change {
        gained: a.gained,
        lost: a.lost,
        interval_points: a.interval_points,
    };
    let tasks = tasks.iter().map(|task| TaskChange {
        file: task.file.clone(),
        items: task.items,
        identical: task.identical,
        accuracy: change(task.accuracy),
        normalised: task.normalised.map(change),
    });
    checks.extend(drops(tasks.collect(), limits));
    checks
}

/// The figures of a certificate against the limits that it was made for, each with the bound that decided. Empty if there
/// were none. They are claims: nothing is measured.
pub fn claimed_checks(certificate: &Certificate) -> Vec<Check> {
    checks(&certificate.texts, &certificate.tasks, &limits(certificate))
}

fn limits(certificate: &Certificate) -> Limits {
    let options = &certificate.options;
    Limits {
        divergence: options.max_kl,
        perplexity_increase: options.max_ppl_increase,
        accuracy_drop: options.max_accuracy_drop,
        pool_tasks: options.pool_tasks,
    }
}

/// Whether a certificate's figures are as its options ask, and not of a text that it was calibrated on. What is wrong
/// is said in words.
pub(super) fn agree(certificate: &Certificate) -> Result<(), String> {
    let options = &certificate.options;
    let limits = limits(certificate);
    let checks = claimed_checks(certificate);
    let uncertain = options.accept_uncertain;
    if let Some(c) = checks.iter().find(|c| !holds(std::slice::from_ref(*c), uncertain)) {
        return Err(format!(
            "its certificate claims a limit of {} on the {} of {}, and its own figure is {}, up to {}",
            c.limit, c.figure, c.file, c.value, c.upper
        ));
    }
    let asked = [limits.divergence, limits.perplexity_increase].iter().flatten().count() * certificate.texts.len()
        + limits.accuracy_drop.iter().count() * if limits.pool_tasks { 1 } else { certificate.tasks.len() };
    if limits != Limits::default() && (checks.is_empty() || checks.len() < asked) {
        return Err("its certificate claims a limit on what it has no figure of".into());
    }
    let bits = options
        .bits
        .filter(|asked| (asked - certificate.bits).abs() > BITS_OFF * asked);
    if let Some(asked) = bits {
        return Err(format!(
            "its certificate claims {asked} bits a weight, and its own figure is {}",
            certificate.bits
        ));
    }
    let calibrated = |sha256: &str| certificate.calibration.iter().any(|c| c.sha256 == sha256);
    match certificate.texts.iter().find(|t| !t.held_out && calibrated(&t.sha256)) {
        None => Ok(()),
        Some(text) => Err(format!(
            "its certificate was measured on {}, which it was calibrated on",
            text.file
        )),
    }
}
