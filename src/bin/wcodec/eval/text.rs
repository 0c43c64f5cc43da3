//! The report on a terminal.

use super::comparison::side_by_side;
use super::report::{
    Candidate, PROBABILITY, Report, accuracies, cells, decided, increase_interval, perplexity, plus_minus,
    probability_cells, short, too_long, took, values, word,
};
use crate::output::{count, printable};
use crate::table::{Align, Table};
use wcodec::eval::{Spent, TaskReport, TextReport};

/// Differing items that are named.
const NAMED: usize = 5;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let parts: Vec<String> = report.candidates.iter().map(|c| candidate(report, c)).collect();
    let mut out = parts.join("\n");
    out += &comparison(report);
    out
}

fn candidate(report: &Report, candidate: &Candidate) -> String {
    let (name, reference) = (printable(&candidate.model.name), printable(&report.reference.name));
    let mut out = format!("{name} against {reference}\n");
    for remark in candidate.remarks.iter().map(|r| printable(r)) {
        out += &format!("NOTE: its configuration differs, and it is computed as its own says: {remark}\n");
    }
    out += &candidate.texts.iter().map(text).collect::<String>();
    out += &candidate.all_tasks().into_iter().map(task).collect::<String>();
    if candidate.identical() {
        out += "\nidentical: every logit is the reference's, bit by bit\n";
    }
    if let Some(verdict) = &candidate.verdict {
        out += "\n";
        for c in &verdict.checks {
            let (word, file, figure, limit) = (word(c.outcome), printable(&c.file), c.figure, c.limit);
            out += &format!("{word}: {file}: {figure}: {}, limit {limit}\n", values(c));
            out += &format!("  {}\n", decided(c));
        }
    }
    out
}

/// All candidates side by side: a table for each text and task.
fn comparison(report: &Report) -> String {
    let mut out = String::new();
    for beside in side_by_side(report) {
        let mut table = Table::new(&beside.columns);
        beside.rows.into_iter().for_each(|row| table.row(row));
        out += &format!("\n{}\n{}", printable(short(beside.file)), table.render());
    }
    out
}

fn rate(n: usize, spent: Spent) -> f64 {
    n as f64 / spent.all.as_secs_f64().max(1e-9)
}

/// A model's time and speed.
fn speed(model: &str, n: usize, what: &str, digits: usize, spent: Spent) -> String {
    let rate = rate(n, spent);
    format!("  {model:<27}  {} ({rate:.digits$} {what}/s)\n", took(spent))
}

fn text(text: &TextReport) -> String {
    let (tokens, windows) = (count(text.tokens, "token"), count(text.windows, "window"));
    let times = text.times;
    let mut out = format!(
        "\n{}: {tokens} in {windows} of {}{}\n",
        printable(&text.file),
        text.window,
        if text.bos.is_some() {
            " with a beginning-of-text token"
        } else {
            ""
        },
    );
    out += &speed("time of the reference", text.tokens, "tokens", 0, times.reference);
    out += &speed("time of the candidate", text.tokens, "tokens", 0, times.candidate);
    out += &format!("  perplexity of the reference  {}\n", perplexity(&text.reference));
    if text.identical {
        return out + "  the candidate                identical\n";
    }
    let d = &text.divergence;
    out += &format!("  perplexity of the candidate  {}\n", perplexity(&text.candidate));
    out += &format!(
        "  increase                     {:+.4} % ({})\n",
        text.increase_percent,
        increase_interval(text)
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

fn task(task: &TaskReport) -> String {
    let times = task.times;
    let mut out = format!(
        "\n{}: {}{}\n",
        printable(&task.file),
        count(task.items, "item"),
        too_long(task).map_or(String::new(), |what| format!("; {what}")),
    );
    for (model, spent) in [
        ("time of the reference", times.reference),
        ("time of the candidate", times.candidate),
    ] {
        // Of all tasks together none is taken.
        if !spent.all.is_zero() {
            out += &speed(model, task.items, "items", 2, spent);
        }
    }
    if task.identical {
        for (name, accuracy) in accuracies(task) {
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
    for (name, accuracy) in accuracies(task) {
        table.row([name.to_owned()].into_iter().chain(cells(accuracy)));
    }
    table.row(
        [PROBABILITY.to_owned()]
            .into_iter()
            .chain(probability_cells(&task.probability)),
    );
    out += &table.render();
    out += &format!(
        "log-likelihood of the right answer: {} nats, change {}\n",
        plus_minus(task.reference_log_likelihood, 1.0, 4),
        plus_minus(task.log_likelihood_change, 1.0, 6)
    );
    if !task.differing.is_empty() {
        let named: Vec<String> = task.differing.iter().take(NAMED).map(|id| printable(id)).collect();
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
