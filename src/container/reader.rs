//! Opening a file: prefix and index, two reads.

use super::source::Source;
use crate::error::{Error, Location, Result, Section};
use crate::format::{Index, PREFIX_BYTES, Prefix, checksum};
use crate::limits::Limits;

/// Reads and validates prefix and index.
pub(crate) fn open(source: &dyn Source, limits: &Limits) -> Result<Index> {
    let (name, len) = (source.name(), source.len());
    let mut prefix = [0; PREFIX_BYTES as usize];
    let got = len.min(PREFIX_BYTES) as usize;
    source
        .read_at(0, &mut prefix[..got])
        .map_err(Error::io(format!("reading {name}")))?;
    let prefix = Prefix::parse(&prefix[..got], name)?;
    let at = || Location::new(Section::Index).file(name).offset(PREFIX_BYTES);
    if prefix.index_len > limits.max_index_bytes {
        let (n, most) = (prefix.index_len, limits.max_index_bytes);
        return Err(at().limit(format!("an index of {n} bytes, max_index_bytes is {most}")));
    }
    if prefix.index_len > len - PREFIX_BYTES {
        return Err(at().corrupt("the file ends before its index does: it is cut off"));
    }
    let index_len = prefix.index_len as usize;
    let json;
    let json = match source.slice(PREFIX_BYTES, index_len) {
        Some(json) => json,
        None => {
            let mut buffer = Vec::new();
            buffer
                .try_reserve_exact(index_len)
                .map_err(|_| out_of_memory(at(), prefix.index_len))?;
            buffer.resize(index_len, 0);
            source
                .read_at(PREFIX_BYTES, &mut buffer)
                .map_err(Error::io(format!("reading {name}")))?;
            json = buffer;
            &json
        }
    };
    if checksum(json) != prefix.index_checksum {
        return Err(at().corrupt("its checksum does not match"));
    }
    Index::parse(json, name, len, limits)
}

pub(crate) fn out_of_memory(at: Location, bytes: u64) -> Error {
    Error::OutOfMemory {
        at: Box::new(at),
        bytes,
    }
}
