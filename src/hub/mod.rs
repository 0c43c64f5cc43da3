//! The Hugging Face Hub: repositories, downloads into its cache, decoding by HTTP ranges.
//!
//! ```no_run
//! # fn main() -> wcodec::Result<()> {
//! let repo = wcodec::hub::repo("org/model");
//! // The whole file, into the cache that Python's huggingface_hub shares.
//! let path = repo.download("model.wcodec", &())?;
//! // Some rows of one tensor: the file's front, the tensor's head, the chunks that hold the rows.
//! let file = repo.decoder("model.wcodec")?;
//! let tensor = file.tensor("model.embed_tokens.weight")?;
//! let mut rows = vec![0; 4 * tensor.row_len().unwrap_or(0) as usize];
//! tensor.decode_rows(0..4, &mut rows)?;
//! # Ok(()) }
//! ```
//!
//! # Settings
//!
//! `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH` and `HF_HUB_OFFLINE` mean what
//! they mean to Python's library; each has a method of [`Repo`] that takes precedence.
//!
//! # What is checked
//!
//! Lengths, ranges and ETags of every answer, and of a whole file its digest, which the Hub names it by
//! (SHA-256, or the Git object's). A file gets its name in the cache only then. All requests of one call
//! name the same commit. The token is sent to the endpoint only, never to where it redirects.
//!
//! Requests that fail in a way that may pass are repeated, as [`HubOptions`] say; a download goes on where
//! it was, within a call and in later ones. All else is an [`Error::Hub`](crate::Error::Hub).
//!
//! # What is not the hf-hub crate's
//!
//! That crate lays out the cache; requests are made here. Its version 0.5 reads no ranges and checks
//! no length or digest; version 1.0 stores the body of an error as the file, takes a whole file for a
//! range, cannot resume, and comes with three times as many crates. Files are fetched by plain HTTP, as the
//! Hub offers for all files, not by its Xet protocol.

#[cfg(feature = "candle")]
mod arriving;
mod cache;
mod client;
mod digest;
mod download;
mod environment;
mod fetch;
mod metadata;
mod names;
mod options;
mod partial;
mod parts;
mod remote;
mod repo;
mod retry;
mod spans;

#[cfg(feature = "candle")]
pub(crate) use arriving::{Arrival, Shard};
pub use options::HubOptions;
pub use repo::{Repo, RepoFile, repo};

/// Whether a file's name fits a pattern: `*` is any characters, slashes too, `?` any one; a pattern that
/// ends with a slash is all of that folder.
pub fn fits(pattern: &str, name: &str) -> bool {
    names::fits(pattern, name)
}
