//! How to talk to a hub.

use std::time::Duration;

/// How to talk to a hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// Longest wait for a connection. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, or for its next bytes. Default 30 s.
    pub read_timeout: Duration,
    /// Attempts of one request. Those that bring a good part of what was asked do not count. Default 5.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles with each. Default 0.5 s.
    pub backoff: Duration,
    /// Longest wait before another attempt, and the longest `Retry-After` that is heeded. Default 60 s.
    pub longest_wait: Duration,
    /// Ranges of a file that are asked for at a time. Default 6.
    pub in_flight: usize,
    /// Bytes of a range. What has arrived of a file is kept in blocks of this size. Default 8 MiB.
    pub block_bytes: u64,
    /// Bytes of a file, as the server says. Default 2 TiB.
    pub max_file_bytes: u64,
    /// Bytes of a repository's description. Default 256 MiB.
    pub max_list_bytes: u64,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            attempts: 5,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            in_flight: 6,
            block_bytes: 8 << 20,
            max_file_bytes: 2 << 40,
            max_list_bytes: 256 << 20,
        }
    }
}

impl HubOptions {
    /// With these longest waits for a connection and for bytes.
    pub fn timeouts(mut self, connect: Duration, read: Duration) -> Self {
        (self.connect_timeout, self.read_timeout) = (connect, read);
        self
    }

    /// With so many attempts, and such a wait before the second.
    pub fn attempts(mut self, attempts: u32, backoff: Duration) -> Self {
        (self.attempts, self.backoff) = (attempts, backoff);
        self
    }

    /// With no wait before another attempt longer than this one.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// With so many ranges of so many bytes at a time.
    pub fn ranges(mut self, in_flight: usize, bytes: u64) -> Self {
        (self.in_flight, self.block_bytes) = (in_flight, bytes);
        self
    }
}
