//! Progress of long work, and its cancellation.

/// Told of progress by long-running work. Every method does nothing unless implemented.
pub trait Progress: Sync {
    /// Work of so many bytes begins.
    fn start(&self, _total: u64) {}

    /// So many bytes more are done; the last of them were this tensor's (or file's).
    fn advance(&self, _bytes: u64, _name: &str) {}

    /// Something is not as it was asked for, and the work goes on.
    fn warn(&self, _message: &str) {}

    /// Asked now and then: whether to stop. Work then ends with
    /// [`Error::Cancelled`](crate::Error::Cancelled) and leaves nothing behind.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Progress for () {}
