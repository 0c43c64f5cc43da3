//! Rust source, as far as the rules need it: without comments and strings, without gated items.

use std::path::{Path, PathBuf};

/// A source file of the crate.
pub struct Source {
    /// From `src/`, with slashes.
    pub path: String,
    pub text: String,
    /// As long as `text`: comments and the insides of strings are blank.
    pub code: String,
    /// Whether it is compiled only for tests.
    pub test: bool,
    /// Whether it is compiled only with the encoder, or for tests.
    pub gated: bool,
}

/// All files below `src/`, in order of path.
pub fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    mark(&mut sources, "lib.rs", (false, false));
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = strip(&text);
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            sources.push(Source {
                path,
                text,
                code,
                test: false,
                gated: false,
            });
        }
    }
}

/// Follows `mod name;` from a file and passes on what gates it.
fn mark(sources: &mut [Source], path: &str, (test, gated): (bool, bool)) {
    let Some(source) = sources.iter_mut().find(|s| s.path == path) else {
        return;
    };
    (source.test, source.gated) = (test, gated);
    let folder = match path.rsplit_once('/') {
        Some((folder, "mod.rs")) => format!("{folder}/"),
        _ if path == "lib.rs" => String::new(),
        _ => format!("{}/", path.trim_end_matches(".rs")),
    };
    let names = |code: &str| -> Vec<String> {
        let mods = code.split_inclusive(';').filter_map(|item| item.strip_suffix(';'));
        let last = |item: &str| item.rsplit_once("mod ").map(|(_, name)| name.trim().to_owned());
        mods.filter_map(last)
            .filter(|n| n.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .collect()
    };
    let all = names(&source.code);
    let untested = names(&source.without(is_test));
    let open = names(&source.without(is_gate));
    for name in all {
        let gates = (test || !untested.contains(&name), gated || !open.contains(&name));
        mark(sources, &format!("{folder}{name}.rs"), gates);
        mark(sources, &format!("{folder}{name}/mod.rs"), gates);
    }
}

fn is_test(attribute: &str) -> bool {
    attribute.starts_with("#[cfg(test") || attribute.starts_with("#[cfg(all(test")
}

/// Whether an attribute keeps an item out of a build that only decodes.
pub fn is_gate(attribute: &str) -> bool {
    let features = ["encode", "safetensors", "eval", "cli"];
    is_test(attribute)
        || attribute.starts_with("#[cfg(")
            && features
                .iter()
                .any(|f| attribute.contains(&format!("feature = \"{f}\"")))
}

impl Source {
    /// Its top-level module.
    pub fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The code without items under an attribute that `gate` picks.
    pub fn without(&self, gate: impl Fn(&str) -> bool) -> String {
        let mut code = self.code.clone().into_bytes();
        let mut from = 0;
        while let Some(at) = self.code[from..].find("#[").map(|at| from + at) {
            let end = closing(&self.code, at + 1);
            from = end;
            if gate(&self.text[at..end]) {
                let end = item_end(&self.code, end);
                code[at..end]
                    .iter_mut()
                    .filter(|b| **b != b'\n')
                    .for_each(|b| *b = b' ');
                from = end;
            }
        }
        String::from_utf8(code).unwrap()
    }

    /// Line number of an offset, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Top-level names that the code refers to through `crate::` (or `super::` up to the root).
    pub fn uses(&self, code: &str) -> Vec<(usize, String)> {
        let depth = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs")) => folder.matches('/').count() + 1,
            _ => self.path.matches('/').count() + 1,
        };
        let root = "super::".repeat(depth);
        let mut found = Vec::new();
        for prefix in ["crate::", &root] {
            for (at, _) in code.match_indices(prefix) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                let rest = &code[at + prefix.len()..];
                let inner = if rest.starts_with('{') {
                    &rest[1..closing(rest, 0) - 1]
                } else {
                    rest
                };
                let parts = if rest.starts_with('{') {
                    split(inner)
                } else {
                    vec![inner]
                };
                let name = |p: &str| {
                    p.trim()
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect()
                };
                found.extend(
                    parts
                        .into_iter()
                        .map(|p| (self.line(at), name(p)))
                        .filter(|(_, n): &(_, String)| !n.is_empty()),
                );
            }
        }
        found
    }
}

/// Parts of a list in braces, at its own level.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// The offset behind the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// The offset behind the item, statement or field that starts at `from`, after its other attributes.
fn item_end(code: &str, mut from: usize) -> usize {
    loop {
        from += code[from..].len() - code[from..].trim_start().len();
        if !code[from..].starts_with("#[") {
            break;
        }
        from = closing(code, from + 1);
    }
    let head = code[from..].split(['{', ';']).next().unwrap_or_default();
    let words: Vec<&str> = head.split_whitespace().take(4).collect();
    let declares = |w: &&str| {
        [
            "fn", "impl", "struct", "enum", "trait", "mod", "const", "static", "type",
        ]
        .contains(w)
    };
    let (is_use, is_item) = (
        words.contains(&"use"),
        words.iter().any(|w| declares(w) || w.starts_with("impl<")),
    );
    let mut at = from;
    while let Some(c) = code[at..].chars().next() {
        match c {
            ';' => return at + 1,
            ',' if !is_item && !is_use => return at + 1,
            '}' | ')' | ']' => return at,
            '(' | '[' => at = closing(code, at),
            '{' if is_use => at = closing(code, at),
            '{' => return closing(code, at),
            _ => at += c.len_utf8(),
        }
    }
    at
}

/// Blanks comments and the insides of strings and characters.
fn strip(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"")
            || rest.starts_with("r#") && rest.trim_start_matches(['r', '#']).starts_with('"')
        {
            let hashes = rest[1..].find('"').unwrap_or(0);
            let close = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            rest[open..]
                .find(&close)
                .map_or(rest.len(), |end| open + end + close.len())
        } else if rest.starts_with('"') {
            quoted(rest, '"').unwrap_or(rest.len())
        } else if rest.starts_with('\'') {
            // A lifetime has no closing quote close by.
            quoted(rest, '\'')
                .filter(|&end| rest[..end].chars().count() == 3 || rest[1..].starts_with('\\'))
                .unwrap_or(0)
        } else {
            0
        };
        out[at..at + end]
            .iter_mut()
            .filter(|b| **b != b'\n')
            .for_each(|b| *b = b' ');
        at += end.max(rest.chars().next().map_or(1, char::len_utf8));
    }
    // Characters beyond ASCII in code do not matter to any rule.
    out.iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b' ');
    String::from_utf8(out).unwrap()
}

/// Length of a literal in quotes; `None` if it does not end.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
