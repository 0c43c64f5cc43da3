//! Memory that some work takes, and how much there is: on Linux, elsewhere unknown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(5);

/// Runs `work` and gives the most memory that the process had more than before, in bytes. Mapped
/// files do not count: the system can drop them.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let Some(before) = anonymous() else {
        return (work(), None);
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(anonymous().unwrap_or(0));
                std::thread::park_timeout(EVERY);
            }
            most
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        (result, watch.join().ok().map(|most| most - before))
    })
}

/// Memory of this process that no file backs.
fn anonymous() -> Option<u64> {
    field("/proc/self/status", "RssAnon:")
}

/// Memory that is free for new use.
pub(crate) fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// A line such as `RssAnon:  1234 kB`, in bytes.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
