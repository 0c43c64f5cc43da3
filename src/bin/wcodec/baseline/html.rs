//! The report as a page.

use super::measure::{self, Sum, TensorFacts};
use super::model::Found;
use super::report::{LOADS, SIZES, cache, load_cells, rounded, size_cells};
use super::targets::{State, WARM_UP, by_dtype, by_kind, median, targets};
use crate::eval::labels;
use crate::output;
use crate::page::{Bar, Figure, Mark, Page, Plot, Scale, Section, Series, Sheet, bars};
use crate::table::Align::{Left, Right};
use wcodec::analysis::{HISTOGRAM_BINS, HISTOGRAM_REACH, TOOLS};

/// Kinds of tensors that have a histogram.
const HISTOGRAMS: usize = 4;

/// All models.
pub(super) fn page(found: &[Found]) -> Page {
    let names = labels(&found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>());
    let title = match names[..] {
        [one] => one.to_owned(),
        _ => format!("{} models", names.len()),
    };
    let mut page = Page::new(format!("Baseline of {title}"));
    let not_met = found
        .iter()
        .flat_map(targets)
        .filter(|t| t.state == State::NotMet)
        .count();
    (page.lead, page.tone) = match not_met {
        0 => ("Every target that was measured is met.".into(), "good"),
        n => (
            format!(
                "{} not met: see which, and what the entropy allows.",
                output::count(n, "target")
            ),
            "open",
        ),
    };
    for (f, name) in found.iter().zip(&names) {
        let (from, to) = (output::bytes(f.original), output::bytes(f.encoded));
        let saved = output::saved(f.original, f.encoded);
        let tensors = output::count(f.tensors.len(), "tensor");
        page.fact(
            name,
            format!("{tensors}, {from} to {to}: {saved:.2} % saved, every bit kept"),
        );
    }
    for (f, name) in found.iter().zip(&names) {
        let mut sections = vec![
            target_section(f),
            sizes(f),
            fields(f),
            distributions(f),
            tools(f),
            quantised(f),
            loads(f),
        ];
        if let Some(accuracy) = &f.accuracy {
            sections.extend(crate::eval::html::sections(accuracy));
        }
        sections.push(tensors(f));
        sections.retain(|s| !s.is_empty());
        if found.len() > 1 {
            for section in &mut sections {
                section.heading = format!("{name}: {}", section.heading);
            }
        }
        page.sections.extend(sections);
    }
    page
}

fn target_section(found: &Found) -> Section {
    let note = "What the project set out to reach, and how far it is on this model on this machine.";
    let mut section = Section::new("Targets", note);
    let mut sheet = Sheet::new("", &[("Target", Left), ("State", Left), ("Measured", Left)]);
    for t in targets(found) {
        sheet.row([t.target.to_owned(), t.state.word().to_owned(), t.measured]);
    }
    section.tables.push(sheet);
    section
}

fn sizes(found: &Found) -> Section {
    let note = "Bits are bits an element, all of a tensor's payload counted. The bound is the smaller of two \
                entropies, without tables: of single values, and of values whose row's and column's scale are \
                known. Prediction from neighbours, where there is any to be had, may go below it. Outliers are more \
                than 6 standard deviations from their tensor's mean.";
    let mut section = Section::new("Sizes", note);
    for (label, sums) in [("By dtype", by_dtype(found)), ("By kind", by_kind(found))] {
        let columns: Vec<_> = [("", Left)].into_iter().chain(SIZES).collect();
        let mut sheet = Sheet::new(label, &columns);
        for (name, sum) in &sums {
            sheet.row([name.clone()].into_iter().chain(size_cells(sum)));
        }
        section.tables.push(sheet);
    }
    let kinds = by_kind(found);
    let most = kinds.iter().map(|(_, s)| s.bytes as f64).fold(0.0, f64::max);
    let rows: Vec<Bar> = kinds.iter().take(16).map(|(name, sum)| size_bar(name, sum)).collect();
    let legend = vec!["encoded".into(), "saved".into()];
    section.figures.push(Figure::new(
        "Bytes by kind of tensor",
        legend,
        bars(&rows, most, "Bytes by kind of tensor"),
    ));
    section
}

fn size_bar(name: &str, sum: &Sum) -> Bar {
    let saved = sum.bytes.saturating_sub(sum.encoded) as f64;
    Bar {
        label: name.into(),
        parts: vec![sum.encoded as f64, saved],
        text: format!("{} to {}", output::bytes(sum.bytes), output::bytes(sum.encoded)),
    }
}

fn fields(found: &Found) -> Section {
    let note = "What each field of an element's bits needs by itself, tensor by tensor, as a share of the bits it has: \
                where entropy fills the bar there is nothing to win.";
    let mut section = Section::new("Entropy by field", note);
    for (dtype, fields) in measure::fields(&found.tensors) {
        // Each bar is as long as the field's bits, whatever their number.
        let share = |f: &wcodec::analysis::Field| f.entropy / f64::from(f.bits).max(1.0);
        let bar = |f: &wcodec::analysis::Field| Bar {
            label: f.name.clone(),
            parts: vec![share(f), 1.0 - share(f)],
            text: format!("{:.3} of {} bits", f.entropy, f.bits),
        };
        let rows: Vec<Bar> = fields.iter().map(bar).collect();
        let legend = vec!["entropy".into(), "redundancy".into()];
        let svg = bars(&rows, 1.0, "Entropy by field");
        section.figures.push(Figure::new(dtype.name(), legend, svg));
    }
    section
}

fn distributions(found: &Found) -> Section {
    let note = "Elements by their distance from their tensor's mean, in its standard deviations; the outermost bins \
                have all that is beyond.";
    let mut section = Section::new("Distributions", note);
    let width = 2.0 * HISTOGRAM_REACH / HISTOGRAM_BINS as f64;
    let place = |i: usize| i as f64 * width - HISTOGRAM_REACH;
    let normal = |x: f64| 100.0 * width * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    for (name, sum) in by_kind(found)
        .iter()
        .filter(|(_, s)| !s.histogram.is_empty())
        .take(HISTOGRAMS)
    {
        let total = sum.histogram.iter().sum::<u64>().max(1) as f64;
        let mut points: Vec<(f64, f64)> = sum
            .histogram
            .iter()
            .enumerate()
            .map(|(i, &n)| (place(i), 100.0 * n as f64 / total))
            .collect();
        points.push((HISTOGRAM_REACH, 0.0));
        let line = (0..=120).map(|i| i as f64 / 10.0 - 6.0).map(|x| (x, normal(x)));
        let series = vec![
            Series {
                mark: Mark::Steps,
                points,
                labels: Vec::new(),
                intervals: Vec::new(),
            },
            Series {
                mark: Mark::Line,
                points: line.collect(),
                labels: Vec::new(),
                intervals: Vec::new(),
            },
        ];
        let plot = Plot {
            x: ("standard deviations from the mean", Scale::Linear),
            y: ("elements, %", Scale::Linear),
            series,
            limit: None,
        };
        let legend = vec!["these tensors".into(), "normal".into()];
        section.figures.push(Figure::new(name, legend, plot.svg("Histogram")));
    }
    section
}

fn tools(found: &Found) -> Section {
    let note = "Bits an element if one tool alone is used, its tables and side information counted, estimated; \
                none has one frequency table and no prediction. The last columns count the tensors for which a \
                tool is the cheapest.";
    let mut section = Section::new("Predictors and transforms", note);
    let kinds = by_kind(found);
    let used: Vec<&str> = TOOLS
        .into_iter()
        .filter(|t| kinds.iter().any(|(_, s)| s.tools.contains_key(*t)))
        .collect();
    let columns = [("", Left), ("tensors", Right)]
        .into_iter()
        .chain(used.iter().map(|t| (*t, Right)));
    let columns: Vec<_> = columns
        .chain([("best", Left), ("gain", Right), ("won", Left)])
        .collect();
    let mut sheet = Sheet::new("", &columns);
    let mut rows = Vec::new();
    for (name, sum) in kinds.iter().filter(|(_, s)| !s.tools.is_empty()) {
        let bits = |tool: &&str| {
            sum.tools
                .get(*tool)
                .map_or("-".into(), |b| format!("{:.3}", sum.per_element(*b)))
        };
        let (best, least) = sum.best().unwrap_or(("-", 0.0));
        let none = sum.tools.get("none").copied().unwrap_or(0.0);
        let gain = if none > 0.0 { 100.0 - 100.0 * least / none } else { 0.0 };
        let won = sum
            .won
            .iter()
            .map(|(tool, n)| format!("{tool} {n}"))
            .collect::<Vec<_>>()
            .join(", ");
        let cells = [name.clone(), sum.tensors.to_string()]
            .into_iter()
            .chain(used.iter().map(bits));
        sheet.row(cells.chain([best.into(), format!("{gain:.2}%"), won]));
        rows.push(Bar {
            label: format!("{name}: {best}"),
            parts: vec![gain],
            text: format!("{gain:.2} %"),
        });
    }
    section.tables.push(sheet);
    rows.retain(|r| r.parts[0] > 0.0);
    rows.truncate(16);
    let most = rows.iter().map(|r| r.parts[0]).fold(0.0, f64::max);
    if !rows.is_empty() {
        let svg = bars(&rows, most, "What the best tool saves");
        section
            .figures
            .push(Figure::new("What the best tool saves against none", Vec::new(), svg));
    }
    section
}

fn quantised(found: &Found) -> Section {
    let note = "The same matrices rounded to nearest, bits a weight with their scales of 16 bits. What lossless \
                coding makes of them stands beside the bound: more can be won by quantising for the coder only.";
    let mut section = Section::new("As INT8 and INT4", note);
    let columns = [
        "",
        "Of",
        "Bits a weight",
        "Coded",
        "Entropy bound",
        "Saved",
        "Bound saves",
    ];
    let mut sheet = Sheet::new(
        "",
        &columns.map(|c| (c, if columns[..2].contains(&c) { Left } else { Right })),
    );
    let mut rows = Vec::new();
    for (scheme, a) in rounded(found) {
        let n = a.weights as f64;
        let bits = [a.plain, a.encoded, a.bound].map(|bits| bits / n);
        let saved = [a.saved(), a.bound_saved()].map(|s| format!("{s:.1} %"));
        sheet.row(
            [scheme.to_owned(), a.part()]
                .into_iter()
                .chain(bits.map(|b| format!("{b:.3}")))
                .chain(saved),
        );
        if let Some(why) = a.below_bound() {
            section.note += &format!(" {scheme}: {why}.");
        }
        let [plain, coded, bound] = bits;
        rows.push(Bar {
            label: scheme.into(),
            parts: vec![bound, (coded - bound).max(0.0), (plain - coded.max(bound)).max(0.0)],
            text: format!("{plain:.2}, coded {coded:.2}, bound {bound:.2}"),
        });
    }
    if !rows.is_empty() {
        section.tables.push(sheet);
        let legend = vec!["entropy bound".into(), "coded above it".into(), "saved".into()];
        section
            .figures
            .push(Figure::new("Bits a weight", legend, bars(&rows, 8.1, "Bits a weight")));
    }
    section
}

fn loads(found: &Found) -> Section {
    let note = format!(
        "All tensors into Candle tensors of their own types, on the CPU, medians. Memory is what was taken beyond what \
         was taken before; mapped files do not count. Warm: the file is in the system's memory. Cold: the system was \
         asked to drop it from there; how much then came from the disk is in the table, and where that is less than \
         the file, it was still in memory. A model's warm-up, which decoding is held against, is the time {WARM_UP}."
    );
    let mut section = Section::new("Loading", &note);
    let Ok(loads) = &found.loads else {
        return section;
    };
    let mut sheet = Sheet::new("", &LOADS);
    let most = loads.iter().map(|l| median(&l.seconds)).fold(0.0, f64::max);
    let mut rows = Vec::new();
    for l in loads {
        sheet.row(load_cells(l, found));
        let seconds = median(&l.seconds);
        rows.push(Bar {
            label: format!("{}, {}", l.format, cache(l, found)),
            parts: vec![seconds],
            text: format!("{seconds:.3} s"),
        });
    }
    section.tables.push(sheet);
    section
        .figures
        .push(Figure::new("Seconds", Vec::new(), bars(&rows, most, "Seconds to load")));
    section
}

fn tensors(found: &Found) -> Section {
    let mut section = Section::new("Tensors", "Entropies and sizes in bits an element.");
    let columns = [
        ("Tensor", Left),
        ("Dtype", Left),
        ("Shape", Left),
        ("Bits", Right),
        ("Entropy of values", Right),
        ("Given scales", Right),
        ("Zeros", Right),
        ("Mean", Right),
        ("Deviation", Right),
        ("Excess kurtosis", Right),
        ("Outliers", Right),
        ("Best tool", Left),
        ("Recipe", Left),
    ];
    let mut sheet = Sheet::new("", &columns);
    found.tensors.iter().for_each(|t| sheet.row(tensor_row(t)));
    section.tables.push(sheet);
    section
}

fn tensor_row(t: &TensorFacts) -> Vec<String> {
    let of = |value: fn(&wcodec::analysis::Statistics) -> String| t.statistics.as_ref().map_or("-".into(), value);
    let shape = t.shape.iter().map(usize::to_string).collect::<Vec<_>>();
    vec![
        t.name.clone(),
        t.dtype.to_string(),
        shape.join(" x "),
        format!("{:.3}", t.sum.per_element(t.sum.encoded as f64 * 8.0)),
        bits(t.ideal.values),
        bits(t.ideal.given_scales),
        t.sum.zeros.to_string(),
        of(|s| scientific(s.mean)),
        of(|s| scientific(s.deviation)),
        of(|s| bits(Some(s.excess_kurtosis))),
        t.sum.outliers.to_string(),
        t.sum.best().map_or("-".into(), |b| b.0.into()),
        t.recipe.clone(),
    ]
}

fn bits(value: Option<f64>) -> String {
    value
        .filter(|v| v.is_finite())
        .map_or("-".into(), |v| format!("{v:.3}"))
}

/// Moments of wide floats may be out of range.
fn scientific(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.3e}")
    } else {
        "-".into()
    }
}
