//! What others' quantisers cost, as published: shown where it is of the same model.

use crate::failure::Failure;
use serde::Deserialize;
use std::path::Path;
use wcodec::eval::ModelFiles;

/// Points of a model: divergence in nats over bits a weight.
#[derive(Clone, Deserialize)]
pub(super) struct Published {
    pub(super) model: String,
    /// Of the weights' file; 0 if the model is known by name only.
    bytes: u64,
    blake3: String,
    /// Names on the Hub.
    names: Vec<String>,
    pub(super) conditions: String,
    pub(super) series: Vec<PublishedSeries>,
}

#[derive(Clone, Deserialize)]
pub(super) struct PublishedSeries {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) points: Vec<(String, f64, f64)>,
}

impl Published {
    /// What is published of a model.
    pub(super) fn of(files: &ModelFiles) -> Result<Option<Self>, Failure> {
        let all: Vec<Self> = serde_json::from_str(include_str!("published.json"))
            .map_err(|e| Failure::new("other", format!("published.json: {e}")))?;
        let bytes = files.bytes()?;
        for one in all {
            let named = on_hub(&files.name).is_some_and(|id| one.names.iter().any(|name| name == id));
            // The digest takes a look at all bytes: only where the length is right.
            if named || one.bytes == bytes && files.digest()? == one.blake3 {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }
}

/// The repository on the Hub, in its newest state, that a model's name stands for. A file or folder here may have
/// any name, and another revision other weights.
fn on_hub(name: &str) -> Option<&str> {
    let id = name.strip_prefix("hf://").unwrap_or(name);
    let id = id.strip_suffix("@main").unwrap_or(id);
    (!Path::new(name).exists() && !id.contains('@')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hubs_newest_state_goes_by_its_name() {
        assert_eq!(on_hub("org/model"), Some("org/model"));
        assert_eq!(on_hub("hf://org/model@main"), Some("org/model"));
        assert_eq!(on_hub("org/model@old"), None);
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/models/kjv");
        assert_eq!(on_hub(here), None);
    }
}
