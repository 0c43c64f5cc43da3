//! Folders: shards, their index, and the files beside them.

use super::plan::{Plan, Step, What, name, read_blocks};
use super::{EXTENSION, Original, SAFETENSORS, Work, decode_file, verify};
use crate::encoder::Report;
use crate::error::{Error, Location, Result, Section, display};
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Files to which [`super::publish`] adds: they may have more than the original's.
const GROWING: [&str; 2] = [super::publish::CARD, super::publish::ATTRIBUTES_FILE];

/// The files of a folder, in order of name; folders in it are left out.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || Error::io(format!("reading folder {}", display(folder)));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(format!("creating folder {}", display(folder))))
}

pub(super) fn encode(work: &Work) -> Result<Vec<Report>> {
    let (output, progress) = (work.output, work.progress);
    let plan = Plan::new(work.input, SAFETENSORS, EXTENSION, work.wanted)?;
    plan.check(output)?;
    let open = |step: &Step| Original::open(&step.from);
    let originals = plan.tensors().map(open).collect::<Result<Vec<_>>>()?;
    let change = (work.decide)(&originals)?;
    let bytes: u64 = originals.iter().map(Original::len).sum();
    progress.start(bytes + plan.carried_bytes());
    create(output)?;
    let files = plan.tensors().zip(&originals);
    let reports = files.map(|(step, original)| work.file(original, &output.join(&step.name), change.as_ref()));
    let reports = reports.collect::<Result<_>>()?;
    plan.carry(output, progress)?;
    Ok(reports)
}

pub(super) fn decode(
    input: &Path,
    output: &Path,
    options: DecodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<()> {
    let plan = Plan::new(input, EXTENSION, SAFETENSORS, wanted)?;
    plan.check(output)?;
    let open = |step: &Step| Decoder::open_with(&step.from, options);
    let decoders = plan.tensors().map(open).collect::<Result<Vec<_>>>()?;
    let tensors = decoders.iter().flat_map(|d| d.index().tensors());
    let bytes: u64 = tensors.map(|t| t.byte_len()).sum();
    progress.start(bytes + plan.carried_bytes());
    create(output)?;
    for (step, decoder) in plan.tensors().zip(&decoders) {
        decode_file(decoder, &output.join(&step.name), progress)?;
    }
    plan.carry(output, progress)
}

/// Verifies every encoded file of a folder. With `against`, a folder, each is held against the file that
/// it was made from, and every other file of that folder against its copy.
pub(super) fn verify_all(
    input: &Path,
    against: Option<&Path>,
    options: DecodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<verify::Verified> {
    let mut shards = files(input)?;
    shards.retain(|p| has_extension(p, EXTENSION));
    if shards.is_empty() {
        return Err(Error::input(
            display(input),
            format!("the folder has no .{EXTENSION} file"),
        ));
    }
    let plan = against
        .map(|folder| Plan::new(folder, SAFETENSORS, EXTENSION, wanted))
        .transpose()?;
    if let Some(plan) = &plan {
        compare(plan, input, progress)?;
    }
    let mut all = verify::Verified::default();
    for shard in shards {
        let against = match &plan {
            None => None,
            Some(plan) => match plan.steps.iter().find(|s| s.name == name(&shard)) {
                Some(step) if step.what == What::Tensors => Some(step.from.as_path()),
                // It was copied, and compared already.
                Some(_) => None,
                None => {
                    let name = display(name(&shard.with_extension(SAFETENSORS)));
                    return Err(differs(&shard, format!("the original has no {name}")));
                }
            },
        };
        all.add(verify::verify(&shard, against, options, progress)?);
    }
    Ok(all)
}

fn differs(path: &Path, what: impl Into<String>) -> Error {
    Location::new(Section::Data).file(display(path)).differs(what)
}

/// Whether an encoded folder has a file for each of the original's, and the same content where that is
/// not encoded.
fn compare(plan: &Plan, encoded: &Path, progress: &dyn Progress) -> Result<()> {
    let hidden: HashSet<&Path> = plan.colliding().map(|s| s.from.as_path()).collect();
    for step in plan.steps.iter().filter(|s| !hidden.contains(s.from.as_path())) {
        let path = encoded.join(&step.name);
        if !path.is_file() {
            return Err(differs(
                &path,
                format!("it is missing, the original has {}", display(&step.from)),
            ));
        }
        let mut copy = BufReader::with_capacity(1 << 20, File::open(&path).map_err(reading(&path))?);
        let mut same = |block: &[u8]| {
            let mut theirs = vec![0; block.len()];
            match copy.read_exact(&mut theirs) {
                Ok(()) if theirs == block => Ok(()),
                Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Err(reading(&path)(e)),
                _ => Err(differs(&path, format!("it is not as {}", display(&step.from)))),
            }
        };
        match &step.what {
            What::Tensors => continue,
            What::Index(bytes) => same(bytes)?,
            What::Copy => read_blocks(&step.from, progress, same)?,
        }
        let grows = GROWING.iter().any(|name| step.name == *name);
        if !grows && copy.read(&mut [0]).map_err(reading(&path))? != 0 {
            return Err(differs(&path, format!("it has more than {}", display(&step.from))));
        }
    }
    Ok(())
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("reading {}", display(path)))
}
