//! What is printed.

use super::seconds;
use crate::output::{count, duration};
use crate::table::{Align, Table};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use wcodec::eval::{Accuracy, Check, Estimate, Limits, Outcome, TaskReport, TextReport, Verdict};

/// Differing items that are named on a terminal.
const NAMED: usize = 5;

/// All that was measured.
pub(super) struct Report {
    pub(super) reference: String,
    pub(super) candidate: String,
    loading: Duration,
    pub(super) texts: Vec<(TextReport, Duration)>,
    pub(super) tasks: Vec<(TaskReport, Duration)>,
    pub(super) verdict: Option<Verdict>,
}

impl Report {
    pub(super) fn new(reference: &Path, candidate: &Path, loading: Duration) -> Self {
        Self {
            reference: reference.display().to_string(),
            candidate: candidate.display().to_string(),
            loading,
            texts: Vec::new(),
            tasks: Vec::new(),
            verdict: None,
        }
    }

    pub(super) fn judge(&mut self, limits: &Limits) {
        let texts: Vec<_> = self.texts.iter().map(|(t, _)| t.clone()).collect();
        let tasks: Vec<_> = self.tasks.iter().map(|(t, _)| t.clone()).collect();
        self.verdict = Verdict::of(&texts, &tasks, limits);
    }

    /// Whether no logit differs anywhere.
    pub(super) fn identical(&self) -> bool {
        self.texts.iter().all(|(t, _)| t.identical) && self.tasks.iter().all(|(t, _)| t.identical)
    }

    pub(super) fn json(&self) -> Value {
        fn timed<T: serde::Serialize>((measured, time): &(T, Duration)) -> Value {
            // A report is a struct of numbers and strings.
            let mut value = serde_json::to_value(measured).unwrap_or_default();
            value["seconds"] = seconds(*time);
            value
        }
        json!({
            "command": "eval",
            "reference": self.reference,
            "candidate": self.candidate,
            "identical": self.identical(),
            "texts": self.texts.iter().map(timed).collect::<Vec<_>>(),
            "tasks": self.tasks.iter().map(timed).collect::<Vec<_>>(),
            "verdict": self.verdict,
            "loading_seconds": seconds(self.loading),
        })
    }

    /// A line for each item of the tasks.
    pub(super) fn items(&self) -> String {
        let lines = self
            .tasks
            .iter()
            .flat_map(|(task, _)| task.answers.iter().map(move |a| (task, a)));
        let line = |(task, answered): (&TaskReport, _)| {
            let mut value = serde_json::to_value(answered).unwrap_or_default();
            value["task"] = task.file.as_str().into();
            format!("{value}\n")
        };
        lines.map(line).collect()
    }

    pub(super) fn text(&self) -> String {
        let mut out = format!("{} against {}\n", self.candidate, self.reference);
        out += &self.texts.iter().map(text).collect::<String>();
        out += &self.tasks.iter().map(task).collect::<String>();
        if self.identical() {
            out += "\nidentical: every logit is the reference's, bit by bit\n";
        }
        if let Some(verdict) = &self.verdict {
            out += "\n";
            for c in &verdict.checks {
                let (file, figure, limit) = (&c.file, c.figure, c.limit);
                let word = word(c.outcome);
                let [value, upper] = values(c);
                out += &format!("{word}: {file}: {figure}: {value} (up to {upper}), limit {limit}\n");
            }
        }
        out
    }
}

/// A figure and the upper end of its interval.
pub(super) fn values(check: &Check) -> [String; 2] {
    match check.identical {
        true => ["identical", "0"].map(str::to_owned),
        false => [check.value, check.upper].map(|v| format!("{v:.4}")),
    }
}

/// A word for an outcome.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::Uncertain => "uncertain",
        Outcome::Exceeded => "EXCEEDED",
    }
}

/// `a ± e`, with these decimals; the estimate times a factor.
pub(super) fn plus_minus(estimate: Estimate, factor: f64, digits: usize) -> String {
    let (mean, error) = (estimate.mean * factor, estimate.standard_error * factor);
    format!("{mean:.digits$} ± {error:.digits$}")
}

fn text((text, time): &(TextReport, Duration)) -> String {
    let (tokens, windows) = (count(text.tokens, "token"), count(text.windows, "window"));
    let rate = text.tokens as f64 / time.as_secs_f64().max(1e-9);
    let mut out = format!(
        "\n{}: {tokens} in {windows} of {}{}, {} ({rate:.0} tokens/s through both)\n",
        text.file,
        text.window,
        if text.bos.is_some() {
            " with a beginning-of-text token"
        } else {
            ""
        },
        duration(*time)
    );
    let perplexity = |p: &wcodec::eval::Perplexity| format!("{:.4} ± {:.4}", p.perplexity, p.standard_error);
    out += &format!("  perplexity of the reference  {}\n", perplexity(&text.reference));
    if text.identical {
        return out + "  the candidate                identical\n";
    }
    let d = &text.divergence;
    out += &format!("  perplexity of the candidate  {}\n", perplexity(&text.candidate));
    out += &format!(
        "  increase                     {:+.4} % ({:+.4} to {:+.4})\n",
        text.increase_percent, text.increase_interval[0], text.increase_interval[1]
    );
    out += &format!(
        "  change of mean log-prob      {} nats\n",
        plus_minus(text.log_prob_change, 1.0, 6)
    );
    out += &format!("  mean KL divergence           {} nats\n", plus_minus(d.mean, 1.0, 6));
    out += &format!(
        "  KL median, 99 %, 99.9 %, max {:.6}, {:.6}, {:.6}, {:.6}\n",
        d.median, d.p99, d.p999, d.max
    );
    out + &format!(
        "  same top token               {} %\n",
        plus_minus(text.same_top, 100.0, 3)
    )
}

fn task((task, time): &(TaskReport, Duration)) -> String {
    let rate = task.items as f64 / time.as_secs_f64().max(1e-9);
    let mut out = format!(
        "\n{}: {}, {} ({rate:.2} items/s through both)\n",
        task.file,
        count(task.items, "item"),
        duration(*time)
    );
    let kinds = [("accuracy", Some(task.accuracy)), ("normalised", task.normalised)];
    let kinds = kinds.into_iter().filter_map(|(name, accuracy)| Some((name, accuracy?)));
    if task.identical {
        for (name, accuracy) in kinds {
            out += &format!("  {name:<13} {} %\n", plus_minus(accuracy.reference, 100.0, 2));
        }
        return out + "  the candidate identical\n";
    }
    let columns = [
        "",
        "reference %",
        "candidate %",
        "change, points",
        "95 % interval",
        "gained",
        "lost",
        "McNemar p",
    ];
    let columns: Vec<_> = columns
        .iter()
        .map(|c| (*c, if c.is_empty() { Align::Left } else { Align::Right }))
        .collect();
    let mut table = Table::new(&columns);
    for (name, accuracy) in kinds {
        table.row([name.to_owned()].into_iter().chain(cells(&accuracy)));
    }
    out += &table.render();
    out += &format!(
        "log-likelihood of the right answer: {} nats, change {}\n",
        plus_minus(task.reference_log_likelihood, 1.0, 4),
        plus_minus(task.log_likelihood_change, 1.0, 6)
    );
    if !task.differing.is_empty() {
        let named: Vec<&str> = task.differing.iter().take(NAMED).map(String::as_str).collect();
        let more = task.differing.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        out += &format!("answered differently: {}{more}\n", named.join(", "));
    }
    out
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
