//! Batches of results, computed or found in a journal.

use super::journal::Journal;
use super::wire::Taken;
use crate::Result;
use serde::Serialize;
use serde_json::Value;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A text's or task's part of a journal, if there is one.
pub(super) struct Kept<'a>(Option<(&'a Mutex<Journal>, u32)>);

impl<'a> Kept<'a> {
    pub(super) fn new(journal: Option<&'a Mutex<Journal>>, key: &Value, batches: usize) -> Result<Self> {
        let part = journal.map(|j| Ok::<_, crate::Error>((j, lock(j).part(key, batches as u32)?)));
        Ok(Self(part.transpose()?))
    }

    /// Whether a batch is there.
    pub(super) fn has(&self, batch: u32) -> bool {
        self.0.is_some_and(|(journal, part)| lock(journal).has(part, batch))
    }

    /// Whether a batch should be there, and is not.
    pub(super) fn wants(&self, batch: u32) -> bool {
        self.0.is_some() && !self.has(batch)
    }

    /// A batch's results: those that are there, or those that `compute` adds to an empty payload. The time that
    /// they took is added to `spent`.
    pub(super) fn get_or(
        &self,
        batch: u32,
        spent: &mut Spent,
        compute: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        if let Some((journal, part)) = self.0 {
            let journal = lock(journal);
            if let Some(payload) = journal.read(part, batch)? {
                let mut taken = Taken(&payload);
                let time = Duration::try_from_secs_f64(taken.f64()?).unwrap_or_default();
                spent.all += time;
                if journal.found(part, batch) {
                    spent.earlier += time;
                }
                return Ok(taken.0.to_vec());
            }
        }
        let begun = Instant::now();
        let mut payload = vec![0; size_of::<f64>()];
        compute(&mut payload)?;
        let time = begun.elapsed();
        if let Some((journal, part)) = self.0 {
            payload[..size_of::<f64>()].copy_from_slice(&time.as_secs_f64().to_le_bytes());
            lock(journal).append(part, batch, &payload)?;
        }
        payload.drain(..size_of::<f64>());
        spent.all += time;
        Ok(payload)
    }
}

fn lock(journal: &Mutex<Journal>) -> std::sync::MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(|e| e.into_inner())
}

/// How long something took, in all runs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// The time of all runs.
    pub all: Duration,
    /// Of that, what earlier runs took whose results were kept.
    pub earlier: Duration,
}

/// How long the models took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// The reference: its states of texts, its answers to tasks.
    pub reference: Spent,
    /// The candidate; of texts with the comparison of both models' logits.
    pub candidate: Spent,
}
