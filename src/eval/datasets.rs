//! Rows of well-known data sets as they are published, in the words that lm-evaluation-harness puts
//! them in, without examples before them.

use super::items::{Question, string, strings};
use serde_json::Value;

/// The question of a row of ARC, OpenBookQA, HellaSwag, PIQA, WinoGrande or LAMBADA; `None` if the
/// fields are no such row's.
pub(super) fn question(row: &Value) -> Option<Result<Question, String>> {
    let has = |names: &[&str]| names.iter().all(|name| row.get(name).is_some());
    if has(&["choices", "answerKey"]) {
        return Some(lettered(row));
    }
    if has(&["ctx_a", "ctx_b", "endings"]) {
        return Some(hellaswag(row));
    }
    if has(&["goal", "sol1", "sol2"]) {
        return Some(piqa(row));
    }
    if has(&["sentence", "option1", "option2"]) {
        return Some(winogrande(row));
    }
    if has(&["text"]) {
        return Some(lambada(row));
    }
    None
}

/// The names of the data sets' fields, for messages.
pub(super) const KNOWN: &str = "or the fields of ARC, OpenBookQA, HellaSwag, PIQA, WinoGrande or LAMBADA";

/// An index that may be written as a string.
fn index(row: &Value, name: &str, first: usize, len: usize) -> Result<usize, String> {
    let value = row.get(name).ok_or_else(|| format!("the field {name:?} is missing"))?;
    let index = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let index = index.and_then(|i| usize::try_from(i).ok()?.checked_sub(first));
    let last = first + len - 1;
    index
        .filter(|&i| i < len)
        .ok_or_else(|| format!("{name:?} is {value}: a number from {first} to {last} is needed"))
}

fn choices(context: String, choices: Vec<String>, gold: usize) -> Result<Question, String> {
    if choices.len() < 2 || choices.iter().any(|c| c.trim().is_empty()) {
        return Err("at least 2 choices are needed, and none may be empty".into());
    }
    let choices = choices.into_iter().map(|c| format!(" {c}")).collect();
    Ok(Question::Choices { context, choices, gold })
}

/// ARC asks a question; OpenBookQA has a stem to go on from.
fn lettered(row: &Value) -> Result<Question, String> {
    let context = match row.get("question_stem").and_then(Value::as_str) {
        Some(stem) => stem.to_owned(),
        None => format!("Question: {}\nAnswer:", string(row, "question")?),
    };
    let labels = strings(row.pointer("/choices/label"), "choices.label")?;
    let texts = strings(row.pointer("/choices/text"), "choices.text")?;
    let key = string(row, "answerKey")?;
    let gold = labels
        .iter()
        .position(|label| label == key)
        .filter(|&gold| gold < texts.len());
    let gold = gold.ok_or_else(|| format!("\"answerKey\" is {key:?}, the labels are {labels:?}"))?;
    choices(context, texts, gold)
}

fn hellaswag(row: &Value) -> Result<Question, String> {
    let endings = strings(row.get("endings"), "endings")?;
    let gold = index(row, "label", 0, endings.len().max(1))?;
    // Python's `capitalize`: the rest becomes small.
    let second = string(row, "ctx_b")?.to_lowercase();
    let mut rest = second.chars();
    let second: String = rest
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(rest)
        .collect();
    let context = format!("{}: {} {second}", string(row, "activity_label")?, string(row, "ctx_a")?);
    choices(clean(&context), endings.iter().map(|e| clean(e)).collect(), gold)
}

/// WikiHow's marks, taken out as the harness does.
fn clean(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else {
            break;
        };
        out.push_str(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    out.replace("  ", " ")
}

fn piqa(row: &Value) -> Result<Question, String> {
    let context = format!("Question: {}\nAnswer:", string(row, "goal")?);
    let solutions = vec![string(row, "sol1")?.to_owned(), string(row, "sol2")?.to_owned()];
    choices(context, solutions, index(row, "label", 0, 2)?)
}

fn winogrande(row: &Value) -> Result<Question, String> {
    let (before, after) = string(row, "sentence")?
        .split_once('_')
        .ok_or("\"sentence\" has no _ for the option")?;
    let context = |name| Ok::<_, String>(format!("{before}{}", string(row, name)?));
    let continuation = format!(" {}", after.trim());
    if continuation.trim().is_empty() {
        return Err("nothing follows the option in \"sentence\"".into());
    }
    Ok(Question::Contexts {
        contexts: vec![context("option1")?, context("option2")?],
        continuation,
        gold: index(row, "answer", 1, 2)?,
    })
}

fn lambada(row: &Value) -> Result<Question, String> {
    let text = string(row, "text")?.trim_end();
    let (context, target) = text.rsplit_once(' ').ok_or("\"text\" has one word only")?;
    Ok(Question::Cloze {
        context: context.to_owned(),
        target: format!(" {target}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(row: Value) -> Question {
        question(&row).unwrap().unwrap()
    }

    fn of(context: &str, choices: &[&str], gold: usize) -> Question {
        Question::Choices {
            context: context.into(),
            choices: choices.iter().map(|c| (*c).into()).collect(),
            gold,
        }
    }

    #[test]
    fn rows_are_put_in_the_usual_words() {
        let labels = json!({"text": ["iron", "wood"], "label": ["A", "B"]});
        let arc = json!({"question": "What rusts?", "choices": labels, "answerKey": "A"});
        assert_eq!(read(arc), of("Question: What rusts?\nAnswer:", &[" iron", " wood"], 0));
        let stem = json!({"question_stem": "What floats is", "choices": labels, "answerKey": "B"});
        assert_eq!(read(stem), of("What floats is", &[" iron", " wood"], 1));
        let hellaswag = json!({
            "activity_label": "Roof shingle removal", "ctx_a": "A man is sitting on a roof.", "ctx_b": "he",
            "endings": ["is using wrap.", "[step] waits  here [title] Up"], "label": "1",
        });
        let context = "Roof shingle removal: A man is sitting on a roof. He";
        assert_eq!(
            read(hellaswag),
            of(context, &[" is using wrap.", "  waits here. Up"], 1)
        );
        let piqa = json!({"goal": "Boil water", "sol1": "Heat it", "sol2": "Cool it", "label": 0});
        assert_eq!(
            read(piqa),
            of("Question: Boil water\nAnswer:", &[" Heat it", " Cool it"], 0)
        );
        let winogrande =
            json!({"sentence": "Ann beat Eve so _ won.", "option1": "Ann", "option2": "Eve", "answer": "1"});
        let expected = Question::Contexts {
            contexts: vec!["Ann beat Eve so Ann".into(), "Ann beat Eve so Eve".into()],
            continuation: " won.".into(),
            gold: 0,
        };
        assert_eq!(read(winogrande), expected);
        let (context, target) = ("I see the".to_owned(), " sea".to_owned());
        assert_eq!(
            read(json!({"text": "I see the sea"})),
            Question::Cloze { context, target }
        );
    }

    #[test]
    fn wrong_rows_say_what_is_wrong() {
        let wrong = |row| question(&row).unwrap().unwrap_err();
        let labels = json!({"text": ["iron", "wood"], "label": ["A", "B"]});
        assert!(wrong(json!({"question": "?", "choices": labels, "answerKey": "C"})).contains("answerKey"));
        let piqa = |label| json!({"goal": "a", "sol1": "b", "sol2": "c", "label": label});
        assert!(wrong(piqa(json!(2))).contains("0 to 1") && wrong(piqa(json!("x"))).contains("label"));
        let row = json!({"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"});
        assert!(wrong(row).contains("no _"));
        assert!(question(&json!({"question": "a"})).is_none());
    }
}
