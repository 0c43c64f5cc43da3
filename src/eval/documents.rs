//! Texts to measure on.

use super::At;
use crate::error::display;
use crate::{Error, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The texts of a file, each with its place: the whole file as it is; or of a `.jsonl` file, the
/// `text` of every line.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with file and line if a text is empty, a line is no JSON object or
/// has no `text`.
pub fn read_text(path: &Path) -> Result<Vec<(At, String)>> {
    let file = display(path);
    if path.is_dir() {
        return Err(Error::input(file, "it is a folder: name a text file"));
    }
    let bytes = fs::read(path).map_err(Error::io(format!("reading {file}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::input(&file, format!("not UTF-8, which texts are read as: {e}")))?;
    if text.trim().is_empty() {
        return Err(Error::input(file, "the text is empty"));
    }
    if path.extension().is_none_or(|e| e != "jsonl") {
        return Ok(vec![(At { file, line: 0 }, text)]);
    }
    json_lines(&file, &text)
        .map(|line| {
            let (at, value) = line?;
            match value.get("text").and_then(Value::as_str) {
                Some(text) if !text.is_empty() => Ok((at, text.to_owned())),
                Some(_) => Err(Error::input(at.to_string(), "the text is empty")),
                None => {
                    let what = "no string field \"text\": is it a task? That is given with --task";
                    Err(Error::input(at.to_string(), what))
                }
            }
        })
        .collect()
}

/// Texts, each with the place that it is from.
pub type Documents = Vec<(At, String)>;

/// Documents in two parts: what is before the last eighth of their bytes, and that. Cut is behind a line if the
/// document that is cut has one before that place, else between two characters.
pub fn split_last_eighth(texts: Documents) -> (Documents, Documents) {
    let all: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let (mut before, mut last) = (Vec::new(), Vec::new());
    let mut left = (all as u128 * 7 / 8) as usize;
    for (at, mut text) in texts {
        if text.len() <= left {
            left -= text.len();
            before.push((at, text));
            continue;
        }
        let cut = match text.as_bytes()[..left].iter().rposition(|&b| b == b'\n') {
            Some(line) => line + 1,
            None => (left..text.len())
                .find(|&i| text.is_char_boundary(i))
                .unwrap_or(text.len()),
        };
        let rest = text.split_off(cut);
        left = 0;
        let parts = [(&mut before, text), (&mut last, rest)];
        for (part, text) in parts {
            if !text.is_empty() {
                part.push((at.clone(), text));
            }
        }
    }
    (before, last)
}

/// The objects of a JSON-lines file, each with its place. Blank lines are passed over.
pub(super) fn json_lines<'a>(file: &'a str, text: &'a str) -> impl Iterator<Item = Result<(At, Value)>> + 'a {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(move |(i, line)| {
        let at = At {
            file: file.to_owned(),
            line: i + 1,
        };
        match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => Ok((at, value)),
            Ok(_) => Err(Error::input(at.to_string(), "not a JSON object")),
            Err(e) => Err(Error::input(at.to_string(), format!("not JSON: {e}"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(texts: &[&str]) -> (Vec<String>, Vec<String>) {
        let at = At {
            file: "a".into(),
            line: 0,
        };
        let texts = texts.iter().map(|t| (at.clone(), (*t).to_owned())).collect();
        let (before, last) = split_last_eighth(texts);
        let texts = |all: Vec<(At, String)>| all.into_iter().map(|(_, text)| text).collect();
        (texts(before), texts(last))
    }

    #[test]
    fn the_last_eighth() {
        let text = |t: &[&str]| t.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(split(&["aaaaaaab"]), (text(&["aaaaaaa"]), text(&["b"])));
        // Behind a line; never within a character.
        assert_eq!(split(&["aaaaa\nbb"]), (text(&["aaaaa\n"]), text(&["bb"])));
        assert_eq!(split(&["aaaaaa\u{e9}"]), (text(&["aaaaaa\u{e9}"]), text(&[])));
        // Documents stay whole but one.
        assert_eq!(split(&["aaaa", "bbb", "c"]), (text(&["aaaa", "bbb"]), text(&["c"])));
        assert_eq!(
            split(&["aaaa", "b\nbb", "c"]),
            (text(&["aaaa", "b\n"]), text(&["bb", "c"]))
        );
        assert_eq!(split(&[]), (text(&[]), text(&[])));
    }
}
