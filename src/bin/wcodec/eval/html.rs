//! The report as a page.

use super::comparison::comparison;
use super::published::Published;
use super::report::{
    Candidate, Measured, PROBABILITY, Report, accuracies, cells, decided, increase_interval, perplexity, plus_minus,
    probability_cells, probability_interval, short, too_long, values, word,
};
use crate::output;
use crate::page::{Figure, Interval, Mark, Page, Plot, Scale, Section, Series, Sheet, intervals};
use crate::table::Align::{Left, Right};
use wcodec::eval::{Decades, Outcome, TextReport};

/// The whole report.
pub(super) fn page(report: &Report, published: Option<&Published>) -> Page {
    let names: Vec<&str> = report.candidates.iter().map(|c| c.label.as_str()).collect();
    let several = format!("{} candidates", names.len());
    let title = if let [one] = names[..] { one } else { &several };
    let mut page = Page::new(format!("{title} against {}", short(&report.reference.name)));
    (page.lead, page.tone) = lead(report);
    let fact = |model: &Measured| format!("{}, {}", model.name, size(model.bytes, model.rate()));
    page.fact("Reference", fact(&report.reference));
    for candidate in &report.candidates {
        page.fact("Candidate", fact(&candidate.model));
        for remark in &candidate.remarks {
            let what = format!("its configuration differs, and it is computed as its own says: {remark}");
            page.fact("Note", format!("{}: {what}", candidate.label));
        }
    }
    page.sections.extend([
        verdict(report),
        comparison(report, published),
        texts(report),
        tasks(report),
    ]);
    page.sections.retain(|s| !s.is_empty());
    page
}

/// Sections of other reports about the same.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut sections = vec![verdict(report), texts(report), tasks(report)];
    sections.retain(|s| !s.is_empty());
    sections
}

fn size(bytes: u64, rate: f64) -> String {
    format!("{}, {rate:.3} bits a weight", output::bytes(bytes))
}

fn lead(report: &Report) -> (String, &'static str) {
    if report.candidates.iter().all(Candidate::identical) {
        let what = "Identical: every logit that was looked at is the reference's, bit by bit.";
        return (what.into(), "good");
    }
    match report.outcome() {
        Some(Outcome::Met) if report.checks().count() == 1 => ("The limit is met.".into(), "good"),
        Some(Outcome::Met) => (format!("All {} limits are met.", report.checks().count()), "good"),
        Some(Outcome::Uncertain) => {
            let what = "Within the limits, but an interval is too wide to tell: more text or items would.";
            (what.into(), "open")
        }
        Some(Outcome::Exceeded) => ("A limit is exceeded.".into(), "bad"),
        None => ("Logits differ. No limit was set.".into(), ""),
    }
}

fn verdict(report: &Report) -> Section {
    let note = "A figure is met if its upper bound is within the limit, exceeded if the figure itself is not. \
                What the bound is, is said beside it.";
    let mut section = Section::new("Limits", note);
    let columns = [
        ("Candidate", Left),
        ("Figure", Left),
        ("Value", Right),
        ("Limit", Right),
        ("Outcome", Left),
        ("What decided", Left),
    ];
    let mut sheet = Sheet::new("", &columns);
    let mut any = false;
    for (candidate, c) in report.checks() {
        sheet.row([
            candidate.label.as_str().into(),
            format!("{}: {}", short(&c.file), c.figure),
            values(c),
            c.limit.to_string(),
            word(c.outcome).into(),
            decided(c),
        ]);
        any = true;
    }
    section.tables.extend(any.then_some(sheet));
    section
}

fn texts(report: &Report) -> Section {
    let note = "Perplexity of both models, and the Kullback-Leibler divergence of the candidate's next-token \
                distribution from the reference's, in nats a token. Errors are standard errors, of windows, or texts if \
                there are several: what is in one is not taken as independent.";
    let mut section = Section::new("Texts", note);
    let perplexities = [
        ("Candidate", Left),
        ("Perplexity", Right),
        ("Reference's", Right),
        ("Change, %", Right),
        ("95 % interval", Right),
        ("Same top token, %", Right),
    ];
    let distances = [
        ("Candidate", Left),
        ("Mean KL, nats", Right),
        ("Median", Right),
        ("99 %", Right),
        ("99.9 %", Right),
        ("Largest", Right),
    ];
    for (i, first) in report
        .candidates
        .first()
        .iter()
        .flat_map(|c| c.texts.iter().enumerate())
    {
        let (windows, tokens) = (
            output::count(first.windows, "window"),
            output::count(first.tokens, "token"),
        );
        let file = short(&first.file);
        let caption = format!("{file}: {tokens} in {windows} of {}", first.window);
        let mut perplexity = Sheet::new(&caption, &perplexities);
        let mut distance = Sheet::new(&format!("{file}: KL divergence"), &distances);
        for c in &report.candidates {
            let (a, b) = text_rows(c, &c.texts[i]);
            perplexity.row(a);
            distance.row(b);
        }
        section.tables.extend([perplexity, distance]);
        let of_text: Vec<(&Candidate, &TextReport)> = report.candidates.iter().map(|c| (c, &c.texts[i])).collect();
        section.figures.extend(divergences(&of_text));
    }
    section
}

/// Rows of both tables.
fn text_rows(candidate: &Candidate, text: &TextReport) -> ([String; 6], [String; 6]) {
    let (d, name) = (&text.divergence, || candidate.label.as_str().to_owned());
    let same = || "identical".to_owned();
    if text.identical {
        let row = [name(), same(), perplexity(&text.reference), same(), same(), same()];
        return (row, [name(), same(), same(), same(), same(), same()]);
    }
    let row = [
        name(),
        perplexity(&text.candidate),
        perplexity(&text.reference),
        format!("{:+.4}", text.increase_percent),
        increase_interval(text),
        plus_minus(text.same_top, 100.0, 3),
    ];
    let [median, p99, p999, max] = [d.median, d.p99, d.p999, d.max].map(|v| format!("{v:.6}"));
    (row, [name(), plus_minus(d.mean, 1.0, 6), median, p99, p999, max])
}

/// How the tokens' divergences are distributed.
fn divergences(texts: &[(&Candidate, &TextReport)]) -> Option<Figure> {
    let shown: Vec<_> = texts.iter().filter(|(_, t)| !t.identical).collect();
    let first = shown.first()?.1;
    let used = |t: &TextReport| {
        let counts = &t.divergence_histogram.counts;
        counts
            .iter()
            .position(|&c| c > 0)
            .zip(counts.iter().rposition(|&c| c > 0))
    };
    let ranges = || shown.iter().filter_map(|(_, t)| used(t));
    let (low, high) = (ranges().map(|r| r.0).min()?, ranges().map(|r| r.1).max()?);
    let steps = shown.iter().map(|(_, text)| {
        let counts = &text.divergence_histogram.counts;
        let share = |i: usize| 100.0 * counts.get(i).map_or(0.0, |&c| c as f64) / text.tokens.max(1) as f64;
        let at = |i: usize| 10f64.powf(i as f64 / Decades::PER_DECADE as f64 + f64::from(Decades::FIRST));
        let mut points: Vec<(f64, f64)> = (low..=high).map(|i| (at(i), share(i))).collect();
        points.push((at(high + 1), 0.0));
        Series {
            mark: Mark::Steps,
            points,
            labels: Vec::new(),
            intervals: Vec::new(),
        }
    });
    let plot = Plot {
        x: ("KL divergence of a token, nats", Scale::Log),
        y: ("tokens, % a quarter of a decade", Scale::Linear),
        series: steps.collect(),
        limit: None,
    };
    let legend = shown.iter().map(|(c, _)| c.label.as_str().to_owned()).collect();
    let caption = format!("How far single tokens' distributions move, {}", short(&first.file));
    let mut figure = Figure::new(&caption, legend, plot.svg("Distribution of the KL divergence"));
    let small = shown
        .iter()
        .map(|(_, t)| t.divergence_histogram.small)
        .max()
        .unwrap_or(0);
    if small > 0 {
        figure.note = format!(
            "Up to {} of a candidate below 1e-10 are left out.",
            output::count(small, "token")
        );
    }
    Some(figure)
}

fn tasks(report: &Report) -> Section {
    let note = "Change of the accuracy in percentage points, item by item, with the 95 % interval of a paired \
                bootstrap (10,000 resamples) and McNemar's exact p-value. The right answer's probability, against the \
                other choices' or of a cloze's target, changes on every item, and so tells smaller differences; its \
                interval is 1.96 standard errors to each side.";
    let mut section = Section::new("Tasks", note);
    let columns = [
        ("Task", Left),
        ("Items", Right),
        ("Reference, %", Right),
        ("Candidate, %", Right),
        ("Change, points", Right),
        ("95 % interval", Right),
        ("Gained", Right),
        ("Lost", Right),
        ("McNemar p", Right),
    ];
    let mut rows = Vec::new();
    for (colour, candidate) in report.candidates.iter().enumerate() {
        let name = candidate.label.as_str();
        let mut sheet = Sheet::new(name, &columns);
        let interval = |label: String, value: f64, [low, high]: [f64; 2], limit: Option<f64>| Interval {
            label: match report.candidates.len() {
                1 => label,
                _ => format!("{name}: {label}"),
            },
            low,
            value,
            high,
            limit,
            text: format!("{value:+.2}"),
            colour,
        };
        for task in candidate.all_tasks() {
            for (kind, accuracy) in accuracies(task) {
                let label = format!("{}, {kind}", short(&task.file));
                let items = task.items.to_string();
                if task.identical {
                    let before = plus_minus(accuracy.reference, 100.0, 2);
                    let mut row = vec![label, items, before];
                    row.resize(columns.len(), "identical".into());
                    sheet.row(row);
                    continue;
                }
                sheet.row([label.clone(), items].into_iter().chain(cells(accuracy)));
                let p = &accuracy.paired;
                let limit = candidate.largest_drop(task);
                rows.push(interval(label, p.delta_points, p.interval_points, limit.map(|l| -l)));
            }
            if !task.identical {
                let label = format!("{}, {PROBABILITY}", short(&task.file));
                let cells = probability_cells(&task.probability);
                sheet.row([label.clone(), task.items.to_string()].into_iter().chain(cells));
                let change = 100.0 * task.probability.change.mean;
                rows.extend(probability_interval(&task.probability).map(|ends| interval(label, change, ends, None)));
            }
        }
        section.tables.extend((!candidate.tasks.is_empty()).then_some(sheet));
    }
    let tasks = report.candidates.first().into_iter().flat_map(|c| &c.tasks);
    for (task, what) in tasks.filter_map(|task| Some((task, too_long(task)?))) {
        section.note += &format!(" {}: {what}.", short(&task.file));
    }
    if !rows.is_empty() {
        let limited = rows.iter().any(|row| row.limit.is_some());
        let svg = intervals(&rows, "percentage points", "Change of the accuracy");
        let mut figure = Figure::new("Change of the accuracy", Vec::new(), svg);
        figure.note = match limited {
            true => "With 95 % intervals. Left of a dashed line a limit is exceeded.".into(),
            false => "With 95 % intervals.".into(),
        };
        section.figures.push(figure);
    }
    section
}
