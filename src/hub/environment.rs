//! What the environment says: the variables of Python's huggingface_hub, with its defaults.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The Hub.
const ENDPOINT: &str = "https://huggingface.co";

/// An access token, which no message shows.
#[derive(Clone)]
pub(super) struct Token(pub(super) String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Set and not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

fn is_on(name: &str) -> bool {
    text(name).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()))
}

/// A path whose leading `~` is the user's folder.
fn path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(variable(name)?);
    match path.strip_prefix("~") {
        Ok(rest) => Some(env::home_dir()?.join(rest)),
        Err(_) => Some(path),
    }
}

fn home() -> Option<PathBuf> {
    let cache = || path("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")));
    path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")))
}

/// `HF_ENDPOINT`.
pub(super) fn endpoint() -> String {
    text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into())
}

/// `HF_HUB_CACHE`, or `hub` in `HF_HOME`. `None` if not even the user's folder is known.
pub(super) fn cache_dir() -> Option<PathBuf> {
    path("HF_HUB_CACHE")
        .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(home()?.join("hub")))
}

/// `HF_TOKEN`, or what the file `HF_TOKEN_PATH` (`token` in `HF_HOME`) holds.
pub(super) fn token() -> Option<Token> {
    if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    let file = || {
        let path = path("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))?;
        read_token(&path)
    };
    let set = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
    clean(set.or_else(file)?)
}

fn read_token(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Without the white space that comes with a line of a file. `None` if nothing is left.
pub(super) fn clean(token: String) -> Option<Token> {
    let token = token.trim();
    (!token.is_empty()).then(|| Token(token.into()))
}

/// `HF_HUB_OFFLINE`.
pub(super) fn offline() -> bool {
    is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE")
}
