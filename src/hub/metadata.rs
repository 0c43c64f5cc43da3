//! What the endpoint says of a file before any of it is fetched.

use super::client::{Asked, Client, header};
use super::names;
use crate::error::{HubProblem, Result};

/// What the endpoint says of a file.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) commit: String,
    /// Its name among the blobs of the cache.
    pub(super) etag: String,
    pub(super) size: u64,
}

impl Client {
    /// URL of a file.
    pub(super) fn file_url(&self, repo: &str, revision: &str, file: &str) -> String {
        let (revision, file) = (names::encode_part(revision), names::encode_path(file));
        format!("{}/{repo}/resolve/{revision}/{file}", self.endpoint())
    }

    /// Asks for a file's commit, digest and size.
    pub(super) fn metadata(&self, url: &str) -> Result<Metadata> {
        let asked = Asked { url, range: None };
        let (headers, status) = self.retry(&|| false, |_| self.head(url))?;
        let odd = |what: String| asked.error(HubProblem::Protocol, Some(status), what);
        let text = |name: &str| header(&headers, name);
        let commit = text("x-repo-commit").filter(|c| names::is_commit(c));
        let etag = text("x-linked-etag").or_else(|| text("etag")).and_then(names::etag);
        // The length of a redirection is its own.
        let plain = text("content-length").filter(|_| (200..300).contains(&status));
        let size = text("x-linked-size").or(plain).and_then(|n| n.trim().parse().ok());
        let (Some(commit), Some(etag), Some(size)) = (commit, etag, size) else {
            return Err(odd(
                "the answer lacks X-Repo-Commit, an ETag or a length: is it a hub?".into()
            ));
        };
        if size > self.options.max_file_bytes {
            let most = self.options.max_file_bytes;
            return Err(odd(format!("a file of {size} bytes, max_file_bytes is {most}")));
        }
        Ok(Metadata {
            commit: commit.into(),
            etag,
            size,
        })
    }
}
