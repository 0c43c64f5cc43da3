//! Names of repositories, revisions and files: what they may be, in URLs and as paths.

use crate::error::{Error, Result};

/// Parts that are harmless in a path, on any system.
fn is_path(name: &str) -> bool {
    name.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part
                .chars()
                .any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
    })
}

/// `name` or `organisation/name`.
pub(super) fn check_repo(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    match is_path(id) && id.chars().all(plain) && id.split('/').count() <= 2 {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "{id:?} is no repository: write organisation/name"
        ))),
    }
}

pub(super) fn check_revision(revision: &str) -> Result<()> {
    match is_path(revision) {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "{revision:?} is no revision: give a branch, a tag or a commit"
        ))),
    }
}

/// A file's path in its repository, as the caller gives it.
pub(super) fn check_file(file: &str) -> Result<()> {
    match is_path(file) {
        true => Ok(()),
        false => Err(Error::usage(format!("{file:?} is no file of a repository"))),
    }
}

/// As [`check_file`], of a name that the server gives.
pub(super) fn is_file(file: &str) -> bool {
    is_path(file)
}

/// 40 hexadecimal digits (64 in repositories with SHA-256).
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// An ETag without quotes and `W/`. `None` if it could not be a file name.
pub(super) fn etag(header: &str) -> Option<String> {
    let tag = header.trim().trim_start_matches("W/").trim_matches('"');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fine = !tag.is_empty() && tag.len() <= 128 && !tag.starts_with('.') && tag.chars().all(plain);
    fine.then(|| tag.to_owned())
}

/// Percent-encoded, but for slashes.
pub(super) fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(byte.into()),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// Percent-encoded as one part of a path.
pub(super) fn encode_part(part: &str) -> String {
    encode_path(part).replace('/', "%2F")
}

/// Whether a name fits a pattern as Python's `fnmatch` has them: `*` is any characters, slashes too,
/// `?` is any one character. A pattern that ends with a slash means all that is in that folder.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = match pattern.ends_with('/') {
        true => pattern.chars().chain(['*']).collect(),
        false => pattern.chars().collect(),
    };
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // The last star, and the first character that it does not take.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert!(["a", "a/b.json", "a..b/.c"].iter().all(|p| is_path(p)));
        assert!(
            ["", "/a", "a/", "a//b", "../a", "a/..", "a\\b", "C:a", "a\nb", "."]
                .iter()
                .all(|p| !is_path(p))
        );
        assert!(check_repo("org/model-1.5_x").is_ok() && check_repo("gpt2").is_ok());
        assert!(["a/b/c", "a b", "a?b", "org/.."].iter().all(|r| check_repo(r).is_err()));
    }

    #[test]
    fn tags_are_names() {
        assert_eq!(etag("\"abc\"").as_deref(), Some("abc"));
        assert_eq!(etag("W/\"a-1\"").as_deref(), Some("a-1"));
        assert!(
            ["", "\"\"", "\"../x\"", "\"..\"", "\"a/b\""]
                .iter()
                .all(|t| etag(t).is_none())
        );
    }

    #[test]
    fn patterns_fit() {
        for (pattern, name) in [
            ("*.json", "config.json"),
            ("*.json", "a/b.json"),
            ("model-0000?-of-*", "model-00001-of-00002.wcodec"),
            ("a/", "a/b/c"),
            ("*", ""),
            ("*a*b", "xxaxab"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.json", "a.jsonl"),
            ("?", ""),
            ("a", "b"),
            ("a*b", "ac"),
            ("a/", "ab"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn urls_are_encoded() {
        assert_eq!(encode_path("a b/ü%.x"), "a%20b/%C3%BC%25.x");
        assert_eq!(encode_part("refs/pr/1"), "refs%2Fpr%2F1");
    }
}
