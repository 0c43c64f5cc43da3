//! A file of checksummed records that grows batch by batch: what a killed run has found is kept.
//!
//! Eight bytes of magic, then records: four little-endian `u32` (kind, part, batch, 0), the payload's
//! length and the XXH3-64 of all that and the payload (`u64` each), the payload. The first record is a JSON
//! object, the *identity*: what all the results depend on. A record of kind *part* has another, its *key*:
//! what one text's or task's results depend on besides; in the place of a batch's number it has how many
//! batches there are. Batches belong to parts. A record of kind *end* closes a finished file. A part of a
//! finished file that lacks batches was another run's, and counts as missing.
//!
//! A file that is still written to is read up to its last whole record, or up to an end that was written
//! when the run was killed, and goes on from there.

#[cfg(test)]
mod tests;

use crate::error::display;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

const MAGIC: &[u8; 8] = b"wc-eval1";
/// Four `u32`, length and checksum.
const HEAD: usize = 32;
const IDENTITY: u32 = 0;
const PART: u32 = 1;
const BATCH: u32 = 2;
const END: u32 = 3;

/// Hexadecimal digits of a digest.
const DIGEST: usize = 64;
/// What fields of identities and keys are called in messages.
const WORDS: [(&str, &str); 11] = [
    ("kind", "what it keeps"),
    ("format", "the version of such files"),
    ("cpu", "the kind of processor"),
    ("wcodec", "wcodec's version"),
    ("model", "the reference's weights: the file"),
    ("config", "the reference's config.json: the file"),
    ("tokenizer", "tokenizer.json: the file"),
    ("bos", "the beginning-of-text token (--bos)"),
    ("text", "the text: its content"),
    ("task", "the task: its content"),
    ("items", "the number of items (--limit)"),
];

/// Results by part and batch.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Behind the last whole record.
    end: u64,
    /// The same when the file was opened: what lies before is an earlier run's.
    found: u64,
    /// Of each part its key, and how many batches it has when it is whole.
    keys: Vec<(Value, u32)>,
    /// Parts that this run has asked for.
    asked: HashSet<u32>,
    /// Where each batch's record is.
    batches: HashMap<(u32, u32), u64>,
    finished: bool,
}

struct Record {
    kind: u32,
    part: u32,
    batch: u32,
    payload: Vec<u8>,
}

impl Journal {
    /// Opens a finished file, or one to go on with, or makes one. No two runs write to one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] if it is no such file, or of another identity; if it should be
    /// finished and is damaged; if another run has it.
    pub(crate) fn open(path: &Path, identity: &Value, finished: bool) -> Result<Self> {
        let context = || Error::io(format!("opening {}", display(path)));
        let mut options = OpenOptions::new();
        options.read(true).write(!finished).create(!finished).truncate(false);
        let file = options.open(path).map_err(context())?;
        if !finished && file.try_lock().is_err() {
            let what = "another run writes to it, or it cannot be locked: wait for that, or name another file";
            return Err(Error::input(display(path), what));
        }
        if !finished && !is_at(&file, path) {
            let what = "another run has just finished or removed it: start again";
            return Err(Error::input(display(path), what));
        }
        let mut journal = Self {
            path: path.to_owned(),
            file,
            end: 0,
            found: 0,
            keys: Vec::new(),
            asked: HashSet::new(),
            batches: HashMap::new(),
            finished,
        };
        let len = journal.file.metadata().map_err(context())?.len();
        journal.scan(len, identity)?;
        journal.found = journal.end;
        if journal.end == 0 {
            journal.begin(identity)?;
        } else if !finished {
            // What was being written when the run was killed.
            journal.file.set_len(journal.end).map_err(context())?;
        }
        Ok(journal)
    }

    /// Reads all records that are whole.
    fn scan(&mut self, len: u64, identity: &Value) -> Result<()> {
        let mut magic = Vec::new();
        let mut start = (&self.file).take(MAGIC.len() as u64);
        start.read_to_end(&mut magic).map_err(self.reading())?;
        if !MAGIC.starts_with(&magic) {
            return Err(self.wrong("it is no file of evaluation results: name another"));
        }
        let whole = magic.len() == MAGIC.len();
        let (mut at, mut ended) = (MAGIC.len() as u64, false);
        while whole && !ended {
            let Some(record) = self.record(at, len)? else { break };
            let first = at == MAGIC.len() as u64;
            match record.kind {
                IDENTITY if first => self.same(identity, &record.payload)?,
                PART if !first => self.keys.push((self.json(&record.payload)?, record.batch)),
                BATCH if (record.part as usize) < self.keys.len() => {
                    self.batches.insert((record.part, record.batch), at);
                }
                END if !first && self.finished => ended = true,
                _ => break,
            }
            at += (HEAD + record.payload.len()) as u64;
            self.end = at;
        }
        if self.finished && (!ended || at != len) {
            return Err(self.wrong(&format!("damaged at byte {at}: remove it, and have it made again")));
        }
        Ok(())
    }

    fn begin(&mut self, identity: &Value) -> Result<()> {
        self.file.set_len(0).map_err(self.writing())?;
        self.file.seek(SeekFrom::Start(0)).map_err(self.writing())?;
        self.file.write_all(MAGIC).map_err(self.writing())?;
        self.end = MAGIC.len() as u64;
        self.write(IDENTITY, 0, 0, identity.to_string().as_bytes())
    }

    /// The record at an offset; `None` if it is not whole.
    fn record(&self, at: u64, len: u64) -> Result<Option<Record>> {
        let mut head = [0; HEAD];
        if len.saturating_sub(at) < HEAD as u64 {
            return Ok(None);
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at)).map_err(self.reading())?;
        file.read_exact(&mut head).map_err(self.reading())?;
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let long = |i: usize| u64::from(word(i)) | u64::from(word(i + 4)) << 32;
        let size = long(16);
        if size > len - at - HEAD as u64 {
            return Ok(None);
        }
        // Not larger than the file is.
        let mut payload = vec![0; size as usize];
        file.read_exact(&mut payload).map_err(self.reading())?;
        let whole = checksum(&head[..24], &payload) == long(24);
        Ok(whole.then_some(Record {
            kind: word(0),
            part: word(4),
            batch: word(8),
            payload,
        }))
    }

    /// The number of the part of this key and so many batches, which is added if it is not there.
    ///
    /// # Errors
    /// [`Error::Input`] if the file is finished and has no such part, with what is different; or only some
    /// of its batches.
    pub(crate) fn part(&mut self, key: &Value, batches: u32) -> Result<u32> {
        if let Some(part) = self.keys.iter().position(|k| k.0 == *key) {
            let part = part as u32;
            if self.finished && !(0..batches).all(|batch| self.has(part, batch)) {
                let what = "it has only some of the results for this, of a run that was stopped. Name another file, \
                            or remove it to have it made again";
                return Err(self.wrong(what));
            }
            self.asked.insert(part);
            return Ok(part);
        }
        if self.finished {
            // The part that is most like it.
            let alike = self.keys.iter().map(|k| differences(&k.0, key)).min_by_key(Vec::len);
            let what = alike.map_or("it has no results at all".into(), |d| {
                format!("it has no results for this: {}", d.join(", "))
            });
            return Err(self.wrong(&format!(
                "{what}. Ask for what it was made of, name another file, or remove it to have it made again"
            )));
        }
        self.keys.push((key.clone(), batches));
        let part = (self.keys.len() - 1) as u32;
        self.asked.insert(part);
        self.write(PART, part, batches, key.to_string().as_bytes())?;
        Ok(part)
    }

    /// Whether a batch is there.
    pub(crate) fn has(&self, part: u32, batch: u32) -> bool {
        self.batches.contains_key(&(part, batch))
    }

    /// Whether a batch was there when the file was opened.
    pub(super) fn found(&self, part: u32, batch: u32) -> bool {
        self.batches.get(&(part, batch)).is_some_and(|&at| at < self.found)
    }

    /// The results of a batch, if they are there.
    pub(crate) fn read(&self, part: u32, batch: u32) -> Result<Option<Vec<u8>>> {
        let Some(&at) = self.batches.get(&(part, batch)) else {
            return Ok(None);
        };
        let record = self.record(at, self.end)?;
        let damaged = || self.wrong(&format!("damaged at byte {at}: remove it, and have it made again"));
        record.map(|r| Some(r.payload)).ok_or_else(damaged)
    }

    /// Adds the results of a batch.
    pub(crate) fn append(&mut self, part: u32, batch: u32, payload: &[u8]) -> Result<()> {
        if self.finished {
            return Err(self.wrong("it ends before all results: remove it, and have it made again"));
        }
        let at = self.end;
        self.write(BATCH, part, batch, payload)?;
        self.batches.insert((part, batch), at);
        Ok(())
    }

    fn write(&mut self, kind: u32, part: u32, batch: u32, payload: &[u8]) -> Result<()> {
        let mut bytes: Vec<u8> = [kind, part, batch, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend((payload.len() as u64).to_le_bytes());
        let sum = checksum(&bytes, payload);
        bytes.extend(sum.to_le_bytes());
        bytes.extend(payload);
        self.file.seek(SeekFrom::Start(self.end)).map_err(self.writing())?;
        self.file.write_all(&bytes).map_err(self.writing())?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Closes the file and gives it its final name.
    pub(super) fn finish(&mut self, to: &Path) -> Result<()> {
        if self.finished {
            return Ok(());
        }
        self.write(END, 0, 0, &[])?;
        self.file.sync_all().map_err(self.writing())?;
        fs::rename(&self.path, to).map_err(Error::io(format!(
            "renaming {} to {}",
            display(&self.path),
            display(to)
        )))?;
        (self.finished, self.path) = (true, to.to_owned());
        Ok(())
    }

    /// Removes the file, whose results are not needed any more; unless it has some that this run did not
    /// ask for: they are another's.
    pub(super) fn remove(&self) -> Result<()> {
        if self.asked.len() < self.keys.len() {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(format!("removing {}", display(&self.path)))(e)),
            _ => Ok(()),
        }
    }

    fn same(&self, identity: &Value, payload: &[u8]) -> Result<()> {
        let different = differences(&self.json(payload)?, identity);
        if different.is_empty() {
            return Ok(());
        }
        let what = format!(
            "its results are of another run: {}. Give the same model and options as then, name another file, or \
             remove it to have it made again",
            different.join(", ")
        );
        Err(self.wrong(&what))
    }

    fn json(&self, payload: &[u8]) -> Result<Value> {
        serde_json::from_slice(payload).map_err(|e| self.wrong(&format!("no JSON where it must be: {e}")))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::input(display(&self.path), what)
    }

    fn reading(&self) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("reading {}", display(&self.path)))
    }

    fn writing(&self) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("writing {}", display(&self.path)))
    }
}

/// Whether a path still names an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |m: fs::Metadata| (m.dev(), m.ino());
    let (open, named) = (file.metadata().map(inode), fs::metadata(path).map(inode));
    open.is_ok_and(|open| named.is_ok_and(|named| named == open))
}

/// Elsewhere a file that is open cannot be renamed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

fn checksum(head: &[u8], payload: &[u8]) -> u64 {
    // Of the payload first: it need not be copied behind the head.
    let sum = XxHash3_64::oneshot(payload);
    XxHash3_64::oneshot_with_seed(sum, head)
}

/// Which fields of two objects differ, in words.
fn differences(saved: &Value, now: &Value) -> Vec<String> {
    let empty = serde_json::Map::new();
    let (saved, now) = (saved.as_object().unwrap_or(&empty), now.as_object().unwrap_or(&empty));
    let names: std::collections::BTreeSet<&String> = saved.keys().chain(now.keys()).collect();
    let differing = names.into_iter().filter(|name| saved.get(*name) != now.get(*name));
    let text = |value: Option<&Value>| match value {
        // A digest is known by its beginning.
        Some(Value::String(text)) if text.len() == DIGEST => format!("of BLAKE3 {}...", &text[..12.min(text.len())]),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "none".into(),
        Some(value) => value.to_string(),
    };
    let said = |name: &String| {
        let words = WORDS.iter().find(|(field, _)| field == name);
        let words = words.map_or(name.as_str(), |(_, words)| words);
        format!("{words} was {}, is {}", text(saved.get(name)), text(now.get(name)))
    };
    differing.map(said).collect()
}
