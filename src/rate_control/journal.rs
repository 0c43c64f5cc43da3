//! Probes of earlier runs.

use super::place::{JOURNAL, REFERENCE};
use super::probe::Probe;
use crate::Result;
use crate::eval::journal::Journal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A file of probes that belong together: of one model, quantised in one way, measured on the same.
pub(super) struct Probes {
    journal: Journal,
    part: u32,
    next: u32,
}

/// The name of what belongs to an identity, in a folder.
fn path(folder: &Path, name: &str, identity: &Value) -> PathBuf {
    let digest = blake3::hash(identity.to_string().as_bytes()).to_hex();
    folder.join(format!("{name}{}", &digest[..16]))
}

/// Where the reference's states are kept.
pub(super) fn reference(folder: &Path, identity: &Value) -> PathBuf {
    path(folder, REFERENCE, identity)
}

impl Probes {
    /// Opens the file of an identity, and gives the probes in it.
    pub(super) fn open(folder: &Path, identity: &Value) -> Result<(Self, Vec<Probe>)> {
        let mut journal = Journal::open(&path(folder, JOURNAL, identity), identity, false)?;
        // How many there will be is not known.
        let part = journal.part(&json!("probes"), 0)?;
        let (mut probes, mut next) = (Vec::new(), 0);
        while let Some(payload) = journal.read(part, next)? {
            // One that cannot be read is made again.
            probes.extend(serde_json::from_slice::<Probe>(&payload));
            next += 1;
        }
        Ok((Self { journal, part, next }, probes))
    }

    pub(super) fn add(&mut self, probe: &Probe) -> Result<()> {
        let payload = serde_json::to_vec(probe).unwrap_or_default();
        self.journal.append(self.part, self.next, &payload)?;
        self.next += 1;
        Ok(())
    }
}
