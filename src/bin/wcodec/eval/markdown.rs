//! The report as Markdown, for model cards.

use super::report::{Report, cells, plus_minus, values, word};

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut out = format!("# {} against {}\n", code(&report.candidate), code(&report.reference));
    if report.identical() {
        out += "\n**Identical**: every logit is the reference's, bit by bit.\n";
    }
    if !report.texts.is_empty() {
        out += "\n| text | tokens | perplexity, reference | candidate | change, % | mean KL, nats | median | 99 % \
                | 99.9 % | max | same top token, % |\n";
        out += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    }
    for (text, _) in &report.texts {
        let (d, reference) = (&text.divergence, &text.reference);
        let before = format!("{:.4} ± {:.4}", reference.perplexity, reference.standard_error);
        let changed = if text.identical {
            "identical | | | | | | |".to_owned()
        } else {
            let (after, error) = (text.candidate.perplexity, text.candidate.standard_error);
            let increase = text.increase_percent;
            let kl = plus_minus(d.mean, 1.0, 6);
            let top = plus_minus(text.same_top, 100.0, 3);
            format!(
                "{after:.4} ± {error:.4} | {increase:+.4} | {kl} | {:.6} | {:.6} | {:.6} | {:.6} | {top}",
                d.median, d.p99, d.p999, d.max
            )
        };
        out += &format!("| {} | {} | {before} | {changed} |\n", code(&text.file), text.tokens);
    }
    if !report.tasks.is_empty() {
        out += "\n| task | items | accuracy, reference, % | candidate, % | change, points | 95 % interval | gained \
                | lost | McNemar p |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    }
    for (task, _) in &report.tasks {
        let kinds = [("", Some(&task.accuracy)), (", normalised", task.normalised.as_ref())];
        for (name, accuracy) in kinds.into_iter().filter_map(|(name, a)| Some((name, a?))) {
            let figures = if task.identical {
                format!("{} | identical | | | | |", plus_minus(accuracy.reference, 100.0, 2))
            } else {
                cells(accuracy).join(" | ")
            };
            out += &format!("| {}{name} | {} | {figures} |\n", code(&task.file), task.items);
        }
    }
    if let Some(verdict) = &report.verdict {
        out += "\n| limit | value | up to | limit | outcome |\n| --- | ---: | ---: | ---: | --- |\n";
        for c in &verdict.checks {
            let (file, outcome) = (code(&c.file), word(c.outcome));
            let ([value, upper], figure, limit) = (values(c), c.figure, c.limit);
            out += &format!("| {file}: {figure} | {value} | {upper} | {limit} | {outcome} |\n");
        }
    }
    out
}

/// A name as code, whatever is in it.
fn code(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() || "`|".contains(c) { '?' } else { c })
        .collect();
    format!("`{plain}`")
}
