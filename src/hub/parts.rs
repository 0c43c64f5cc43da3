//! Which blocks of a file have arrived: in memory, and in a journal beside it.
//!
//! The journal is text: a line with the file's size and the blocks' size, then the number of each block
//! that is in the file, in order of arrival. An end that was cut off is left out.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Missing,
    /// Somebody fetches it.
    Coming,
    Here,
}

/// The blocks of a file.
pub(super) struct Parts {
    blocks: Vec<Block>,
    size: u64,
    block_bytes: u64,
    missing: usize,
    /// Where to go on.
    cursor: usize,
    journal: File,
}

fn heading(size: u64, block_bytes: u64) -> String {
    format!("wcodec-parts 1 {size} {block_bytes}\n")
}

/// Which blocks a journal says are here, in order.
fn here(journal: &Path, size: u64, block_bytes: u64) -> BTreeSet<usize> {
    let text = fs::read_to_string(journal).unwrap_or_default();
    let lines = text.strip_prefix(&heading(size, block_bytes)).unwrap_or_default();
    let numbers = lines
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.parse().ok());
    let count = size.div_ceil(block_bytes) as usize;
    numbers.filter(|&number| number < count).collect()
}

/// The ranges of the file that a journal says are here; neighbours are one.
pub(super) fn ranges_here(journal: &Path, size: u64, block_bytes: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for block in here(journal, size, block_bytes) {
        let start = block as u64 * block_bytes;
        let end = size.min(start + block_bytes);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

impl Parts {
    /// What a journal says, of a file that is as long as it should be; else nothing has arrived yet.
    pub(super) fn open(journal: &Path, file_is_there: bool, size: u64, block_bytes: u64) -> io::Result<Self> {
        let count = size.div_ceil(block_bytes) as usize;
        let mut blocks = vec![Block::Missing; count];
        let here = match file_is_there {
            true => here(journal, size, block_bytes),
            false => BTreeSet::new(),
        };
        here.iter().for_each(|&number| blocks[number] = Block::Here);
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(journal)?;
        let mut text = heading(size, block_bytes);
        here.iter().for_each(|number| text += &format!("{number}\n"));
        file.write_all(text.as_bytes())?;
        Ok(Self {
            missing: count - here.len(),
            blocks,
            size,
            block_bytes,
            cursor: 0,
            journal: file,
        })
    }

    /// Forgets what has arrived.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.blocks.fill(Block::Missing);
        (self.missing, self.cursor) = (self.blocks.len(), 0);
        self.journal.set_len(0)?;
        io::Seek::rewind(&mut self.journal)?;
        self.journal.write_all(heading(self.size, self.block_bytes).as_bytes())
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn bytes(&self, block: usize) -> Range<u64> {
        let start = block as u64 * self.block_bytes;
        start..self.size.min(start + self.block_bytes)
    }

    /// Bytes that are here.
    pub(super) fn arrived(&self) -> u64 {
        let here = (0..self.len()).filter(|&b| self.is_here(b));
        here.map(|b| self.bytes(b)).map(|r| r.end - r.start).sum()
    }

    /// The blocks that hold these bytes.
    pub(super) fn covering(&self, bytes: &Range<u64>) -> Range<usize> {
        if bytes.is_empty() {
            return 0..0;
        }
        let end = bytes.end.min(self.size).div_ceil(self.block_bytes) as usize;
        (bytes.start / self.block_bytes) as usize..end
    }

    pub(super) fn is_here(&self, block: usize) -> bool {
        self.blocks[block] == Block::Here
    }

    pub(super) fn any_missing(&self) -> bool {
        self.missing > 0
    }

    /// A block to fetch: the first that is missing among these.
    pub(super) fn take_of(&mut self, blocks: impl IntoIterator<Item = usize>) -> Option<usize> {
        let missing = |b: &usize| self.blocks.get(*b) == Some(&Block::Missing);
        let next = blocks.into_iter().find(missing)?;
        Some(self.fetching(next))
    }

    fn fetching(&mut self, block: usize) -> usize {
        self.blocks[block] = Block::Coming;
        self.missing -= 1;
        self.cursor = block + 1;
        block
    }

    /// A block to fetch: the first that is missing among `first`, else from the cursor on, else
    /// anywhere. `None` if all are here or coming.
    pub(super) fn take(&mut self, first: impl IntoIterator<Item = usize>) -> Option<usize> {
        match self.take_of(first) {
            Some(block) => Some(block),
            None => self.take_of((self.cursor..self.len()).chain(0..self.cursor)),
        }
    }

    /// A block has arrived and is in the file.
    pub(super) fn arrive(&mut self, block: usize) -> io::Result<()> {
        if self.blocks[block] == Block::Missing {
            self.missing -= 1;
        }
        self.blocks[block] = Block::Here;
        self.journal.write_all(format!("{block}\n").as_bytes())
    }

    /// A block that was coming does not come, unless somebody else has brought it.
    pub(super) fn give_up(&mut self, block: usize) {
        if self.blocks[block] == Block::Coming {
            self.blocks[block] = Block::Missing;
            self.missing += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_say_what_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parts");
        let mut parts = Parts::open(&path, false, 95, 10).unwrap();
        assert_eq!(
            (parts.len(), parts.bytes(9), parts.covering(&(19..31))),
            (10, 90..95, 1..4)
        );
        assert_eq!(parts.take([7]), Some(7));
        assert_eq!(parts.take([7]), Some(8));
        parts.arrive(7).unwrap();
        parts.give_up(8);
        assert_eq!(parts.take([9]), Some(9));
        assert_eq!(parts.take([]), Some(0));
        parts.arrive(9).unwrap();
        assert_eq!(parts.arrived(), 15);

        // Cut off in the middle of a line; a block that is not there.
        let mut text = fs::read_to_string(&path).unwrap();
        text += "99\nx\n5";
        fs::write(&path, &text).unwrap();
        let parts = Parts::open(&path, true, 95, 10).unwrap();
        let here: Vec<usize> = (0..10).filter(|&b| parts.is_here(b)).collect();
        assert_eq!(here, [7, 9]);
        assert_eq!(ranges_here(&path, 95, 10), [70..80, 90..95]);
        assert_eq!(ranges_here(&path, 95, 20), []);
        // Another file, or none.
        fs::write(&path, &text).unwrap();
        assert_eq!(Parts::open(&path, true, 96, 10).unwrap().arrived(), 0);
        fs::write(&path, &text).unwrap();
        assert_eq!(Parts::open(&path, false, 95, 10).unwrap().arrived(), 0);
    }
}
