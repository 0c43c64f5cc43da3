//! Reports as one HTML page that needs nothing else: tables, and plots as SVG.
//!
//! Plots have no colours of their own: the page's style gives them by class, so that they follow light, dark
//! and paper.

mod axis;
mod bars;
mod intervals;
mod plot;

pub(crate) use axis::Scale;
pub(crate) use bars::{Bar, bars};
pub(crate) use intervals::{Interval, intervals};
pub(crate) use plot::{Mark, Plot, Series};

use crate::failure::Failure;
use crate::table::Align;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

/// A report.
#[derive(Serialize)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// What it comes down to, and how that is meant: `good`, `bad`, `open` or nothing.
    pub(crate) lead: String,
    pub(crate) tone: &'static str,
    /// Names and values.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) sections: Vec<Section>,
    command: String,
    version: &'static str,
}

/// A part under a heading.
#[derive(Default, Serialize)]
pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) note: String,
    pub(crate) tables: Vec<Sheet>,
    pub(crate) figures: Vec<Figure>,
}

/// A table: columns with whether they keep to the right, and rows.
#[derive(Default, Serialize)]
pub(crate) struct Sheet {
    pub(crate) caption: String,
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
    /// Whether its cells are words: on a phone they stand below each other.
    prose: bool,
}

/// A plot and what its colours mean.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) caption: String,
    pub(crate) note: String,
    /// Names of the classes `c0`, `c1`, ...
    pub(crate) legend: Vec<String>,
    pub(crate) svg: String,
}

impl Page {
    pub(crate) fn new(title: String) -> Self {
        let words = std::env::args_os().skip(1).map(|a| quoted(&a.to_string_lossy()));
        Self {
            title,
            lead: String::new(),
            tone: "",
            facts: Vec::new(),
            sections: Vec::new(),
            command: ["wcodec".to_owned()]
                .into_iter()
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    pub(crate) fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.facts.push((name.into(), value.into()));
    }

    /// The page's text.
    pub(crate) fn render(&self) -> Result<String, Failure> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let wrong = |e: minijinja::Error| Failure::new("other", format!("the report's page: {e}"));
        environment
            .add_template("page", include_str!("page.html"))
            .map_err(wrong)?;
        let template = environment.get_template("page").map_err(wrong)?;
        template.render(self).map_err(wrong)
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Section {
    pub(crate) fn new(heading: &str, note: &str) -> Self {
        Self {
            heading: heading.into(),
            note: note.into(),
            ..Self::default()
        }
    }

    /// Whether there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.figures.is_empty()
    }
}

impl Sheet {
    pub(crate) fn new(caption: &str, columns: &[(&str, Align)]) -> Self {
        Self {
            caption: caption.into(),
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).into(), *align == Align::Right))
                .collect(),
            rows: Vec::new(),
            prose: columns.iter().all(|(_, align)| *align == Align::Left),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Figure {
    pub(crate) fn new(caption: &str, legend: Vec<String>, svg: String) -> Self {
        Self {
            caption: caption.into(),
            note: String::new(),
            legend,
            svg,
        }
    }
}

/// Text inside of SVG.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// Classes of colours that there are; more series begin anew.
pub(crate) const COLOURS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_file_is_called_stays_text() {
        let mut page = Page::new("<script>alert(1)</script>".into());
        page.fact("a & b", "\"><img src=x>");
        let bar = Bar {
            label: "</svg><script>".into(),
            parts: vec![1.0],
            text: "<b>".into(),
        };
        let mut section = Section::new("<i>", "");
        section
            .figures
            .push(Figure::new("<u>", vec!["<s>".into()], bars(&[bar], 1.0, "")));
        page.sections.push(section);
        let html = page.render().unwrap();
        for wrong in ["<script>alert", "<img", "</svg><script>", "<b>", "<i>", "<u>", "<s>"] {
            assert!(!html.contains(wrong), "{wrong}");
        }
        assert!(html.contains("&lt;script&gt;") && html.contains("<svg") && !html.contains("&lt;svg"));
        // Nothing comes from elsewhere.
        assert!(!html.contains("http") || html.matches("http").count() == html.matches("http://www.w3.org").count());
    }

    #[test]
    fn words_are_as_a_shell_takes_them() {
        assert_eq!([quoted("--max-kl=0.1"), quoted("a/b@c")], ["--max-kl=0.1", "a/b@c"]);
        assert_eq!(
            [quoted(""), quoted("a b"), quoted("$(x);y")],
            ["''", "'a b'", "'$(x);y'"]
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
