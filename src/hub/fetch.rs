//! A range of a file, whatever happens on the way.

use super::client::{Asked, Client, authority, header};
use super::names;
use super::retry::Fault;
use crate::error::{Error, HubProblem, Result};
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ureq::http::HeaderMap;

/// Bytes that are read from a connection at a time.
const BUFFER: usize = 256 << 10;
/// An attempt that brings as many bytes does not count as a failure: a connection may end now and then.
const GOOD_PART: u64 = 64 << 10;

/// Where bytes go: an offset in the file, and the bytes from there on.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

/// A file of one commit on a hub.
pub(super) struct Target {
    client: Arc<Client>,
    /// At the endpoint, with the commit.
    url: String,
    etag: String,
    size: u64,
    seen: Mutex<Seen>,
}

/// What earlier answers said.
#[derive(Default)]
struct Seen {
    /// Where the storage has the file. Such URLs expire.
    storage: Option<String>,
    /// The ETag that each host gives the file: the storage's is not the endpoint's.
    tags: HashMap<String, String>,
}

impl Target {
    pub(super) fn new(client: Arc<Client>, url: String, etag: String, size: u64) -> Self {
        Self {
            client,
            url,
            etag,
            size,
            seen: Mutex::default(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn error(&self, problem: HubProblem, what: impl Into<String>) -> Error {
        Asked {
            url: &self.url,
            range: None,
        }
        .error(problem, None, what)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches a range into `sink`, in order, each byte once. After a failure it goes on where it was.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Cancelled`], and what `sink` says.
    pub(super) fn fetch(&self, range: Range<u64>, cancelled: &dyn Fn() -> bool, sink: Sink) -> Result<()> {
        let mut at = range.start;
        if range.is_empty() {
            return Ok(());
        }
        self.client.retry(cancelled, |got_on| {
            let from = at;
            let result = self.attempt(Some(at..range.end), cancelled, &mut |offset, bytes| {
                sink(offset, bytes)?;
                at = offset + bytes.len() as u64;
                Ok(())
            });
            *got_on = at - from >= GOOD_PART;
            result
        })
    }

    /// Fetches the whole file into `sink`, from a server that knows no ranges. After a failure it
    /// begins again.
    ///
    /// # Errors
    /// As [`Target::fetch`].
    pub(super) fn fetch_whole(&self, cancelled: &dyn Fn() -> bool, sink: Sink) -> Result<()> {
        self.client.retry(cancelled, |_| self.attempt(None, cancelled, sink))
    }

    /// One attempt at a range, or at all.
    fn attempt(&self, range: Option<Range<u64>>, cancelled: &dyn Fn() -> bool, sink: Sink) -> Result<(), Fault> {
        let storage = self.seen().storage.clone();
        let result = self.request(storage.as_deref().unwrap_or(&self.url), range, cancelled, sink);
        // The URL of the storage may have expired: then the endpoint gives another one.
        if let Err(Fault { again: true, .. }) = &result {
            self.seen().storage = None;
        }
        result
    }

    fn request(
        &self,
        url: &str,
        range: Option<Range<u64>>,
        cancelled: &dyn Fn() -> bool,
        sink: Sink,
    ) -> Result<(), Fault> {
        // The endpoint's redirection to its storage names the digest of what is there.
        let mut answer = self.client.get(url, range.clone(), |hop, status, headers| {
            match header(headers, "x-linked-etag").and_then(names::etag) {
                Some(etag) if etag != self.etag => Err(self.changed(hop, status, &self.etag, &etag)),
                _ => Ok(()),
            }
        })?;
        let asked = Asked {
            url: &answer.url,
            range: range.clone(),
        };
        let status = answer.response.status().as_u16();
        let headers = answer.response.headers();
        let mut wanted = range.clone().unwrap_or(0..self.size);
        let (whole, end) = (wanted == (0..self.size), wanted.end);
        match status {
            206 if range.is_some() => wanted.end = self.check_content_range(&asked, headers, &wanted)?,
            200 if whole => {}
            200 => {
                let what = "the server ignores ranges: download whole files from it, or use another endpoint";
                return Err(asked.protocol(Some(status), what));
            }
            416 => {
                let what = format!("the file is shorter than it was ({} bytes): start again", self.size);
                return Err(asked.error(HubProblem::Changed, Some(status), what).into());
            }
            401 | 403 | 404 | 410 if answer.url != self.url => {
                return Err(asked.unreachable(Some(status), "the storage refuses what the endpoint sent us to"));
            }
            _ => return Err(self.client.refusal(&asked, status, headers)),
        }
        if header(headers, "content-encoding").is_some_and(|e| e != "identity") {
            return Err(asked.protocol(Some(status), "it is compressed, which was not asked for"));
        }
        let want = wanted.end - wanted.start;
        let says: Option<u64> = header(headers, "content-length").and_then(|n| n.trim().parse().ok());
        if let Some(says) = says.filter(|&says| says != want) {
            return Err(asked.unreachable(Some(status), format!("{says} bytes are announced, it should be {want}")));
        }
        self.check_tag(&asked, status, headers)?;
        if answer.url != self.url {
            self.seen().storage = Some(answer.url.clone());
        }

        let mut reader = answer.response.body_mut().as_reader();
        let mut buffer = vec![0; BUFFER.min(want.max(1) as usize)];
        let mut at = wanted.start;
        while at < wanted.end {
            if cancelled() {
                return Err(Error::Cancelled.into());
            }
            let most = buffer.len().min((wanted.end - at) as usize);
            match reader.read(&mut buffer[..most]) {
                Ok(0) => {
                    let missing = wanted.end - at;
                    return Err(asked.unreachable(Some(status), format!("it ended {missing} bytes early")));
                }
                Ok(n) => {
                    sink(at, &buffer[..n])?;
                    at += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(asked.unreachable(Some(status), format!("it broke off: {e}"))),
            }
        }
        // Reading to the end gives the connection back.
        match reader.read(&mut buffer[..1]) {
            Ok(1) => Err(asked.protocol(Some(status), "it sends more than was asked for")),
            _ if at < end => Err(asked.unreachable(Some(status), "it gives only a part of it at a time")),
            _ => Ok(()),
        }
    }

    /// The endpoint gives the ETag that it gave at first; the storage has its own, and keeps to it.
    fn check_tag(&self, asked: &Asked, status: u16, headers: &HeaderMap) -> Result<(), Fault> {
        let own = asked.url == self.url;
        let linked = header(headers, "x-linked-etag").filter(|_| own);
        let Some(tag) = linked.or(header(headers, "etag")).and_then(names::etag) else {
            return Ok(());
        };
        if own && tag != self.etag {
            return Err(self.changed(asked, status, &self.etag, &tag).into());
        }
        let mut seen = self.seen();
        let before = seen.tags.entry(authority(asked.url)).or_insert_with(|| tag.clone());
        match *before == tag {
            true => Ok(()),
            false => Err(self.changed(asked, status, before, &tag).into()),
        }
    }

    fn changed(&self, asked: &Asked, status: u16, was: &str, is: &str) -> Error {
        let what = format!("the file was changed meanwhile: its ETag was {was}, it is {is}: start again");
        asked.error(HubProblem::Changed, Some(status), what)
    }

    /// `bytes A-B/SIZE`, as asked, or the start of that: a server may give less. Gives its end.
    fn check_content_range(&self, asked: &Asked, headers: &HeaderMap, wanted: &Range<u64>) -> Result<u64, Fault> {
        let says = header(headers, "content-range").unwrap_or_default();
        let size = says.rsplit_once('/').map(|(_, size)| size);
        if size.and_then(|n| n.parse().ok()).is_some_and(|n: u64| n != self.size) {
            let what = format!(
                "the file was changed meanwhile: it had {} bytes, now {says}: start again",
                self.size
            );
            return Err(asked.error(HubProblem::Changed, Some(206), what).into());
        }
        let range = says
            .strip_prefix("bytes ")
            .and_then(|s| s.split('/').next()?.split_once('-'));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        match range.and_then(|(start, last)| Some((number(start)?, number(last)?))) {
            Some((start, last)) if start == wanted.start && (start..wanted.end).contains(&last) => Ok(last + 1),
            _ => Err(asked.protocol(
                Some(206),
                format!("Content-Range {says:?}, another range was asked for"),
            )),
        }
    }
}
