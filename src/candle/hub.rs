//! From a repository of the Hub to a `VarBuilder`.

use super::backend::WcodecBackend;
use super::options::LoadOptions;
use crate::Decoder;
use crate::error::{Error, Result};
use crate::hub::{Arrival, Repo, RepoFile, Shard};
use crate::progress::Progress;
use crate::shards::shard_files;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use regex_lite::Regex;
use std::sync::Arc;

const WEIGHTS: &str = "model.wcodec";
const INDEX: &str = "model.wcodec.index.json";

/// A model that is on its way into the cache while its tensors are used.
pub struct HubLoad {
    backend: WcodecBackend,
    arrival: Option<Arrival>,
}

impl std::fmt::Debug for HubLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubLoad")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl HubLoad {
    /// The tensors. One that has not arrived is waited for, and comes next.
    pub fn backend(&self) -> &WcodecBackend {
        &self.backend
    }

    /// Waits until the files are in the cache, complete, with their digests.
    ///
    /// # Errors
    /// As [`Repo::download`].
    pub fn finish(self) -> Result<()> {
        self.arrival.map_or(Ok(()), Arrival::wait)
    }
}

impl Repo {
    /// A `VarBuilder` over the repository's `.wcodec` files: `model.wcodec`, or the shards that
    /// `model.wcodec.index.json` names. Tensors come as `dtype`, on `device`.
    ///
    /// What is in the cache is loaded from there. Else tensors are decoded while the rest still arrives;
    /// the files go into the cache, and arrive there even when the `VarBuilder` is gone, as long as the
    /// process lives. [`Repo::load`] has options, and lets one wait for that.
    ///
    /// # Errors
    /// As [`Repo::load`].
    pub fn var_builder(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        let load = self.load(LoadOptions::default(), Arc::new(()))?;
        Ok(load.backend.var_builder(dtype, device))
    }

    /// As [`Repo::var_builder`], with options. [`LoadOptions::check`] is heeded for files in the cache
    /// only: of those that arrive, each chunk's checksum is checked when it is decoded.
    ///
    /// # Errors
    /// As [`Repo::download`] and [`WcodecBackend::open`]; [`Error::Input`] if the repository has no
    /// `.wcodec` file.
    pub fn load(&self, options: LoadOptions, progress: Arc<dyn Progress + Send + Sync>) -> Result<HubLoad> {
        let (repo, names) = self.weights()?;
        let (shards, arrival) = repo.arrive(&names, progress)?;
        let paths: Vec<_> = shards
            .iter()
            .filter_map(|shard| match shard {
                Shard::Here(path) => Some(path),
                Shard::Coming(_) => None,
            })
            .collect();
        if paths.len() == shards.len() {
            let backend = WcodecBackend::open(&paths, options)?;
            return Ok(HubLoad { backend, arrival: None });
        }
        let open = |shard| match shard {
            Shard::Here(path) => Decoder::open_with(path, options.decode),
            Shard::Coming(source) => Decoder::from_source(source, options.decode),
        };
        let decoders = shards.into_iter().map(open).collect::<Result<_>>()?;
        Ok(HubLoad {
            backend: WcodecBackend::from_decoders(decoders, options.check(false))?,
            arrival: Some(arrival),
        })
    }

    /// A part of the model: the tensors whose whole name fits a regular expression, such as
    /// `model\.layers\.([0-9]|1[0-5])\..*` for layers 0 to 15. Each is fetched when it is asked for, by
    /// ranges (small ones that are neighbours in the file by one), and nothing goes into the cache; of a part of rows
    /// ([`WcodecBackend::sharded_var_builder`]) only the chunks that hold them are fetched. What is in the
    /// cache is read from there.
    ///
    /// # Errors
    /// As [`Repo::load`]; [`Error::Usage`] if it is no regular expression.
    pub fn load_part(&self, names: &str, options: LoadOptions) -> Result<WcodecBackend> {
        let pattern = Regex::new(&format!("^(?:{names})$"));
        let pattern = pattern.map_err(|e| Error::usage(format!("{names:?} is no regular expression: {e}")))?;
        let (repo, files) = self.weights()?;
        let open = |file: &String| repo.decoder_with(file, options.decode);
        let decoders: Vec<Decoder> = files.iter().map(open).collect::<Result<_>>()?;
        decoders.iter().for_each(|d| d.expect(|name| pattern.is_match(name)));
        WcodecBackend::part(decoders, options.check(false), |name| pattern.is_match(name))
    }

    /// The repository at its commit, and the names of its weights' files.
    fn weights(&self) -> Result<(Repo, Vec<String>)> {
        let (repo, files) = self.pin_and_list()?;
        let has = |name: &str| files.iter().any(|f| f.path == name);
        if has(INDEX) {
            let path = repo.download(INDEX, &())?;
            return Ok((repo, shard_files(&path, |_| true)?));
        }
        if has(WEIGHTS) {
            return Ok((repo, vec![WEIGHTS.into()]));
        }
        let ends = |end: &str| {
            files
                .iter()
                .filter(|f| f.path.ends_with(end))
                .collect::<Vec<&RepoFile>>()
        };
        match &ends(".wcodec")[..] {
            [only] => Ok((repo, vec![only.path.clone()])),
            [] => {
                let hint = match ends(".safetensors").is_empty() {
                    true => String::new(),
                    false => format!(": `wcodec encode hf://{}` makes them of its safetensors", repo.id()),
                };
                Err(Error::input(
                    repo.id(),
                    format!("the repository has no .wcodec files{hint}"),
                ))
            }
            _ => Err(Error::input(
                repo.id(),
                format!("it has several .wcodec files and no {INDEX}"),
            )),
        }
    }
}
