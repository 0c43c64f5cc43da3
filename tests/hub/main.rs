//! The Hub, on loopback: downloads, ranges, the cache, and what happens when the server fails.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "candle")]
mod candle;
mod download;
mod ranges;
mod server;

use server::{Fault, Server};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::data::{Kind, fill};
use tempfile::TempDir;
use wcodec::hub::{HubOptions, Repo, repo};
use wcodec::{DType, EncodeOptions, Encoder, Error, HubProblem, TensorSpec};

/// A server with a repository, and a cache for it.
struct Setting {
    server: Server,
    cache: TempDir,
    model: Vec<u8>,
}

const ID: &str = "org/model";
const MODEL: &str = "model.wcodec";

/// A `.wcodec` file with two large tensors and a small one.
fn model() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(MODEL);
    let tensors = [("a", [1024, 512]), ("norm", [4, 128]), ("z", [2048, 512])];
    let specs = tensors
        .iter()
        .map(|(name, shape)| TensorSpec::new(*name, DType::BF16, *shape))
        .collect();
    let mut encoder = Encoder::create(&path, specs, EncodeOptions::lossless()).unwrap();
    for (name, shape) in tensors {
        encoder.add(name, &fill(Kind::Normal, DType::BF16, &shape, 3)).unwrap();
    }
    encoder.finish().unwrap();
    std::fs::read(path).unwrap()
}

impl Setting {
    fn new() -> Self {
        let (server, model) = (Server::new(), model());
        server.add(ID, MODEL, model.clone());
        server.add(ID, "config.json", b"{}".to_vec());
        server.add(ID, "a folder/x#.txt", b"x".to_vec());
        Self {
            server,
            cache: tempfile::tempdir().unwrap(),
            model,
        }
    }

    /// With few and short waits, and small blocks.
    fn repo(&self) -> Repo {
        let options = HubOptions::default()
            .timeouts(Duration::from_secs(5), Duration::from_secs(5))
            .attempts(4, Duration::from_millis(1))
            .ranges(3, 200_000);
        repo(ID)
            .endpoint(&self.server.url)
            .cache_dir(self.cache.path())
            .token(None)
            .offline(false)
            .options(options)
    }

    /// Bytes of contents that went since the last call.
    fn sent(&self) -> u64 {
        self.server.log().iter().map(|l| l.sent).sum()
    }

    /// All files below the cache's `blobs`.
    fn blobs(&self) -> Vec<PathBuf> {
        let folder = self.cache.path().join("models--org--model/blobs");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|e| e.unwrap().path()).collect()
    }

    /// Every blob under a final name has the digest that is its name.
    #[track_caller]
    fn assert_sound(&self) {
        for path in self.blobs() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.contains(".wcodec.") {
                assert_eq!(sha256(&path), name, "{}", path.display());
            }
        }
    }
}

fn sha256(path: &Path) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

#[track_caller]
fn assert_problem<T: std::fmt::Debug>(result: wcodec::Result<T>, expected: HubProblem) -> String {
    match result {
        Err(error @ Error::Hub { problem, .. }) if problem == expected => error.to_string(),
        other => panic!("{expected:?} was expected: {other:?}"),
    }
}

/// A fault a request, then none.
fn times(n: usize, fault: Fault) -> Vec<Fault> {
    vec![fault; n]
}
