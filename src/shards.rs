//! The index of a sharded checkpoint (`model.safetensors.index.json`): which file has which tensor.

#[cfg(all(test, feature = "safetensors"))]
mod tests;

use crate::error::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Shard indexes above this are refused: 2 million tensors take less.
const MAX_BYTES: u64 = 256 << 20;
const MAP: &str = "weight_map";

/// The files that a shard index (`model.wcodec.index.json`) names, each once and in order: those of the
/// tensors whose name `wanted` takes. They are as the index has them: names beside it, if it is honest.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] if it is no regular file, is too large, or is no shard index.
pub fn shard_files(index: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let json = read(index)?;
    Ok(names(index, &json, wanted)?.into_iter().collect())
}

/// A shard index's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let reading = || Error::io(format!("reading {}", path.display()));
    // Opening a pipe would wait for its writer, and a device may have no end.
    let metadata = fs::metadata(path).map_err(reading())?;
    if !metadata.is_file() {
        return Err(wrong(path, "a shard index is a regular file"));
    }
    let mut json = Vec::new();
    let file = File::open(path).map_err(reading())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut json).map_err(reading())?;
    if json.len() as u64 > MAX_BYTES {
        return Err(wrong(path, format!("a shard index has at most {MAX_BYTES} bytes")));
    }
    Ok(json)
}

fn wrong(path: &Path, what: impl Into<String>) -> Error {
    Error::input(path.display().to_string(), what)
}

fn names(path: &Path, json: &[u8], wanted: impl Fn(&str) -> bool) -> Result<BTreeSet<String>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let names = deserializer.deserialize_map(Index(&wanted));
    let names = names.and_then(|names| deserializer.end().map(|()| names));
    names.map_err(|e| wrong(path, format!("not a shard index: {e}")))
}

/// The object that the index is.
struct Index<'a, F>(&'a F);

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Index<'_, F> {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a {MAP}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut names = None;
        while let Some(key) = object.next_key::<String>()? {
            if key != MAP {
                object.next_value::<IgnoredAny>()?;
            } else if names.replace(object.next_value_seed(WeightMap(self.0))?).is_some() {
                return Err(A::Error::duplicate_field(MAP));
            }
        }
        names.ok_or_else(|| A::Error::missing_field(MAP))
    }
}

/// Its `weight_map`: the file of each tensor.
struct WeightMap<'a, F>(&'a F);

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for WeightMap<'_, F> {
    type Value = BTreeSet<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for WeightMap<'_, F> {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the file of each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if (self.0)(&tensor) {
                names.insert(file);
            }
        }
        Ok(names)
    }
}

/// Exchanges the extension of the files that the index names. Every other byte stays, so that the way
/// back gives the same index.
#[cfg(feature = "safetensors")]
pub(crate) fn rename(path: &Path, json: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    names(path, json, |_| true)?;
    let from = format!(".{from}");
    let mut renamed = Vec::with_capacity(json.len());
    let mut kept = 0;
    for value in values(json) {
        let name = &json[value.clone()];
        if !name.ends_with(from.as_bytes()) {
            let name = String::from_utf8_lossy(name);
            return Err(wrong(path, format!("the shard \"{name}\" is no {from} file")));
        }
        renamed.extend_from_slice(&json[kept..value.end - from.len() + 1]);
        renamed.extend_from_slice(to.as_bytes());
        kept = value.end;
    }
    renamed.extend_from_slice(&json[kept..]);
    Ok(renamed)
}

/// Where the texts of the file names are, without their quotes, in a valid index.
#[cfg(feature = "safetensors")]
fn values(json: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut values = Vec::new();
    // Of the innermost object: whether what comes is a value, not a key.
    let (mut depth, mut value, mut in_map) = (0_usize, false, false);
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => (depth, value) = (depth + 1, false),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => value = true,
            b',' => value = false,
            b'"' => {
                let start = at + 1;
                at = start;
                while at < json.len() && json[at] != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                let end = at.min(json.len());
                if depth == 1 && !value {
                    // A key may be written with escapes.
                    let key = serde_json::from_slice::<String>(&json[start - 1..json.len().min(end + 1)]);
                    in_map = key.is_ok_and(|key| key == MAP);
                } else if depth == 2 && value && in_map {
                    values.push(start..end);
                }
            }
            _ => {}
        }
        at += 1;
    }
    values
}
