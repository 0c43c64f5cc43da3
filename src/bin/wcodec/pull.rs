//! `wcodec pull`.

use crate::Global;
use crate::failure::Failure;
use crate::output::{self, count};
use crate::progress::Display;
use clap::Args;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;
use wcodec::hub::{self, Repo, RepoFile};

/// Weights in formats of other programs.
const FOREIGN: [&str; 10] = [
    "bin", "pt", "pth", "ckpt", "gguf", "onnx", "h5", "msgpack", "ot", "tflite",
];

/// How the names of indexes of shards end.
pub(crate) const INDEXES: [&str; 2] = [".wcodec.index.json", ".safetensors.index.json"];

/// Download a model from the Hugging Face Hub into its cache
#[derive(Args)]
#[command(long_about = "\
Download a model from the Hugging Face Hub into its cache.

The cache is the one that Python's huggingface_hub uses: what one has downloaded, the other finds. A \
download that was interrupted goes on where it was. Length and digest are checked before a file gets \
its name.

With --only-layers, of a model in shards those come that hold these layers; of a model in one .wcodec \
file, what holds them is kept as of a download that was interrupted: a later one goes on from there, and, \
with the Hub in reach, the library's `load_part` reads it from there.

Without --include, all files come but weights in formats of other programs, and, where there are \
.wcodec files, safetensors. HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN and HF_HUB_OFFLINE mean what \
they mean to Python's library.")]
#[command(after_help = "\
Examples:
  wcodec pull org/model
  wcodec pull org/model@v1.0 --include '*.wcodec' --include config.json
  wcodec pull org/model --only-layers 0..16      of the weights those of these layers
  wcodec inspect hf://org/model/model.wcodec     reads the index only, downloads nothing")]
pub(crate) struct Pull {
    /// Repository, and its branch, tag or commit
    #[arg(value_name = "ORG/MODEL[@REVISION]")]
    repo: String,
    /// Only files that fit this pattern: * is any characters, ? is any one [may be repeated]
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Of the weights only those of layers A to B-1, and of no layer
    #[arg(long, value_name = "A..B", value_parser = parse_layers)]
    only_layers: Option<Range<u64>>,
}

impl Pull {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let begun = Instant::now();
        let id = self.repo.strip_prefix("hf://").unwrap_or(&self.repo);
        let (repo, all) = pin_and_list(parse_repo(id), global)?;
        let mut files: Vec<&RepoFile> = all.iter().filter(|f| self.wants(&f.path, &all)).collect();
        let (mut in_part, found) = (None, Cell::new(false));
        if let Some(layers) = &self.only_layers {
            let is_weights = |path: &str| path.ends_with(".wcodec") || path.ends_with(".safetensors");
            let shards = shards_of(&repo, &all, layers, &found)?;
            if shards.is_none() {
                in_part = Some((only_file(&repo, &files)?, layers));
            }
            files.retain(|f| !is_weights(&f.path) || shards.as_ref().is_some_and(|s| s.contains(&f.path)));
        }
        if files.is_empty() && in_part.is_none() {
            let what = "no file of the repository is asked for: look at its list of files";
            return Err(Failure::new("not-found", format!("{}: {what}", repo.id())));
        }
        let mut bytes = 0;
        let mut listed: Vec<Value> = Vec::new();
        {
            let progress = Display::new("downloading", global);
            for file in &files {
                let path = repo.download(&file.path, &progress)?;
                let len = path
                    .metadata()
                    .map_err(Failure::io(format!("reading {}", path.display())))?
                    .len();
                bytes += len;
                listed.push(json!({ "path": file.path, "bytes": len }));
            }
            if let Some((file, layers)) = &in_part {
                let wanted = |tensor: &str| is_of(tensor, layers, &found);
                let len = repo.download_part(file, &wanted, &progress)?;
                bytes += len;
                listed.push(json!({ "path": file, "bytes": len, "part": true }));
            }
        }
        if let Some(layers) = &self.only_layers
            && !found.get()
        {
            let what = format!("the model has none of the layers {}..{}", layers.start, layers.end);
            return Err(Failure::usage(format!("{}: {what}", repo.id())));
        }
        let folder = repo.folder()?.unwrap_or_default();
        let time = begun.elapsed();
        if global.json {
            return output::print_json(&json!({
                "command": "pull",
                "repo": repo.id(),
                "commit": repo.commit(),
                "unreachable": repo.is_unreachable(),
                "folder": folder.to_string_lossy(),
                "files": listed,
                "bytes": bytes,
                "seconds": time.as_secs_f64(),
            }));
        }
        output::print(&format!(
            "{}: {}{}, {} in {}\n",
            folder.display(),
            count(files.len(), "file"),
            if in_part.is_some() {
                " and a part of the weights"
            } else {
                ""
            },
            output::bytes(bytes),
            output::duration(time)
        ))
    }

    fn wants(&self, path: &str, all: &[RepoFile]) -> bool {
        if !self.include.is_empty() {
            return self.include.iter().any(|pattern| hub::fits(pattern, path));
        }
        !(is_foreign(path) || path.ends_with(".safetensors") && has_encoded(all))
    }
}

/// `ORG/MODEL[@REVISION]`; a revision's slashes may be written as `%2F`.
pub(crate) fn parse_repo(text: &str) -> Repo {
    match text.split_once('@') {
        Some((id, revision)) => hub::repo(id).revision(revision.replace("%2F", "/").replace("%2f", "/")),
        None => hub::repo(text),
    }
}

/// The repository at its commit, and its files. Says so if that had to come from the cache.
pub(crate) fn pin_and_list(repo: Repo, global: &Global) -> Result<(Repo, Vec<RepoFile>), Failure> {
    let (repo, files) = repo.pin_and_list()?;
    if repo.is_unreachable() && !global.quiet {
        let commit = repo.commit().unwrap_or_default();
        eprintln!(
            "{}: the Hub cannot be reached: commit {commit} of the cache is used",
            repo.id()
        );
    }
    Ok((repo, files))
}

fn has_encoded(files: &[RepoFile]) -> bool {
    files.iter().any(|f| f.path.ends_with(".wcodec"))
}

/// Whether a file has weights in a format of another program.
pub(crate) fn is_foreign(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| FOREIGN.contains(&end))
}

/// The only file of the weights.
fn only_file(repo: &Repo, files: &[&RepoFile]) -> Result<String, Failure> {
    let mut encoded = files.iter().filter(|f| f.path.ends_with(".wcodec"));
    match (encoded.next(), encoded.next()) {
        (Some(file), None) => Ok(file.path.clone()),
        _ => {
            let what = "among the files asked for (without the Hub: those in the cache) is neither an index of shards nor one \
                        .wcodec file: pull it without --only-layers";
            Err(Failure::usage(format!("{}: {what}", repo.id())))
        }
    }
}

/// The shards that hold a tensor of these layers, or of none. `None` if there is no index of shards.
fn shards_of(
    repo: &Repo,
    all: &[RepoFile],
    layers: &Range<u64>,
    found: &Cell<bool>,
) -> Result<Option<BTreeSet<String>>, Failure> {
    // An index of safetensors says nothing of one .wcodec file beside them.
    let [encoded, plain] = INDEXES;
    let end = if has_encoded(all) { encoded } else { plain };
    let index = all.iter().find(|f| f.path.ends_with(end));
    let Some(index) = index else { return Ok(None) };
    let path = repo.download(&index.path, &())?;
    // Shards are named from the index's own folder.
    let folder = index
        .path
        .rsplit_once('/')
        .map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let shards = wcodec::shard_files(&path, |tensor| is_of(tensor, layers, found))?;
    Ok(Some(
        shards.into_iter().map(|shard| format!("{folder}{shard}")).collect(),
    ))
}

/// Whether a tensor is of one of these layers, which is then found, or of none.
fn is_of(tensor: &str, layers: &Range<u64>, found: &Cell<bool>) -> bool {
    let layer = layer(tensor);
    found.set(found.get() || layer.is_some_and(|n| layers.contains(&n)));
    layer.is_none_or(|n| layers.contains(&n))
}

/// The first number in a tensor's name.
fn layer(name: &str) -> Option<u64> {
    name.split('.').find_map(|part| part.parse().ok())
}

fn parse_layers(text: &str) -> Result<Range<u64>, String> {
    let range = text
        .split_once("..")
        .and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    range
        .filter(|r| !r.is_empty())
        .ok_or_else(|| format!("{text:?}: write 0..16 for layers 0 to 15"))
}
