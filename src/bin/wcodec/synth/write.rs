//! Safetensors files of generated values, streamed: only some blocks are in memory at a time.

use super::plan::Plan;
use super::values::Generator;
use crate::failure::Failure;
use rayon::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use wcodec::Progress;

/// Elements that are generated at once. The values depend on it.
const BLOCK: usize = 1 << 16;
/// Bytes that are generated side by side, while those before them are written.
const BATCH: usize = 64 << 20;
/// Characters of a file's name in that of its temporary file.
const NAME_CHARS: usize = 25;

/// Some elements of a tensor.
struct Block<'a> {
    generator: Arc<Generator<'a>>,
    first: usize,
    bytes: usize,
}

/// Writes a file of these tensors. It gets its name when it is complete.
pub(super) fn write(path: &Path, plans: &[Plan], seed: u64, progress: &dyn Progress) -> Result<(), Failure> {
    let writing = || Failure::io(format!("writing {}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Cut, so that it fits where the name itself does.
    let prefix = format!(".{}.", name.chars().take(NAME_CHARS).collect::<String>());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(writing())?;
    file.write_all(&header(plans)?).map_err(writing())?;

    let mut blocks = plans.iter().flat_map(|plan| blocks(plan, seed));
    let (mut ready, mut next) = (Vec::new(), Vec::new());
    loop {
        if progress.cancelled() {
            return Err(wcodec::Error::Cancelled.into());
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH
            && let Some(block) = blocks.next()
        {
            bytes += block.bytes;
            batch.push(block);
        }
        let (written, ()) = rayon::join(|| file.write_all(&ready), || generate(&batch, bytes, &mut next));
        written.map_err(writing())?;
        progress.advance(ready.len() as u64, &name);
        std::mem::swap(&mut ready, &mut next);
        if ready.is_empty() {
            break;
        }
    }
    file.persist(path).map_err(|e| writing()(e.error))?;
    Ok(())
}

fn blocks(plan: &Plan, seed: u64) -> impl Iterator<Item = Block<'_>> {
    // The name decides the values, so that sharding leaves them as they are.
    let name = blake3::hash(plan.name.as_bytes());
    let name = name
        .as_bytes()
        .iter()
        .take(8)
        .fold(0, |n, &byte| n << 8 | u64::from(byte));
    let generator = Arc::new(Generator::new(plan, seed.wrapping_mul(0x9e6c_63d0_876a_3f35) ^ name));
    let size = plan.elements.dtype().bits() / 8;
    (0..plan.count()).step_by(BLOCK).map(move |first| {
        let bytes = BLOCK.min(plan.count() - first) * size;
        Block {
            generator: generator.clone(),
            first,
            bytes,
        }
    })
}

fn generate(batch: &[Block], bytes: usize, out: &mut Vec<u8>) {
    out.resize(bytes, 0);
    let mut rest = &mut out[..];
    let mut jobs = Vec::with_capacity(batch.len());
    for block in batch {
        let (now, later) = std::mem::take(&mut rest).split_at_mut(block.bytes);
        jobs.push((block, now));
        rest = later;
    }
    jobs.into_par_iter()
        .for_each(|(block, out)| block.generator.fill(block.first, out));
}

fn header(plans: &[Plan]) -> Result<Vec<u8>, Failure> {
    // Keys in order, here and in the entries, so that the bytes do not depend on how JSON objects are kept.
    let mut entries = BTreeMap::new();
    entries.insert("__metadata__", json!({ "format": "pt" }));
    let mut offset = 0;
    for plan in plans {
        let end = offset + plan.byte_len();
        let dtype = plan.elements.dtype().name();
        let entry = json!({ "data_offsets": [offset, end], "dtype": dtype, "shape": plan.shape });
        entries.insert(&plan.name, entry);
        offset = end;
    }
    let json = serde_json::to_vec(&entries);
    let mut json = json.map_err(|e| Failure::usage(format!("the header cannot be written: {e}")))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}
