//! Where a model's files are: a folder, or a repository of the Hub.

use crate::Global;
use crate::failure::Failure;
use crate::input::{self, Place};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::fs;
use std::path::{Path, PathBuf};
use wcodec::candle::{ExpectedTensor, LoadOptions, SafetensorsBackend, WcodecBackend, model_tensors};
use wcodec::checkpoint;

/// A model's folder, here or on the Hub.
pub(super) enum Files {
    Folder(PathBuf),
    #[cfg(feature = "hub")]
    Hub(Box<wcodec::hub::Repo>, Vec<String>),
}

/// Weights that are ready to build a model of.
pub(super) struct Weights {
    backend: Backend,
    /// For safetensors: bytes, and about how many they would be as `.wcodec`.
    pub(super) would_save: Option<(u64, u64)>,
    arrival: Arrival,
}

enum Backend {
    Wcodec(WcodecBackend),
    Safetensors(SafetensorsBackend),
}

/// Files that may still be arriving.
#[derive(Default)]
pub(super) struct Arrival {
    #[cfg(feature = "hub")]
    load: Option<wcodec::candle::HubLoad>,
}

impl Weights {
    /// `wcodec` or `safetensors`.
    pub(super) fn format(&self) -> &'static str {
        match self.backend {
            Backend::Wcodec(_) => "wcodec",
            Backend::Safetensors(_) => "safetensors",
        }
    }

    /// Builds a model of them on a device.
    pub(super) fn build<M>(
        self,
        dtype: DType,
        device: &Device,
        load: impl FnOnce(VarBuilder<'static>) -> Result<M, Failure>,
    ) -> Result<(M, Arrival), Failure> {
        let model = match self.backend {
            Backend::Wcodec(backend) => backend.build(dtype, device, load),
            Backend::Safetensors(backend) => backend.build(dtype, device, load),
        };
        Ok((model?, self.arrival))
    }
}

impl Arrival {
    /// Waits until what came from the Hub is in the cache.
    pub(super) fn finish(self) -> Result<(), Failure> {
        #[cfg(feature = "hub")]
        if let Some(load) = self.load {
            load.finish()?;
        }
        Ok(())
    }
}

impl Files {
    /// A folder if there is one of that name, else a repository.
    #[cfg_attr(not(feature = "hub"), allow(unused_variables))]
    pub(super) fn find(model: &str, global: &Global) -> Result<Self, Failure> {
        match input::place(model)? {
            Place::Here(path) if path.is_dir() => Ok(Self::Folder(path)),
            Place::Here(path) if path.is_file() => {
                let what = "a file alone does not run: name the folder with its config.json and tokenizer.json";
                Err(Failure::usage(format!("{model}: {what}")))
            }
            Place::Here(_) => {
                let what = "neither a folder nor ORG/MODEL[@REVISION]";
                Err(Failure::usage(format!("{model}: {what}")))
            }
            #[cfg(feature = "hub")]
            Place::Hub(_, Some(_)) => {
                let what = "a file alone does not run: name the repository, ORG/MODEL[@REVISION]";
                Err(Failure::usage(format!("{model}: {what}")))
            }
            #[cfg(feature = "hub")]
            Place::Hub(repo, None) => {
                let no_folder = format!("{model} is no folder here");
                let listed = crate::pull::pin_and_list(*repo, global);
                let (repo, files) = listed.map_err(|failure| failure.about(&no_folder))?;
                Ok(Self::Hub(Box::new(repo), files.into_iter().map(|f| f.path).collect()))
            }
        }
    }

    /// A file's content; `None` if the model has none of that name.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = match self {
            Self::Folder(folder) => folder.join(name),
            #[cfg(feature = "hub")]
            Self::Hub(_, files) if !files.iter().any(|f| f == name) => return Ok(None),
            #[cfg(feature = "hub")]
            Self::Hub(repo, _) => repo.download(name, &())?,
        };
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::io(format!("reading {}", path.display()))(e)),
        }
    }

    /// As [`Files::read`], of a file that the model must have.
    pub(super) fn need(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let missing = || Failure::new("input", format!("the model has no {name}"));
        self.read(name)?.ok_or_else(missing)
    }

    /// The weights, whose names and shapes have been found to be what `config.json` asks for.
    pub(super) fn weights(&self, config: &[u8], global: &Global) -> Result<Weights, Failure> {
        let expected = model_tensors(config)?;
        let options = LoadOptions::default().decode(global.decode_options());
        #[cfg_attr(not(feature = "hub"), allow(unused_mut))]
        let mut arrival = Arrival::default();
        let backend = match self {
            Self::Folder(folder) if has(folder, "wcodec")? => {
                if has(folder, "safetensors")? && !global.quiet {
                    let what = "has .safetensors files too: the .wcodec files are run";
                    eprintln!("note: {} {what}", folder.display());
                }
                Some(WcodecBackend::open(&[folder], options)?)
            }
            Self::Folder(folder) if !has(folder, "safetensors")? => {
                let what = "the folder has neither .wcodec nor .safetensors files";
                return Err(Failure::new("input", format!("{}: {what}", folder.display())));
            }
            Self::Folder(_) => None,
            #[cfg(feature = "hub")]
            Self::Hub(repo, files) if files.iter().any(|f| f.ends_with(".wcodec")) => {
                let progress = std::sync::Arc::new(crate::progress::Display::new("downloading", global));
                let load = repo.load(options, progress)?;
                Some(arrival.load.insert(load).backend().clone())
            }
            #[cfg(feature = "hub")]
            Self::Hub(..) => None,
        };
        let Some(backend) = backend else {
            return self.plain(&expected, global);
        };
        backend.require(&expected)?;
        Ok(Weights {
            backend: Backend::Wcodec(backend),
            would_save: None,
            arrival,
        })
    }

    /// Weights that nobody has encoded yet.
    #[cfg_attr(not(feature = "hub"), allow(unused_variables))]
    fn plain(&self, expected: &[ExpectedTensor], global: &Global) -> Result<Weights, Failure> {
        let backend = match self {
            Self::Folder(folder) => SafetensorsBackend::open(&[folder])?,
            #[cfg(feature = "hub")]
            Self::Hub(repo, files) => {
                let progress = crate::progress::Display::new("downloading", global);
                let weights = files.iter().filter(|f| f.ends_with(".safetensors") && !f.contains('/'));
                let paths = weights.map(|f| repo.download(f, &progress));
                SafetensorsBackend::open(&paths.collect::<Result<Vec<_>, _>>()?)?
            }
        };
        backend.require(expected)?;
        let (mut bytes, mut encoded) = (0, 0);
        for path in backend.paths() {
            bytes += fs::metadata(path).map_or(0, |m| m.len());
            encoded += checkpoint::estimate(path)?;
        }
        Ok(Weights {
            backend: Backend::Safetensors(backend),
            would_save: Some((bytes, encoded)),
            arrival: Arrival::default(),
        })
    }
}

/// Whether a folder has a file of an extension.
fn has(folder: &Path, extension: &str) -> Result<bool, Failure> {
    let reading = || Failure::io(format!("reading folder {}", folder.display()));
    for entry in fs::read_dir(folder).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == extension) {
            return Ok(true);
        }
    }
    Ok(false)
}
