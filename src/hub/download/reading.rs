//! Reading a file while it is on its way: what is waited for comes next.

use super::Download;
use crate::error::Result;
use std::ops::Range;

impl Download {
    /// Fetches only what is waited for, until [`Download::release`].
    pub(in crate::hub) fn hold(&self) {
        self.state().held = true;
    }

    /// Fetches all of it.
    pub(in crate::hub) fn release(&self) {
        self.state().held = false;
        self.changed.notify_all();
    }

    pub(in crate::hub) fn size(&self) -> u64 {
        self.metadata.size
    }

    pub(in crate::hub) fn url(&self) -> &str {
        self.target.url()
    }

    /// The file that grows.
    pub(in crate::hub) fn partial(&self) -> &std::path::Path {
        &self.partial
    }

    /// Whether these bytes are here.
    pub(in crate::hub) fn is_here(&self, bytes: &Range<u64>) -> bool {
        let state = self.state();
        state.parts.covering(bytes).all(|block| state.parts.is_here(block))
    }

    /// Waits until these bytes are here, and has them come next.
    ///
    /// # Errors
    /// Why they will not come.
    pub(in crate::hub) fn wait(&self, bytes: &Range<u64>) -> Result<()> {
        if self.is_here(bytes) {
            return Ok(());
        }
        let blocks = {
            let mut state = self.state();
            let blocks = state.parts.covering(bytes);
            state.wanted.push(blocks.clone());
            blocks
        };
        self.changed.notify_all();
        let result = self.wait_for(blocks.clone());
        let mut state = self.state();
        if let Some(at) = state.wanted.iter().position(|w| *w == blocks) {
            state.wanted.remove(at);
        }
        result
    }
}
