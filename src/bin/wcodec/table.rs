//! Aligned columns of text.

use crate::output::printable;

/// Widest line that is printed.
const WIDTH: usize = 118;
/// A shortened first column keeps at least so many characters: names of a layer's tensors stay apart.
const NARROWEST: usize = 40;
/// Between columns.
const GAP: &str = "  ";

/// Which side a column's cells keep to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading. The first column gives way when a line would be too wide.
pub(crate) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let heading = columns.iter().map(|c| c.0.to_owned()).collect();
        Self {
            align: columns.iter().map(|c| c.1).collect(),
            rows: vec![heading],
        }
    }

    /// Adds a row; cells that are left out stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().take(self.align.len());
        self.rows.push(cells.map(|cell| printable(&cell)).collect());
    }

    /// The lines, a rule under the heading.
    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.align.len()).map(width).collect();
        let others: usize = widths.iter().skip(1).map(|w| w + GAP.len()).sum();
        if let Some(first) = widths.first_mut() {
            *first = (*first).min(WIDTH.saturating_sub(others).max(NARROWEST));
        }
        let mut text = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            self.line(&mut text, row, &widths);
            if i == 0 {
                let rule = widths.iter().map(|&w| "-".repeat(w)).collect::<Vec<_>>().join(GAP);
                text.push_str(&rule);
                text.push('\n');
            }
        }
        text
    }

    fn line(&self, text: &mut String, row: &[String], widths: &[usize]) {
        let start = text.len();
        for (i, cell) in row.iter().enumerate() {
            let cell = if i == 0 { shorten(cell, widths[i]) } else { cell.clone() };
            let fill = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
            if i > 0 {
                text.push_str(GAP);
            }
            match self.align[i] {
                Align::Left => text.extend([&cell[..], &fill]),
                Align::Right => text.extend([&fill[..], &cell]),
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// A name as it may be printed, with its middle left out if it is too long: both ends tell tensors apart.
pub(crate) fn shorten(name: &str, width: usize) -> String {
    let chars: Vec<char> = printable(name).chars().collect();
    if chars.len() <= width {
        return chars.into_iter().collect();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 2;
    let tail = chars.len() - (kept - head);
    chars[..head].iter().chain(&['…']).chain(&chars[tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_names_shortened() {
        let mut table = Table::new(&[("name", Align::Left), ("bytes", Align::Right)]);
        table.row(["a".into(), "1".into()]);
        table.row(["layer.".repeat(40), "1000000".into()]);
        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|l| l.chars().count() == WIDTH), "{text}");
        assert!(lines[3].contains('…') && lines[3].ends_with("  1000000"));
    }

    #[test]
    fn shortening_keeps_both_ends() {
        assert_eq!(shorten("abcdefgh", 8), "abcdefgh");
        assert_eq!(shorten("abcdefgh", 5), "ab…gh");
        assert_eq!(shorten("a\u{1b}[2J", 9), "a?[2J");
    }
}
