//! A hub on loopback: repositories in memory, a second origin as storage, faults to order, a log.
// Each binary uses a part.
#![allow(dead_code)]

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The commit of every repository, at first.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What becomes of an answer that has a file's content.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    /// The connection ends after so many bytes of the body.
    Drop(usize),
    /// A status, with `Retry-After` if there is one, instead of the file.
    Status(u16, Option<u64>),
    /// 200 and all of the file, whatever was asked.
    IgnoreRange,
    /// Another ETag.
    Tag(&'static str),
    /// The byte at this offset of the file is another.
    Flip(u64),
    /// Half of the range, announced as such.
    Half,
}

/// A request that came, and how many bytes of a body went.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub path: String,
    pub range: Option<(u64, u64)>,
    /// The `Authorization` header.
    pub token: Option<String>,
    /// Whether it came to the second origin.
    pub storage: bool,
    pub status: u16,
    pub sent: u64,
}

pub struct Repo {
    pub commit: String,
    pub files: BTreeMap<String, Arc<Vec<u8>>>,
    /// The token without which nothing is shown.
    pub token: Option<String>,
}

struct State {
    repos: HashMap<String, Repo>,
    /// Of each content, by its place in memory.
    digests: HashMap<usize, String>,
    faults: VecDeque<Fault>,
    always: Fault,
    log: Vec<Logged>,
    /// Bytes a second, of all connections together.
    rate: Option<f64>,
    free: Instant,
    redirect: bool,
}

#[derive(Clone)]
pub struct Server {
    pub url: String,
    storage: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

impl Server {
    pub fn new() -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, storage) = (listen(), listen());
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            repos: HashMap::new(),
            digests: HashMap::new(),
            faults: VecDeque::new(),
            always: Fault::None,
            log: Vec::new(),
            rate: None,
            free: Instant::now(),
            redirect: false,
        };
        let server = Self {
            url: url(&hub),
            storage: url(&storage),
            state: Arc::new(Mutex::new(state)),
        };
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let server = server.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let server = server.clone();
                    // A client that went away is no matter.
                    std::thread::spawn(move || drop(server.serve(stream, is_storage)));
                }
            });
        }
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn add(&self, repo: &str, file: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let repo = state.repos.entry(repo.into()).or_insert_with(|| Repo {
            commit: COMMIT.into(),
            files: BTreeMap::new(),
            token: None,
        });
        repo.files.insert(file.into(), Arc::new(bytes));
    }

    pub fn change(&self, repo: &str, change: impl FnOnce(&mut Repo)) {
        change(self.state().repos.get_mut(repo).unwrap());
    }

    /// Large files come from the second origin.
    pub fn redirect(&self, redirect: bool) {
        self.state().redirect = redirect;
    }

    pub fn rate(&self, bytes_a_second: Option<f64>) {
        let mut state = self.state();
        (state.rate, state.free) = (bytes_a_second, Instant::now());
    }

    /// The faults of the next answers that have content.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults = faults.into_iter().collect();
    }

    /// The fault of all answers with content, after those of `faults`.
    pub fn always(&self, fault: Fault) {
        self.state().always = fault;
    }

    /// What came since the last call.
    pub fn log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.state().log)
    }

    pub fn digest(&self, bytes: &Arc<Vec<u8>>) -> String {
        let key = Arc::as_ptr(bytes) as usize;
        if let Some(digest) = self.state().digests.get(&key) {
            return digest.clone();
        }
        let digest: String = Sha256::digest(&**bytes).iter().map(|b| format!("{b:02x}")).collect();
        self.state().digests.insert(key, digest.clone());
        digest
    }

    fn serve(&self, stream: TcpStream, storage: bool) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        while let Some(request) = read_request(&mut reader)? {
            let range = request.headers.get("range").and_then(|r| parse_range(r));
            self.state().log.push(Logged {
                method: request.method.clone(),
                path: request.path.clone(),
                range,
                token: request.headers.get("authorization").cloned(),
                storage,
                status: 0,
                sent: 0,
            });
            let entry = self.state().log.len() - 1;
            if !self.answer(&mut writer, &request, range, storage, entry)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection stays.
    fn answer(
        &self,
        writer: &mut TcpStream,
        request: &Request,
        range: Option<(u64, u64)>,
        storage: bool,
        entry: usize,
    ) -> std::io::Result<bool> {
        let path = request.path.split('?').next().unwrap_or_default();
        let parts: Vec<String> = path.trim_start_matches('/').split('/').map(decode).collect();
        let at = |i: usize| parts.get(i).map_or("", String::as_str);
        let is_api = at(0) == "api";
        let id = match is_api {
            true => format!("{}/{}", at(2), at(3)),
            false => format!("{}/{}", at(0), at(1)),
        };
        let head = request.method == "HEAD";
        let mut simple = |status: u16, headers: &[(&str, String)], body: &[u8]| -> std::io::Result<bool> {
            self.note(entry, status, 0);
            write_head(writer, status, headers, body.len() as u64)?;
            if !head {
                writer.write_all(body)?;
            }
            Ok(true)
        };
        let error = |code: &str| vec![("X-Error-Code", code.to_owned()), ("X-Repo-Commit", COMMIT.to_owned())];
        let shown = |r: &Repo| (r.commit.clone(), r.token.clone(), r.files.clone());
        let repo = self.state().repos.get(&id).map(shown);
        let Some((commit, token, files)) = repo else {
            return simple(401, &error("RepoNotFound"), b"no such repository");
        };
        let given = request
            .headers
            .get("authorization")
            .and_then(|t| t.strip_prefix("Bearer "));
        if !storage && token.is_some() && given != token.as_deref() {
            return simple(403, &error("GatedRepo"), b"gated");
        }
        let revision = if is_api { at(5) } else { at(3) };
        if !storage && revision != "main" && revision != commit {
            return simple(404, &error("RevisionNotFound"), b"no such revision");
        }
        if is_api {
            let siblings: Vec<_> = files.iter().map(|(name, bytes)| self.sibling(name, bytes)).collect();
            let json = match at(4) {
                "tree" => serde_json::json!(siblings),
                _ => serde_json::json!({ "_id": "0", "id": id, "modelId": id, "sha": commit, "siblings": siblings,
                    "private": false, "gated": false, "disabled": false, "downloads": 0, "likes": 0, "tags": [] }),
            };
            return simple(200, &[], json.to_string().as_bytes());
        }
        let Some(bytes) = files.get(&parts[4.min(parts.len())..].join("/")) else {
            return simple(404, &error("EntryNotFound"), b"no such file");
        };
        let etag = format!("\"{}\"", self.digest(bytes));
        if !storage && self.state().redirect {
            return simple(
                302,
                &[
                    ("Location", format!("{}{path}?signature=secret", self.storage)),
                    ("X-Repo-Commit", commit),
                    ("X-Linked-Etag", etag),
                    ("X-Linked-Size", bytes.len().to_string()),
                    ("ETag", "\"redirect\"".into()),
                ],
                b"",
            );
        }
        let fault = match head {
            true => Fault::None,
            false => {
                let mut state = self.state();
                state.faults.pop_front().unwrap_or_else(|| state.always.clone())
            }
        };
        if let Fault::Status(status, after) = fault {
            let after = after.map(|s| ("Retry-After", s.to_string()));
            return simple(status, &Vec::from_iter(after), b"an error, not the file");
        }
        let size = bytes.len() as u64;
        let asked = range.filter(|_| !matches!(fault, Fault::IgnoreRange));
        if asked.is_some_and(|(start, _)| start >= size) {
            return simple(416, &[("Content-Range", format!("bytes */{size}"))], b"");
        }
        let (start, mut end) = asked.map_or((0, size), |(start, last)| (start, size.min(last.saturating_add(1))));
        if let Fault::Half = fault {
            end = start + (end - start).div_ceil(2);
        }
        let tag = match fault {
            Fault::Tag(tag) => format!("\"{tag}\""),
            _ if storage => "\"of-the-storage\"".into(),
            _ => etag,
        };
        let mut headers = vec![
            ("ETag", tag),
            ("X-Repo-Commit", commit),
            ("Accept-Ranges", "bytes".into()),
        ];
        if asked.is_some() {
            headers.push(("Content-Range", format!("bytes {start}-{}/{size}", end - 1)));
        }
        let status = if asked.is_some() { 206 } else { 200 };
        self.note(entry, status, 0);
        write_head(writer, status, &headers, end - start)?;
        if head {
            return Ok(true);
        }
        let most = if let Fault::Drop(n) = fault { n as u64 } else { u64::MAX };
        let mut at = start;
        while at < end {
            let next = end.min(at + (64 << 10)).min(start.saturating_add(most));
            if next == at {
                break;
            }
            let mut part = bytes[at as usize..next as usize].to_vec();
            if let Fault::Flip(offset) = fault
                && (at..next).contains(&offset)
            {
                part[(offset - at) as usize] ^= 1;
            }
            self.wait(part.len());
            // Before it goes: who has read it may look at the log at once.
            self.note(entry, status, part.len() as u64);
            writer.write_all(&part)?;
            at = next;
        }
        Ok(at == end)
    }

    fn sibling(&self, name: &str, bytes: &Arc<Vec<u8>>) -> serde_json::Value {
        let digest = self.digest(bytes);
        serde_json::json!({ "rfilename": name, "path": name, "type": "file", "size": bytes.len(), "oid": &digest[..40],
            "blobId": &digest[..40], "lfs": { "sha256": digest, "oid": digest, "size": bytes.len(), "pointerSize": 134 } })
    }

    fn note(&self, entry: usize, status: u16, sent: u64) {
        // The log may have been taken meanwhile.
        if let Some(entry) = self.state().log.get_mut(entry) {
            entry.status = status;
            entry.sent += sent;
        }
    }

    /// Holds the bytes back until the rate allows them.
    fn wait(&self, bytes: usize) {
        let until = {
            let mut state = self.state();
            let Some(rate) = state.rate else { return };
            state.free = state.free.max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate);
            state.free
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

fn write_head(writer: &mut TcpStream, status: u16, headers: &[(&str, String)], len: u64) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} .\r\nContent-Length: {len}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    writer.write_all((text + "\r\n").as_bytes())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Request { method, path, headers }))
}

/// `bytes=A-B` or `bytes=A-`.
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, last.parse().unwrap_or(u64::MAX)))
}

fn decode(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex
            .and_then(|h| u8::from_str_radix(h, 16).ok())
            .filter(|_| first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
