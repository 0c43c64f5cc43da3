//! Items of a task, from JSON lines.

use super::At;
use super::datasets;
use super::documents::json_lines;
use crate::error::display;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What is asked, and the right answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Which choice is most likely to follow the context.
    Choices {
        /// What comes before.
        context: String,
        /// What may follow.
        choices: Vec<String>,
        /// Index of the right choice.
        gold: usize,
    },
    /// Which context makes the continuation most likely.
    Contexts {
        /// What may come before.
        contexts: Vec<String>,
        /// What follows.
        continuation: String,
        /// Index of the right context.
        gold: usize,
    },
    /// Whether the target is what the model itself goes on with.
    Cloze {
        /// What comes before.
        context: String,
        /// What follows.
        target: String,
    },
}

impl Question {
    /// Index of the right answer, except of a cloze.
    pub fn gold(&self) -> Option<usize> {
        match self {
            Self::Choices { gold, .. } | Self::Contexts { gold, .. } => Some(*gold),
            Self::Cloze { .. } => None,
        }
    }
}

/// An item of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name: the field `id`, or the number of its line.
    pub id: String,
    /// Where it is from.
    pub at: At,
    /// What is asked.
    pub question: Question,
}

/// Reads a task: one JSON object a line, of one of the shapes
/// `{"context", "choices": [...], "gold"}`, `{"contexts": [...], "continuation", "gold"}` and
/// `{"context", "target"}`, each with an optional `"id"`. A choice, continuation or target brings the
/// space before it along. Rows of ARC, OpenBookQA, HellaSwag, PIQA, WinoGrande and LAMBADA as they are
/// published are read too, and put in the words of lm-evaluation-harness.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with file and line if a field is missing or of the wrong type, an
/// index is out of range, a text is empty, or the file has no item.
pub fn read_items(path: &Path) -> Result<Vec<Item>> {
    let file = display(path);
    let text = fs::read_to_string(path).map_err(Error::io(format!("reading {file}")))?;
    if let Some(Err(Error::Input { file, what })) = json_lines(&file, &text).next() {
        let hint = "a task has a JSON object a line; a plain text is given with --text";
        return Err(Error::input(file, format!("{what}: {hint}")));
    }
    let items = json_lines(&file, &text).map(|line| line.and_then(|(at, value)| item(at, &value)));
    let items = items.collect::<Result<Vec<_>>>()?;
    if items.is_empty() {
        return Err(Error::input(file, "the task has no items"));
    }
    Ok(items)
}

fn item(at: At, value: &Value) -> Result<Item> {
    let question = question(value).map_err(|what| Error::input(at.to_string(), what))?;
    let id = match value.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(id) if !id.is_null() => id.to_string(),
        _ => at.line.to_string(),
    };
    Ok(Item { id, at, question })
}

fn question(value: &Value) -> Result<Question, String> {
    if let Some(question) = datasets::question(value) {
        return question;
    }
    let has = |name: &str| value.get(name).is_some();
    if has("choices") {
        let choices = texts(value, "choices")?;
        let gold = gold(value, "choices", choices.len())?;
        let context = string(value, "context")?.to_owned();
        return Ok(Question::Choices { context, choices, gold });
    }
    if has("contexts") {
        let contexts = texts(value, "contexts")?;
        let gold = gold(value, "contexts", contexts.len())?;
        let continuation = filled(value, "continuation")?;
        return Ok(Question::Contexts {
            contexts,
            continuation,
            gold,
        });
    }
    if has("target") {
        let (context, target) = (string(value, "context")?.to_owned(), filled(value, "target")?);
        return Ok(Question::Cloze { context, target });
    }
    Err(format!(
        "none of the fields \"choices\", \"contexts\" and \"target\" is there, {}",
        datasets::KNOWN
    ))
}

pub(super) fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    match value.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("the field {name:?} is no string")),
        None => Err(format!("the field {name:?} is missing")),
    }
}

fn filled(value: &Value, name: &str) -> Result<String, String> {
    let text = string(value, name)?;
    if text.trim().is_empty() {
        return Err(format!("the field {name:?} is empty"));
    }
    Ok(text.to_owned())
}

fn texts(value: &Value, name: &str) -> Result<Vec<String>, String> {
    let texts = strings(value.get(name), name)?;
    if texts.len() < 2 {
        return Err(format!("{name:?} has {} entries: at least 2 are needed", texts.len()));
    }
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(format!("entry {i} of {name:?} is empty")),
        None => Ok(texts),
    }
}

/// A list of strings; `name` is what it is called in messages.
pub(super) fn strings(list: Option<&Value>, name: &str) -> Result<Vec<String>, String> {
    let list = list.and_then(Value::as_array);
    let list = list.ok_or_else(|| format!("the field {name:?} is no list"))?;
    let text = |(i, entry): (usize, &Value)| match entry.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("entry {i} of {name:?} is no string")),
    };
    list.iter().enumerate().map(text).collect()
}

fn gold(value: &Value, list: &str, len: usize) -> Result<usize, String> {
    let gold = value.get("gold").ok_or("the field \"gold\" is missing")?;
    let index = gold.as_u64().and_then(|gold| usize::try_from(gold).ok());
    index
        .filter(|&gold| gold < len)
        .ok_or_else(|| format!("\"gold\" is {gold}: an index of {list:?}, 0 to {}, is needed", len - 1))
}

/// Refuses tasks that have a question in common: where the items of all are taken together it would count twice.
///
/// # Errors
/// [`Error::Input`] with both places.
pub fn check_distinct<'a>(tasks: impl IntoIterator<Item = &'a Vec<Item>>) -> Result<()> {
    let mut known: HashMap<&Question, &At> = HashMap::new();
    for task in tasks {
        if let Some((item, other)) = task.iter().find_map(|item| Some((item, known.get(&item.question)?))) {
            let what =
                format!("the same question is at {other}: of all tasks together (--pool-tasks) each counts once");
            return Err(Error::input(item.at.to_string(), what));
        }
        known.extend(task.iter().map(|item| (&item.question, &item.at)));
    }
    Ok(())
}
