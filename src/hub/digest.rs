//! The digest that an ETag is.

use super::names;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Computes the digest of a file, from its start to its end.
pub(super) enum Digest {
    /// The Hub names files of its large file storage by their SHA-256.
    Sha256(Sha256),
    /// It names others by their Git object.
    Git(Sha1),
    /// The ETag is no digest.
    Unknown,
}

impl Digest {
    pub(super) fn of(etag: &str, size: u64) -> Self {
        match etag.len() {
            64 if names::is_hex(etag) => Self::Sha256(Sha256::new()),
            40 if names::is_hex(etag) => Self::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
            _ => Self::Unknown,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
            Self::Unknown => {}
        }
    }

    /// `None` where the digest is as the ETag says, or nothing says what it should be; else what it is.
    pub(super) fn differs(self, etag: &str) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let got = match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Git(hasher) => hex(&hasher.finalize()),
            Self::Unknown => return None,
        };
        (got != etag).then_some(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(etag: &str, bytes: &[u8]) -> bool {
        let mut digest = Digest::of(etag, bytes.len() as u64);
        assert!(digest.is_known());
        digest.update(bytes);
        digest.differs(etag).is_none()
    }

    #[test]
    fn digests_are_gits_and_sha256() {
        // `printf hello | git hash-object --stdin`, `printf hello | sha256sum`.
        assert!(fits("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", b"hello"));
        assert!(fits(
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            b"hello"
        ));
        assert!(!fits("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", b"hellO"));
        assert!(!Digest::of("5d41402abc4b2a76b9719d911017c592", 5).is_known());
    }
}
