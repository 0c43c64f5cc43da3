//! Where an input is: on this machine, or on the Hub (`hf://ORG/MODEL[@REVISION][/FILE]`).

use crate::Global;
use crate::failure::Failure;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use wcodec::Decoder;

const SCHEME: &str = "hf://";

/// An input that is on this machine.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// What an output is named after: the path, or the last part of what is on the Hub.
    pub(crate) name: PathBuf,
    /// The files of a folder that belong to it, if not all: the Hub's cache has such too as other commands
    /// have downloaded.
    files: Option<HashSet<OsString>>,
}

impl Input {
    /// Whether a file of the folder belongs to it.
    pub(crate) fn has(&self, file: &OsStr) -> bool {
        self.files.as_ref().is_none_or(|files| files.contains(file))
    }
}

fn is_remote(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.starts_with(SCHEME))
}

/// Whether it is one file on the Hub.
pub(crate) fn is_remote_file(path: &Path) -> bool {
    let rest = path.to_str().and_then(|p| p.strip_prefix(SCHEME)).unwrap_or_default();
    rest.splitn(3, '/').nth(2).is_some_and(|file| !file.is_empty())
}

/// Refuses pipes and devices: files are read here and there, not from front to back.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
            let what = "a regular file is needed, as its parts are read in any order: a pipe or a device cannot be";
            Err(Failure::new("input", format!("{}: {what}", path.display())))
        }
        // What is not there, or cannot be looked at, is an error where it is opened.
        _ => Ok(()),
    }
}

/// Opens a `.wcodec` file. On the Hub, only those ranges are read that are asked for.
pub(crate) fn open(path: &Path, global: &Global) -> Result<Decoder, Failure> {
    if is_remote(path) {
        return remote::open(path, global);
    }
    check(path)?;
    refuse_folder(path)?;
    let opened = Decoder::open_with(path, global.decode_options());
    opened.map_err(|error| match path.exists() {
        true => Failure::from(error),
        false => {
            let path = path.display();
            Failure::new(
                "io",
                format!("{error} (a file on the Hub is hf://ORG/MODEL/FILE, not {path})"),
            )
        }
    })
}

/// Downloads what is on the Hub, into its cache: a file, or all of a repository but its weights in
/// other formats and in `skip`, and the index of these.
pub(crate) fn local(path: &Path, skip: &str, global: &Global) -> Result<Input, Failure> {
    if is_remote(path) {
        return remote::local(path, skip, global);
    }
    check(path)?;
    Ok(Input {
        path: path.to_owned(),
        name: named(path),
        files: None,
    })
}

/// As [`local`], of one file.
pub(crate) fn local_file(path: &Path, global: &Global) -> Result<PathBuf, Failure> {
    if is_remote(path) && !is_remote_file(path) {
        return Err(Failure::usage(format!("{}: which file of it?", path.display())));
    }
    let file = local(path, "", global)?.path;
    refuse_folder(&file)?;
    Ok(file)
}

/// Where a model is.
#[cfg(any(feature = "run", feature = "eval"))]
pub(crate) enum Place {
    Here(PathBuf),
    /// A repository of the Hub, and a file of it.
    #[cfg(feature = "hub")]
    Hub(Box<wcodec::hub::Repo>, Option<String>),
}

/// Finds a model by its name: what is there of that name, else `ORG/MODEL[@REVISION]` on the Hub; or
/// `hf://ORG/MODEL[@REVISION][/FILE]`.
#[cfg(any(feature = "run", feature = "eval"))]
pub(crate) fn place(name: &str) -> Result<Place, Failure> {
    let path = Path::new(name);
    if is_remote(path) {
        return remote::place(name);
    }
    let id = name.split('@').next().unwrap_or_default();
    let is_file = [".wcodec", ".safetensors", ".json"]
        .iter()
        .any(|end| name.ends_with(end));
    let is_id = id.matches('/').count() == 1 && !id.starts_with(['.', '/', '~']) && !id.ends_with('/') && !is_file;
    match is_id && !path.exists() {
        true => remote::place(&format!("{SCHEME}{name}")),
        false => Ok(Place::Here(path.to_owned())),
    }
}

/// The files of a model, which come from the Hub if it is there: its `.wcodec` files if it has such, else
/// safetensors, with its configuration and tokenizer.
#[cfg(feature = "eval")]
#[cfg_attr(not(feature = "hub"), allow(unused_variables))]
pub(crate) fn model(name: &str, global: &Global) -> Result<wcodec::eval::ModelFiles, Failure> {
    match place(name)? {
        Place::Here(path) => {
            check(&path)?;
            Ok(wcodec::eval::ModelFiles::find(&path)?)
        }
        #[cfg(feature = "hub")]
        Place::Hub(repo, file) => remote::model(name, *repo, file, global),
    }
}

/// The path with a name at its end: that of the folder itself for `.` and `..`.
pub(crate) fn named(path: &Path) -> PathBuf {
    match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    }
}

/// Refuses a folder where a file is meant.
pub(crate) fn refuse_folder(path: &Path) -> Result<(), Failure> {
    match path.is_dir() {
        true => Err(Failure::usage(format!(
            "{} is a folder: choose one of its files",
            path.display()
        ))),
        false => Ok(()),
    }
}

#[cfg(not(feature = "hub"))]
mod remote {
    use super::{Decoder, Failure, Global, Input, Path};

    fn no() -> Failure {
        Failure::usage("hf:// needs a wcodec that is built with the feature `hub`")
    }

    pub(super) fn open(_: &Path, _: &Global) -> Result<Decoder, Failure> {
        Err(no())
    }

    pub(super) fn local(_: &Path, _: &str, _: &Global) -> Result<Input, Failure> {
        Err(no())
    }

    #[cfg(any(feature = "run", feature = "eval"))]
    pub(super) fn place(name: &str) -> Result<super::Place, Failure> {
        let what = "no such file or folder, and this wcodec is built without the Hub";
        Err(Failure::usage(format!(
            "{}: {what}",
            name.strip_prefix(super::SCHEME).unwrap_or(name)
        )))
    }
}

#[cfg(feature = "hub")]
mod remote {
    use super::{Decoder, Failure, Global, Input, Path, SCHEME};
    use crate::progress::Display;
    use crate::pull::{self, parse_repo};
    use wcodec::hub::{Repo, RepoFile};

    /// Repository and file.
    fn parse(path: &Path) -> Result<(Repo, Option<String>), Failure> {
        let text = path.to_str().unwrap_or_default();
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let mut parts = rest.splitn(3, '/');
        let (Some(organisation), Some(name)) = (parts.next(), parts.next()) else {
            return Err(Failure::usage(format!(
                "{text}: write hf://ORG/MODEL[@REVISION][/FILE]"
            )));
        };
        let repo = parse_repo(&format!("{organisation}/{name}"));
        Ok((repo, parts.next().filter(|f| !f.is_empty()).map(str::to_owned)))
    }

    #[cfg(any(feature = "run", feature = "eval"))]
    pub(super) fn place(name: &str) -> Result<super::Place, Failure> {
        let (repo, file) = parse(Path::new(name))?;
        Ok(super::Place::Hub(Box::new(repo), file))
    }

    #[cfg(feature = "eval")]
    pub(super) fn model(
        name: &str,
        repo: Repo,
        file: Option<String>,
        global: &Global,
    ) -> Result<wcodec::eval::ModelFiles, Failure> {
        let (repo, files) = pull::pin_and_list(repo, global)?;
        let progress = Display::new("downloading", global);
        let has = |name: &str| files.iter().any(|f| f.path == name);
        let get = |name: &str| repo.download(name, &progress);
        let with_end = |end: &str| {
            let fits = files.iter().map(|f| f.path.clone());
            fits.filter(|f| f.ends_with(end) && !f.contains('/'))
                .collect::<Vec<_>>()
        };
        let wanted = match file {
            // The files that an index names lie beside it.
            Some(index) if index.ends_with(".index.json") => {
                let folder = index
                    .rsplit_once('/')
                    .map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let shards = wcodec::shard_files(&get(&index)?, |_| true)?;
                shards.into_iter().map(|shard| format!("{folder}{shard}")).collect()
            }
            Some(file) => vec![file],
            None => {
                let encoded = with_end(".wcodec");
                if encoded.is_empty() {
                    with_end(".safetensors")
                } else {
                    encoded
                }
            }
        };
        if wanted.is_empty() {
            let what = "the repository has no .wcodec and no .safetensors file";
            return Err(Failure::new("not-found", format!("{name}: {what}")));
        }
        let beside = |file: &str| has(file).then(|| get(file)).transpose();
        Ok(wcodec::eval::ModelFiles {
            name: name.into(),
            weights: wanted.iter().map(|file| get(file)).collect::<Result<_, _>>()?,
            config: beside("config.json")?,
            tokenizer: beside("tokenizer.json")?,
        })
    }

    pub(super) fn open(path: &Path, global: &Global) -> Result<Decoder, Failure> {
        let (repo, file) = parse(path)?;
        let file = file.ok_or_else(|| Failure::usage(format!("{}: which file of it?", path.display())))?;
        Ok(repo.decoder_with(&file, global.decode_options())?)
    }

    /// Refuses a model that lacks shards which its index names: without the network, the cache may have
    /// those of some layers alone.
    fn check_shards(folder: &Path, files: &[RepoFile]) -> Result<(), Failure> {
        let is_index = |f: &&RepoFile| pull::INDEXES.iter().any(|end| f.path.ends_with(end));
        for file in files.iter().filter(is_index) {
            let index = folder.join(&file.path);
            let mut shards = wcodec::shard_files(&index, |_| true)?.into_iter();
            if let Some(missing) = shards.find(|shard| !index.with_file_name(shard).is_file()) {
                let what = "a shard that its index names is not there: pull all of the model first";
                return Err(Failure::new(
                    "not-found",
                    format!("{}: {missing}: {what}", index.display()),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn local(path: &Path, skip: &str, global: &Global) -> Result<Input, Failure> {
        let (repo, file) = parse(path)?;
        let progress = Display::new("downloading", global);
        let Some(file) = file else {
            let (repo, mut files) = pull::pin_and_list(repo, global)?;
            let skipped = [format!(".{skip}"), format!(".{skip}.index.json")];
            files.retain(|f| !pull::is_foreign(&f.path) && !skipped.iter().any(|end| f.path.ends_with(end)));
            for file in &files {
                repo.download(&file.path, &progress)?;
            }
            let name = repo.id().rsplit('/').next().unwrap_or_default().into();
            let path = repo.folder()?.unwrap_or_default();
            check_shards(&path, &files)?;
            let files = Some(files.into_iter().map(|f| f.path.into()).collect());
            return Ok(Input { path, name, files });
        };
        let name = file.rsplit('/').next().unwrap_or_default().into();
        let path = repo.download(&file, &progress)?;
        Ok(Input {
            path,
            name,
            files: None,
        })
    }
}
