//! What was measured, for programs, and what the reports have in common.

use crate::output::{count, duration};
use serde_json::{Value, json};
use std::time::Duration;
use wcodec::eval::{
    Accuracy, Check, Estimate, Outcome, Perplexity, Probability, Spent, TaskReport, TextReport, Times, Verdict,
};

/// All that was measured.
pub(crate) struct Report {
    pub(crate) reference: Measured,
    pub(crate) candidates: Vec<Candidate>,
}

/// A model's size.
pub(crate) struct Measured {
    pub(crate) name: String,
    /// Of the weights' files.
    pub(crate) bytes: u64,
    /// Of the reference: what rates are taken by.
    pub(crate) elements: u64,
    /// Bytes of the linear layers of the blocks, and the reference's elements of them.
    pub(crate) linear: (u64, u64),
}

/// A candidate against the reference.
pub(crate) struct Candidate {
    pub(crate) model: Measured,
    /// A short name that no other candidate has.
    pub(crate) label: String,
    pub(crate) loading: Duration,
    /// In what its configuration differs from the reference's although the shapes are the same.
    pub(crate) remarks: Vec<String>,
    pub(crate) texts: Vec<TextReport>,
    pub(crate) tasks: Vec<TaskReport>,
    /// All tasks as one, if there are several.
    pub(crate) together: Option<TaskReport>,
    pub(crate) verdict: Option<Verdict>,
}

impl Measured {
    /// Bits of the files a weight.
    pub(crate) fn rate(&self) -> f64 {
        8.0 * self.bytes as f64 / self.elements.max(1) as f64
    }

    /// The same of the linear layers of the blocks; `None` if there are none.
    pub(crate) fn linear_rate(&self) -> Option<f64> {
        let (bytes, elements) = self.linear;
        (elements > 0).then(|| 8.0 * bytes as f64 / elements as f64)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "bytes": self.bytes,
            "bits_per_weight": self.rate(),
            "linear_bits_per_weight": self.linear_rate(),
        })
    }
}

impl Candidate {
    /// Whether no logit differs anywhere.
    pub(crate) fn identical(&self) -> bool {
        self.texts.iter().all(|t| t.identical) && self.tasks.iter().all(|t| t.identical)
    }

    /// Each task, and all together.
    pub(super) fn all_tasks(&self) -> Vec<&TaskReport> {
        self.tasks.iter().chain(&self.together).collect()
    }

    /// Most points that the accuracy on a task may fall, if it is held to a limit.
    pub(super) fn largest_drop(&self, task: &TaskReport) -> Option<f64> {
        let mut checks = self.verdict.iter().flat_map(|v| &v.checks);
        checks.find(|c| c.file == task.file).map(|c| c.limit)
    }

    fn json(&self) -> Value {
        let mut value = self.model.json();
        let texts = self.texts.iter().map(|t| timed(t, t.times));
        let tasks = self.tasks.iter().map(|t| timed(t, t.times));
        value["identical"] = self.identical().into();
        value["texts"] = texts.collect();
        value["tasks"] = tasks.collect();
        value["together"] = json!(self.together);
        value["verdict"] = json!(self.verdict);
        value["remarks"] = json!(self.remarks);
        value["loading_seconds"] = seconds(self.loading);
        value
    }
}

/// A struct of numbers and strings, and the time that it took.
fn timed(measured: &impl serde::Serialize, times: Times) -> Value {
    let mut value = serde_json::to_value(measured).unwrap_or_default();
    for (model, spent) in [("reference", times.reference), ("candidate", times.candidate)] {
        value[format!("{model}_seconds")] = seconds(spent.all);
        // Of kept results: the time is that of the run that found them.
        value[format!("{model}_earlier_seconds")] = seconds(spent.earlier);
    }
    value
}

/// A duration's number in JSON.
fn seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

impl Report {
    /// The worst of all candidates.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let verdicts = self.candidates.iter().filter_map(|c| c.verdict.as_ref());
        verdicts.map(|v| v.outcome).max()
    }

    /// All checks, with the candidates they are of.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (&Candidate, &Check)> {
        self.candidates
            .iter()
            .flat_map(|c| c.verdict.iter().flat_map(|v| &v.checks).map(move |check| (c, check)))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "command": "eval",
            "reference": self.reference.json(),
            "candidates": self.candidates.iter().map(Candidate::json).collect::<Vec<_>>(),
            "outcome": self.outcome(),
        })
    }

    /// A line for each candidate and item of the tasks.
    pub(super) fn items(&self) -> String {
        let mut out = String::new();
        for candidate in &self.candidates {
            for task in &candidate.tasks {
                for answered in &task.answers {
                    let mut value = serde_json::to_value(answered).unwrap_or_default();
                    value["task"] = task.file.as_str().into();
                    value["model"] = candidate.model.name.as_str().into();
                    out += &format!("{value}\n");
                }
            }
        }
        out
    }
}

/// A figure.
pub(super) fn values(check: &Check) -> String {
    match check.identical {
        true => "identical".into(),
        false => beside(check.value, check.limit),
    }
}

/// What decided over a check: the same sentence in every report.
pub(super) fn decided(check: &Check) -> String {
    let (upper, bound) = (beside(check.upper, check.limit), check.bound);
    match check.outcome {
        _ if check.identical => bound.into(),
        Outcome::Met => format!("at most {upper}, the {bound}"),
        Outcome::Uncertain if !check.upper.is_finite() => "one window, or one text, has no interval".into(),
        Outcome::Uncertain => format!("may be up to {upper}, the {bound}"),
        Outcome::Exceeded => "the value itself is above the limit".into(),
    }
}

/// A number beside its limit: with four decimals, and as many more as it takes to show its size and on which side
/// of the limit it is.
fn beside(value: f64, limit: f64) -> String {
    let told = |text: &String| {
        let shown: f64 = text.parse().unwrap_or(f64::NAN);
        (shown - value).abs() <= 0.05 * value.abs() && (shown > limit) == (value > limit)
    };
    let texts = (4..=12).map(|digits| format!("{value:.digits$}"));
    texts.into_iter().find(told).unwrap_or_else(|| format!("{value:e}"))
}

/// A perplexity and its standard error.
pub(super) fn perplexity(of: &Perplexity) -> String {
    let (mean, standard_error) = (of.perplexity, of.standard_error);
    plus_minus(Estimate { mean, standard_error }, 1.0, 4)
}

/// How much larger a perplexity may be, in percent.
pub(super) fn increase_interval(text: &TextReport) -> String {
    match text.increase_interval {
        [low, high] if high.is_finite() => format!("{low:+.4} to {high:+.4}"),
        _ => "?".into(),
    }
}

/// What is said of items that were too long; `None` if none was.
pub(super) fn too_long(task: &TaskReport) -> Option<String> {
    let why = "of more tokens than the model has positions";
    match (task.skipped, task.truncated) {
        (0, 0) => None,
        (skipped, 0) => Some(format!("{} {why} left out", count(skipped, "item"))),
        (_, cut) => Some(format!("{} {why}: the first tokens are left out", count(cut, "item"))),
    }
}

/// How long it took, and which part of that an earlier run did.
pub(super) fn took(spent: Spent) -> String {
    let all = duration(spent.all);
    match spent.earlier.is_zero() {
        true => all,
        false if spent.earlier == spent.all => format!("{all}, in an earlier run"),
        false => format!("{all}, {} of it in an earlier run", duration(spent.earlier)),
    }
}

/// A word for an outcome.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::Uncertain => "uncertain",
        Outcome::Exceeded => "EXCEEDED",
    }
}

/// `a ± e`, with these decimals; the estimate times a factor. Of one value no error is known.
pub(super) fn plus_minus(estimate: Estimate, factor: f64, digits: usize) -> String {
    let (mean, error) = (estimate.mean * factor, estimate.standard_error * factor);
    match error.is_finite() {
        true => format!("{mean:.digits$} ± {error:.digits$}"),
        false => format!("{mean:.digits$} ± ?"),
    }
}

/// Cells of a table of accuracies, behind the name.
pub(super) fn cells(accuracy: &Accuracy) -> [String; 7] {
    let p = &accuracy.paired;
    [
        plus_minus(accuracy.reference, 100.0, 2),
        plus_minus(accuracy.candidate, 100.0, 2),
        format!("{:+.3}", p.delta_points),
        format!("{:+.3} to {:+.3}", p.interval_points[0], p.interval_points[1]),
        p.gained.to_string(),
        p.lost.to_string(),
        format!("{:.3}", p.mcnemar_p),
    ]
}

/// As [`cells`], of how probable the right answers are.
pub(super) fn probability_cells(probability: &Probability) -> [String; 7] {
    let interval =
        probability_interval(probability).map_or("?".to_owned(), |[low, high]| format!("{low:+.3} to {high:+.3}"));
    [
        plus_minus(probability.reference, 100.0, 2),
        plus_minus(probability.candidate, 100.0, 2),
        format!("{:+.3}", 100.0 * probability.change.mean),
        interval,
        String::new(),
        String::new(),
        String::new(),
    ]
}

/// The 95 % interval of the change, in points: of one item there is none.
pub(super) fn probability_interval(probability: &Probability) -> Option<[f64; 2]> {
    let change = probability.change;
    let interval = [-1.96, 1.96].map(|z| 100.0 * (change.mean + z * change.standard_error));
    interval.iter().all(|end| end.is_finite()).then_some(interval)
}

/// What the right answers' probability is called.
pub(super) const PROBABILITY: &str = "right answer's probability";

/// Accuracies of a task, with their names.
pub(super) fn accuracies(task: &TaskReport) -> impl Iterator<Item = (&'static str, &Accuracy)> {
    let kinds = [
        ("accuracy", Some(&task.accuracy)),
        ("normalised", task.normalised.as_ref()),
    ];
    kinds.into_iter().filter_map(|(name, accuracy)| Some((name, accuracy?)))
}

/// Short names for names: the last part of a path, with as many folders before it as tell it from the others.
pub(crate) fn labels<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let with_folders = |name: &'a str, folders: usize| {
        let plain = name.trim_end_matches(['/', '\\']);
        match plain.rmatch_indices(['/', '\\']).nth(folders) {
            Some((at, _)) => &plain[at + 1..],
            None if plain.is_empty() => name,
            None => plain,
        }
    };
    let label = |name: &'a str| {
        let most = name.matches(['/', '\\']).count();
        let alone = |folders: &usize| {
            let alike = |other: &&&'a str| with_folders(other, *folders) == with_folders(name, *folders);
            names.iter().filter(alike).count() == 1
        };
        with_folders(name, (0..most).find(alone).unwrap_or(most))
    };
    names.iter().map(|name| label(name)).collect()
}

/// A file's name without its folders.
pub(super) fn short(file: &str) -> &str {
    file.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_on_which_side_of_a_limit_they_are() {
        assert_eq!(beside(45.925839, 1.0), "45.9258");
        assert_eq!(beside(3.21e-8, 1e-7), "0.000000032");
        assert_eq!(beside(1.2e-14, 0.0), "1.2e-14");
        assert_eq!(
            (beside(0.10001, 0.1), beside(0.09999, 0.1)),
            ("0.10001".into(), "0.1000".into())
        );
        assert_eq!(
            (beside(0.0, 0.1), beside(-0.5, 0.1)),
            ("0.0000".into(), "-0.5000".into())
        );
    }

    #[test]
    fn labels_tell_candidates_apart() {
        assert_eq!(
            labels(&["a/x.wcodec", "b/x.wcodec", "b/y.wcodec"]),
            ["a/x.wcodec", "b/x.wcodec", "y.wcodec"]
        );
        assert_eq!(
            labels(&["/m/1/small/x.wcodec", "/m/2/small/x.wcodec", "x.wcodec", "/m/big/"]),
            ["1/small/x.wcodec", "2/small/x.wcodec", "x.wcodec", "big"]
        );
        assert_eq!((short("a/b/"), short(""), short("/")), ("b", "", "/"));
    }
}
