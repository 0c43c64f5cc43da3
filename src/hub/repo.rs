//! A repository: its files, here or there.

use super::cache::Cache;
use super::client::{Asked, Client};
use super::download::Download;
use super::environment::{self, Token};
use super::fetch::Target;
use super::metadata::Metadata;
use super::names;
use super::options::HubOptions;
use super::remote::{Local, Remote};
use crate::error::{Error, HubProblem, Result};
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A model's repository, as `organisation/name`, at its revision `main`.
pub fn repo(id: impl Into<String>) -> Repo {
    Repo {
        id: id.into(),
        revision: "main".into(),
        pinned: None,
        unreachable: false,
        token: None,
        endpoint: None,
        cache_dir: None,
        offline: None,
        options: HubOptions::default(),
        session: Arc::default(),
    }
}

/// A model's repository. Nothing is asked of the server before a method needs it.
#[derive(Clone, Debug)]
pub struct Repo {
    id: String,
    revision: String,
    /// The commit that the revision was when it was asked for.
    pinned: Option<String>,
    /// It could not be asked for: the commit is the cache's.
    unreachable: bool,
    /// `Some(None)`: none, whatever the environment says.
    token: Option<Option<Token>>,
    endpoint: Option<String>,
    cache_dir: Option<PathBuf>,
    offline: Option<bool>,
    options: HubOptions,
    session: Arc<OnceLock<Session>>,
}

/// What all requests and files of a repository share.
#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    cache: Arc<Cache>,
    offline: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepoFile {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes, if the server says so.
    pub size: Option<u64>,
    /// Its SHA-256, which the Hub gives of large files.
    pub sha256: Option<String>,
}

/// What the server says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Where a file is.
pub(super) enum Place {
    Here(PathBuf),
    There(Metadata),
}

impl Repo {
    /// At a branch, a tag or a commit.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        (self.pinned, self.unreachable) = (None, false);
        self.changed()
    }

    /// With this access token, or with none. By default `HF_TOKEN`, or what `hf auth login` has stored.
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = Some(token.and_then(environment::clean));
        self.changed()
    }

    /// At this server. By default `HF_ENDPOINT`, or the Hub.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self.changed()
    }

    /// With this cache. By default `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self.changed()
    }

    /// Without the network: what is in the cache, or an error. By default as `HF_HUB_OFFLINE` says.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self.changed()
    }

    /// With these timeouts, attempts, ranges.
    pub fn options(mut self, options: HubOptions) -> Self {
        self.options = options;
        self.changed()
    }

    fn changed(mut self) -> Self {
        self.session = Arc::default();
        self
    }

    /// `organisation/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The commit, if it is known: the revision is one, or [`Repo::pin`] asked for it.
    pub fn commit(&self) -> Option<&str> {
        let is_one = names::is_commit(&self.revision).then_some(&self.revision);
        self.pinned.as_ref().or(is_one).map(String::as_str)
    }

    /// The folder of the cache that has the files of the commit, or will have them. `None` if the commit is
    /// not known.
    ///
    /// # Errors
    /// [`Error::Usage`] as [`Repo::files`].
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        let cache = &self.session()?.cache;
        Ok(self.commit().map(|commit| cache.snapshot(commit)))
    }

    fn session(&self) -> Result<&Session> {
        if let Some(session) = self.session.get() {
            return Ok(session);
        }
        names::check_repo(&self.id)?;
        names::check_revision(&self.revision)?;
        let endpoint = self.endpoint.clone().unwrap_or_else(environment::endpoint);
        let token = self.token.clone().unwrap_or_else(environment::token);
        let folder = self.cache_dir.clone().or_else(environment::cache_dir);
        let folder = folder.ok_or_else(|| Error::usage("no folder for the cache is known: set HF_HOME"))?;
        let session = Session {
            client: Arc::new(Client::new(&endpoint, token, self.options.clone())?),
            cache: Arc::new(Cache::new(&folder, &self.id, &self.revision)),
            offline: self.offline.unwrap_or_else(environment::offline),
        };
        Ok(self.session.get_or_init(|| session))
    }

    /// The same repository at the commit that its revision is now (offline: was last), so that all that
    /// follows is of one commit.
    ///
    /// # Errors
    /// As [`Repo::files`].
    pub fn pin(&self) -> Result<Self> {
        Ok(self.pin_and_list()?.0)
    }

    /// The files. Offline, those that are in the cache.
    ///
    /// # Errors
    /// [`Error::Hub`]; [`Error::Usage`] if the repository's name or a setting cannot be right.
    pub fn files(&self) -> Result<Vec<RepoFile>> {
        Ok(self.pin_and_list()?.1)
    }

    /// [`Repo::pin`] and [`Repo::files`] in one request.
    ///
    /// # Errors
    /// As [`Repo::files`].
    pub fn pin_and_list(&self) -> Result<(Self, Vec<RepoFile>)> {
        let session = self.session()?;
        let cached = session.cache.files(self.commit())?;
        // Where the cache can answer, a server that does not is not waited for long.
        let attempts = match cached {
            Some(_) => self.options.attempts.min(2),
            None => self.options.attempts,
        };
        let mut pinned = self.clone();
        let (commit, files) = match (self.list(session, attempts), cached) {
            (Err(error), Some((commit, files))) if session.offline || is_unreachable(&error) => {
                let file = |(path, size)| RepoFile {
                    path,
                    size: Some(size),
                    sha256: None,
                };
                pinned.unreachable = !session.offline;
                (commit, files.into_iter().map(file).collect())
            }
            (listed, _) => listed?,
        };
        pinned.pinned = Some(commit);
        Ok((pinned, files))
    }

    /// Whether [`Repo::pin`] could not reach the server, and took the commit that the cache has: the
    /// revision may have moved on since.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    fn list(&self, session: &Session, attempts: u32) -> Result<(String, Vec<RepoFile>)> {
        if session.offline {
            return Err(self.not_cached(""));
        }
        let client = &session.client;
        let revision = names::encode_part(self.commit().unwrap_or(&self.revision));
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            client.endpoint(),
            self.id
        );
        let json = client.text(&url, self.options.max_list_bytes, attempts)?;
        let wrong = |what: String| {
            let asked = Asked { url: &url, range: None };
            asked.error(HubProblem::Protocol, Some(200), what)
        };
        let info: Info = serde_json::from_slice(&json).map_err(|e| wrong(format!("no description: {e}")))?;
        if !names::is_commit(&info.sha) {
            return Err(wrong(format!("{:?} is no commit", info.sha)));
        }
        let mut files = Vec::with_capacity(info.siblings.len());
        for Sibling { rfilename, size, lfs } in info.siblings {
            if !names::is_file(&rfilename) {
                return Err(wrong(format!("{rfilename:?} is no name of a file")));
            }
            let (large, sha256) = lfs.map_or((None, None), |lfs| (lfs.size, lfs.sha256));
            files.push(RepoFile {
                path: rfilename,
                size: large.or(size),
                sha256,
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((info.sha, files))
    }

    fn not_cached(&self, file: &str) -> Error {
        let slash = if file.is_empty() { "" } else { "/" };
        Error::Hub {
            problem: HubProblem::Offline,
            url: format!("hf://{}@{}{slash}{file}", self.id, self.revision),
            status: None,
            range: None,
            what: "it is not in the cache, and the network is off: unset HF_HUB_OFFLINE once to download it".into(),
        }
    }

    /// Where a file is: what is here and current needs no download.
    pub(super) fn locate(&self, file: &str) -> Result<Place> {
        names::check_file(file)?;
        let session = self.session()?;
        let cached = || match self.commit() {
            Some(commit) => Some(session.cache.snapshot(commit).join(file)).filter(|p| p.is_file()),
            None => session.cache.find(file),
        };
        if session.offline {
            return cached().map(Place::Here).ok_or_else(|| self.not_cached(file));
        }
        if self.commit().is_some()
            && let Some(path) = cached()
        {
            return Ok(Place::Here(path));
        }
        let revision = self.commit().unwrap_or(&self.revision);
        let url = session.client.file_url(&self.id, revision, file);
        let metadata = match session.client.metadata(&url) {
            Err(error) if is_unreachable(&error) => return cached().map(Place::Here).ok_or(error),
            metadata => metadata?,
        };
        if let Some(commit) = self.commit().filter(|&commit| commit != metadata.commit) {
            let asked = Asked { url: &url, range: None };
            let what = format!("commit {} came, {commit} was asked for", metadata.commit);
            return Err(asked.error(HubProblem::Protocol, None, what));
        }
        if session.cache.has(&metadata.etag, metadata.size) {
            return Ok(Place::Here(self.link(file, &metadata)?));
        }
        Ok(Place::There(metadata))
    }

    /// Has the snapshot name a blob that is here.
    fn link(&self, file: &str, metadata: &Metadata) -> Result<PathBuf> {
        let cache = &self.session()?.cache;
        let path = cache.link(&metadata.commit, file, &metadata.etag)?;
        cache.set_commit(&metadata.commit)?;
        Ok(path)
    }

    fn target(&self, file: &str, metadata: &Metadata) -> Result<Target> {
        let client = self.session()?.client.clone();
        let url = client.file_url(&self.id, &metadata.commit, file);
        Ok(Target::new(client, url, metadata.etag.clone(), metadata.size))
    }

    /// A file in the cache, downloaded if it is not there: its path. What has arrived is kept if the
    /// download fails, and the next one goes on from there.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Io`], [`Error::Cancelled`]; [`Error::Usage`] as [`Repo::files`].
    pub fn download(&self, file: &str, progress: &dyn Progress) -> Result<PathBuf> {
        match self.locate(file)? {
            Place::Here(path) => Ok(path),
            Place::There(metadata) => match self.begin(file, metadata, progress)? {
                Ok(download) => download.run(progress),
                Err(path) => Ok(path),
            },
        }
    }

    /// A download that is ready to run; or where the file is, if there is nothing to download.
    pub(super) fn begin(
        &self,
        file: &str,
        metadata: Metadata,
        progress: &dyn Progress,
    ) -> Result<std::result::Result<Download, PathBuf>> {
        let session = self.session()?;
        let lock = session.cache.lock(&metadata.etag, &|| progress.cancelled())?;
        // Another process may have brought it while we waited.
        if session.cache.has(&metadata.etag, metadata.size) {
            return Ok(Err(self.link(file, &metadata)?));
        }
        let target = self.target(file, &metadata)?;
        Download::open(target, session.cache.clone(), file, metadata, lock).map(Ok)
    }

    /// Opens a `.wcodec` file: the one in the cache, or the one on the server, of which only those ranges
    /// are fetched that are asked for. Nothing of it is put into the cache.
    ///
    /// # Errors
    /// As [`Repo::download`] and [`Decoder::open`].
    pub fn decoder(&self, file: &str) -> Result<Decoder> {
        self.decoder_with(file, DecodeOptions::default())
    }

    /// As [`Repo::decoder`], with options.
    ///
    /// # Errors
    /// As [`Repo::decoder`].
    pub fn decoder_with(&self, file: &str, options: DecodeOptions) -> Result<Decoder> {
        match self.locate(file)? {
            Place::Here(path) => Decoder::open_with(path, options),
            Place::There(metadata) => self.remote(file, &metadata, options),
        }
    }

    pub(super) fn remote(&self, file: &str, metadata: &Metadata, options: DecodeOptions) -> Result<Decoder> {
        let local = Local::open(&self.session()?.cache, metadata, self.options.block_bytes);
        let remote = Remote::new(self.target(file, metadata)?, local);
        Decoder::from_source(Arc::new(remote), options)
    }
}

fn is_unreachable(error: &Error) -> bool {
    matches!(
        error,
        Error::Hub {
            problem: HubProblem::Unreachable,
            ..
        }
    )
}
