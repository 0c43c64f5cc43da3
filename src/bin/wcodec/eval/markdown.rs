//! The report as Markdown, for model cards.

use super::comparison::side_by_side;
use super::report::{
    Candidate, PROBABILITY, Report, accuracies, cells, decided, perplexity, plus_minus, probability_cells, too_long,
    values, word,
};
use crate::output;
use crate::table::Align;

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let parts: Vec<String> = report.candidates.iter().map(|c| candidate(report, c)).collect();
    parts.join("\n") + &comparison(report)
}

/// All candidates side by side: a table for each text and task.
fn comparison(report: &Report) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut out = String::new();
    for beside in side_by_side(report) {
        let (names, rules): (Vec<String>, Vec<String>) = beside
            .columns
            .iter()
            .map(|(name, align)| match align {
                Align::Left => (name.to_string(), "---".to_owned()),
                Align::Right => (name.to_string(), "---:".to_owned()),
            })
            .unzip();
        out += &format!(
            "\n# Candidates on {}\n\n{}{}",
            code(beside.file),
            line(&names),
            line(&rules)
        );
        for mut row in beside.rows {
            row[0] = code(&row[0]);
            out += &line(&row);
        }
    }
    out
}

fn candidate(report: &Report, candidate: &Candidate) -> String {
    let (name, reference) = (code(&candidate.model.name), code(&report.reference.name));
    let (bytes, rate) = (output::bytes(candidate.model.bytes), candidate.model.rate());
    let mut out = format!("# {name} against {reference}\n\n{bytes}, {rate:.3} bits a weight.\n");
    for remark in &candidate.remarks {
        out += &format!(
            "\nIts configuration differs, and it is computed as its own says: {}.\n",
            code(remark)
        );
    }
    if candidate.identical() {
        out += "\n**Identical**: every logit is the reference's, bit by bit.\n";
    }
    if !candidate.texts.is_empty() {
        out += "\n| text | tokens | perplexity, reference | candidate | change, % | mean KL, nats | median | 99 % \
                | 99.9 % | max | same top token, % |\n";
        out += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    }
    for text in &candidate.texts {
        let (d, before) = (&text.divergence, perplexity(&text.reference));
        let changed = if text.identical {
            "identical | | | | | | |".to_owned()
        } else {
            let after = perplexity(&text.candidate);
            let increase = text.increase_percent;
            let kl = plus_minus(d.mean, 1.0, 6);
            let top = plus_minus(text.same_top, 100.0, 3);
            format!(
                "{after} | {increase:+.4} | {kl} | {:.6} | {:.6} | {:.6} | {:.6} | {top}",
                d.median, d.p99, d.p999, d.max
            )
        };
        out += &format!("| {} | {} | {before} | {changed} |\n", code(&text.file), text.tokens);
    }
    if !candidate.tasks.is_empty() {
        out += "\n| task | items | accuracy, reference, % | candidate, % | change, points | 95 % interval | gained \
                | lost | McNemar p |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    }
    for task in candidate.all_tasks() {
        for (name, accuracy) in accuracies(task) {
            let figures = if task.identical {
                format!("{} | identical | | | | |", plus_minus(accuracy.reference, 100.0, 2))
            } else {
                cells(accuracy).join(" | ")
            };
            let name = if name == "accuracy" { "" } else { ", normalised" };
            out += &format!("| {}{name} | {} | {figures} |\n", code(&task.file), task.items);
        }
        if !task.identical {
            let figures = probability_cells(&task.probability).join(" | ");
            out += &format!("| {}, {PROBABILITY} | {} | {figures} |\n", code(&task.file), task.items);
        }
    }
    for task in &candidate.tasks {
        out += &too_long(task).map_or(String::new(), |what| format!("\n{}: {what}.\n", code(&task.file)));
    }
    if let Some(verdict) = &candidate.verdict {
        out += "\n| figure | value | limit | outcome | what decided |\n";
        out += "| --- | ---: | ---: | --- | --- |\n";
        for c in &verdict.checks {
            let (file, outcome) = (code(&c.file), word(c.outcome));
            let (value, figure, limit, why) = (values(c), c.figure, c.limit, decided(c));
            out += &format!("| {file}: {figure} | {value} | {limit} | {outcome} | {why} |\n");
        }
    }
    out
}

/// A name as code, whatever is in it.
pub(crate) fn code(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() || "`|".contains(c) { '?' } else { c })
        .collect();
    format!("`{plain}`")
}
