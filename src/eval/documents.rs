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
    let bytes = fs::read(path).map_err(Error::io(format!("reading {file}")))?;
    let text = String::from_utf8(bytes).map_err(|e| Error::input(&file, format!("not UTF-8: {e}")))?;
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
