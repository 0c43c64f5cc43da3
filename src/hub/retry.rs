//! Attempts: which faults may pass, how long to wait, when to give up.

use super::client::Client;
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// Between two looks at whether the work was cancelled.
const TICK: Duration = Duration::from_millis(100);

/// An attempt that failed.
pub(super) struct Fault {
    pub(super) error: Error,
    /// Whether another attempt may go better.
    pub(super) again: bool,
    /// How long the server wants us to wait.
    pub(super) after: Option<Duration>,
}

impl From<Error> for Fault {
    /// Of an error that another attempt does not mend.
    fn from(error: Error) -> Self {
        Self {
            error,
            again: false,
            after: None,
        }
    }
}

impl Fault {
    pub(super) fn again(error: Error) -> Self {
        Self {
            error,
            again: true,
            after: None,
        }
    }
}

impl Client {
    /// Tries until it works, it cannot work, or attempts are used up. An attempt that got on (`work`
    /// says so) does not count.
    pub(super) fn retry<T>(
        &self,
        cancelled: &dyn Fn() -> bool,
        work: impl FnMut(&mut bool) -> Result<T, Fault>,
    ) -> Result<T> {
        self.retry_up_to(self.options.attempts, cancelled, work)
    }

    pub(super) fn retry_up_to<T>(
        &self,
        attempts: u32,
        cancelled: &dyn Fn() -> bool,
        mut work: impl FnMut(&mut bool) -> Result<T, Fault>,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let mut got_on = false;
            let fault = match work(&mut got_on) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            failures = if got_on { 1 } else { failures + 1 };
            if !fault.again || failures >= attempts.max(1) {
                return Err(fault.error);
            }
            let doubled = self.options.backoff.saturating_mul(1 << (failures - 1).min(16));
            let wait = match fault.after {
                Some(after) if after > self.options.longest_wait => return Err(told_to_wait(fault.error, after)),
                Some(after) => after,
                None => doubled.min(self.options.longest_wait),
            };
            sleep(wait, cancelled);
        }
    }
}

fn told_to_wait(error: Error, after: Duration) -> Error {
    match error {
        Error::Hub {
            problem,
            url,
            status,
            range,
            what,
        } => Error::Hub {
            what: format!("{what}; the server asks for {} s", after.as_secs()),
            problem,
            url,
            status,
            range,
        },
        other => other,
    }
}

fn sleep(time: Duration, cancelled: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if cancelled() {
            return;
        }
        std::thread::sleep(left.min(TICK));
    }
}
