//! What others' quantisers cost, as published: shown where it is of the same model.

use crate::failure::Failure;
use serde::Deserialize;
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
        let id = files.name.strip_prefix("hf://").unwrap_or(&files.name);
        let id = id.split('@').next().unwrap_or_default();
        let bytes = files.bytes()?;
        for one in all {
            let named = one.names.iter().any(|name| name == id);
            // The digest takes a look at all bytes: only where the length is right.
            if named || one.bytes == bytes && files.digest()? == one.blake3 {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }
}
