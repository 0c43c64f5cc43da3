//! The report as Markdown, for model cards.

use super::measure;
use super::model::Found;
use super::report::{LOADS, SIZES, load_cells, rounded, size_cells};
use super::targets::{by_dtype, by_kind, targets};
use crate::eval::markdown::code;
use crate::output;
use crate::table::Align;

/// A model's figures.
pub(super) fn render(found: &Found) -> String {
    let (from, to) = (output::bytes(found.original), output::bytes(found.encoded));
    let saved = output::saved(found.original, found.encoded);
    let mut out = format!(
        "# {}\n\n{from} -> {to}, {saved:.2} % saved, every bit kept.\n",
        code(&found.name)
    );
    for (label, sums) in [("dtype", by_dtype(found)), ("kind", by_kind(found))] {
        let columns: Vec<_> = [(label, Align::Left)].into_iter().chain(SIZES).collect();
        let rows = sums
            .iter()
            .map(|(name, sum)| [code(name)].into_iter().chain(size_cells(sum)).collect());
        out += &table(&columns, rows);
    }
    let mut rows = Vec::new();
    for (dtype, fields) in measure::fields(&found.tensors) {
        rows.extend(fields.iter().map(|f| {
            vec![
                dtype.to_string(),
                f.name.clone(),
                f.bits.to_string(),
                format!("{:.3}", f.entropy),
            ]
        }));
    }
    let right = Align::Right;
    out += &table(
        &[
            ("dtype", Align::Left),
            ("field", Align::Left),
            ("bits", right),
            ("entropy", right),
        ],
        rows,
    );
    let rows = rounded(found).into_iter().map(|(scheme, a)| {
        let n = a.weights as f64;
        let bits = [a.plain, a.encoded, a.bound].map(|bits| format!("{:.3}", bits / n));
        let saved = [a.saved(), a.bound_saved()].map(|s| format!("{s:.1} %"));
        let cells = [scheme.to_owned(), a.part()].into_iter();
        cells.chain(bits).chain(saved).collect()
    });
    let columns = [
        "rounded to nearest",
        "of",
        "bits a weight",
        "coded",
        "bound",
        "saved",
        "bound saves",
    ];
    out += &table(
        &columns.map(|c| (c, if columns[..2].contains(&c) { Align::Left } else { right })),
        rows,
    );
    let below = rounded(found)
        .into_iter()
        .filter_map(|(s, a)| Some((s, a.below_bound()?)));
    out += &below
        .map(|(scheme, why)| format!("\n{scheme}: {why}.\n"))
        .collect::<String>();
    if let Ok(loads) = &found.loads {
        out += &table(&LOADS, loads.iter().map(|l| load_cells(l, found).to_vec()));
    }
    if let Some(accuracy) = &found.accuracy {
        out += &format!("\n{}", crate::eval::markdown::render(accuracy));
    }
    let rows = targets(found)
        .into_iter()
        .map(|t| vec![t.target.to_owned(), t.state.word().to_owned(), t.measured]);
    out + &table(
        &[
            ("target", Align::Left),
            ("state", Align::Left),
            ("measured", Align::Left),
        ],
        rows,
    )
}

/// Nothing if there are no rows.
fn table(columns: &[(&str, Align)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let rows: String = rows.into_iter().map(|row| line(&mut row.into_iter())).collect();
    if rows.is_empty() {
        return rows;
    }
    let heading = line(&mut columns.iter().map(|c| c.0.to_owned()));
    let rule = line(
        &mut columns
            .iter()
            .map(|c| if c.1 == Align::Right { "---:" } else { "---" }.to_owned()),
    );
    format!("\n{heading}{rule}{rows}")
}
