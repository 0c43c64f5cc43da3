//! What became of a goal, for people and programs.

use crate::failure::Failure;
use crate::output;
use serde_json::{Value, json};
use wcodec::Report;
use wcodec::eval::{Check, Outcome as Verdict};
use wcodec::rate_control::{Goal, Outcome, Probe, Probed};

/// A figure against its limit.
pub(crate) fn figure(c: &Check) -> String {
    let (name, unit) = c.figure.split_once(", ").unwrap_or((c.figure, ""));
    let unit = if unit == "percent" { "%" } else { unit };
    let limit = output::figure(c.limit);
    let accepted = match c.outcome {
        Verdict::Uncertain => ", uncertain",
        _ => "",
    };
    format!(
        "{name} {:.4} {unit}, up to {:.4}, limit {limit}{accepted}",
        c.value, c.upper
    )
}

/// All figures, each with what it was measured on where that is more than one file.
fn figures(checks: &[Check]) -> String {
    let several = checks.iter().any(|c| c.file != checks[0].file);
    let figures = checks.iter().map(|c| match several {
        true => format!("{}: {}", c.file, figure(c)),
        false => figure(c),
    });
    figures.collect::<Vec<_>>().join("; ")
}

/// A probe, on a line.
pub(super) fn line(probed: &Probed) -> String {
    let probe = probed.probe;
    let mut text = format!("probe {}: {:.3} bits a weight", probed.number, probe.bits);
    if !probed.checks.is_empty() {
        text += &format!("; {}", figures(probed.checks));
        let left = output::duration(probed.left);
        text += if probed.holds { ": holds" } else { ": does not hold" };
        if probed.known {
            text += ", as was found before";
        }
        text += &format!(" (about {left} left)");
    }
    text
}

/// The kind of error where no file holds a limit.
pub(super) const UNMET: &str = "limit-not-met";

/// What became of a goal.
pub(super) struct Searched {
    pub(super) outcome: Outcome,
    pub(super) goal: Goal,
    pub(super) warnings: Vec<String>,
    /// The command that measures again what the certificate claims.
    pub(super) check: String,
}

impl Searched {
    /// Of the files that were written; a failure if there are none.
    pub(super) fn reports(&self) -> Result<Vec<Report>, Failure> {
        match &self.outcome.reports {
            Some(reports) => Ok(reports.clone()),
            None => Err(Failure::after_result(UNMET, self.unmet())),
        }
    }

    /// Why there is no file.
    pub(super) fn unmet(&self) -> String {
        let mut text = "no file was found that holds the limit".to_owned();
        if let Some((probe, checks, _)) = self.outcome.best.and_then(|i| self.outcome.probes.get(i)) {
            let within = checks.iter().all(|c| c.value <= c.limit);
            text += &format!(
                ": the finest of {}, of {:.2} bits a weight, has {}: {}",
                output::count(self.outcome.probes.len(), "probe"),
                probe.bits,
                figures(checks),
                match within {
                    true =>
                        "the figures are within, their upper bounds are not: measure on more (--windows, --task), or take the \
                         figures themselves (--accept-uncertain)",
                    false => "allow more, or encode without a goal, which loses nothing",
                }
            );
        }
        text
    }

    /// What was not as it was asked for.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The best probe.
    fn best(&self) -> Option<&(Probe, Vec<Check>, bool)> {
        self.outcome.best.and_then(|i| self.outcome.probes.get(i))
    }

    pub(super) fn add_to(&self, value: &mut Value) {
        value["measured"] = json!(self.outcome.certificate.is_some());
        let Some((best, ..)) = self.best() else { return };
        value["bits_per_weight"] = best.bits.into();
        value["quantised_bits_per_weight"] = best.quantised_bits.into();
        let probes = self.outcome.probes.iter().map(|(probe, checks, holds)| {
            json!({
                "encoded_bytes": probe.bytes,
                "bits_per_weight": probe.bits,
                "quantised_bits_per_weight": probe.quantised_bits,
                "texts": probe.texts,
                "tasks": probe.tasks,
                "checks": checks,
                "holds": matches!(self.goal, Goal::Limits { .. }).then_some(holds),
                "seconds": probe.seconds,
            })
        });
        value["probes"] = probes.collect();
        value["best"] = json!(self.outcome.best);
        value["certificate"] = json!(self.outcome.certificate);
        value["check_command"] = json!(self.outcome.certificate.as_ref().map(|_| &self.check));
    }

    /// For people, behind the summary.
    pub(super) fn text(&self) -> String {
        let (Some((_, checks, _)), Some(certificate)) = (self.best(), &self.outcome.certificate) else {
            return "  not measured: what it costs is not known (--text FILE or --task FILE measures it)\n".into();
        };
        let mut text = "  measured".to_owned();
        if !checks.is_empty() {
            text += &format!("; {}", figures(checks));
        }
        if checks.iter().any(|c| c.outcome == Verdict::Uncertain) {
            text += " (accepted: --accept-uncertain)";
        }
        for t in certificate.texts.iter().filter(|_| checks.is_empty()) {
            let [before, after] = t.perplexity;
            let kl = t.divergence.mean;
            text += &format!(
                "; {}: perplexity {before:.3} -> {after:.3}, KL divergence {kl:.4}",
                t.file
            );
        }
        for t in certificate.tasks.iter().filter(|_| checks.is_empty()) {
            text += &format!("; {}: accuracy {:+.2} points", t.file, t.accuracy.delta_points);
        }
        format!("{text}\n  certified: {}\n", self.check)
    }
}
