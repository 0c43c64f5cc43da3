//! `wcodec bench`.

#[cfg(feature = "cuda")]
mod cuda;
mod measure;
mod report;

use crate::Global;
use crate::encode::Effort;
use crate::failure::Failure;
use crate::input;
use crate::memory;
use crate::output;
use crate::progress::Display;
use clap::{Args, ValueEnum};
use measure::Decoding;
#[cfg(feature = "eval")]
pub(crate) use measure::median;
use report::Report;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wcodec::{Backend, Progress, checkpoint};

/// Measure encoding and decoding of a file on this machine
#[derive(Args)]
#[command(long_about = "\
Measure encoding and decoding of a file on this machine.

Encoding: the whole way from a safetensors file to a .wcodec file, digests included, at each effort. \
The files are in memory: the input in the system's cache, the output in /dev/shm where there is one \
with room. The digest of the whole file takes a thread of its own beside --threads.

Decoding: all tensors from the encoded file in memory into one buffer, with every backend of this \
CPU and 1, 2, 4, ... threads. After each run the same bytes are copied into the same buffer with as \
many threads: the speed limit of any decoder.

With --device cuda, in a build that has it: decoding by the GPU's own clock, from and to its memory, tensor \
by tensor and all in one call, in turns with a copy of the same bytes, through more memory than its caches \
hold, and the share of time in which its processors had work. A .wcodec file is taken as it is; several files \
are rows of one table. With --load also files in the system's cache to tensors on the GPU, decoded there or \
on the CPU, and by Candle from safetensors.

Every run's result is compared with the original; if a byte differs, that is an error. Results are \
medians; a measurement is not repeated after 30 seconds. Memory is what was taken beyond the buffers.")]
#[command(after_help = "\
Examples:
  wcodec bench model.safetensors
  wcodec bench model.wcodec --threads 1 --backend avx2
  wcodec bench model.wcodec --device cuda --load --save results.json
  wcodec bench model.safetensors --effort default --runs 9 --json > results.json")]
pub(crate) struct Bench {
    /// Safetensors file, or .wcodec file, which is restored first; or hf://ORG/MODEL[@REVISION]/FILE
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// This effort only [default: all; decoding is that of effort default]
    #[arg(long, value_enum)]
    effort: Option<Effort>,
    /// What decodes
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Measure loading too, with --device cuda
    #[arg(long)]
    load: bool,
    /// Decoded bytes of a run at least, with --device cuda: several times its caches
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = output::parse_size)]
    round: u64,
    /// Write the results to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Runs of each measurement
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Device {
    /// The CPU, with every backend
    Cpu,
    /// The first NVIDIA GPU
    Cuda,
}

impl Bench {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        match (self.device, &self.files[..]) {
            (Device::Cuda, files) => self.run_cuda(files, global),
            (Device::Cpu, _) if self.load => Err(Failure::usage("--load is for --device cuda")),
            (Device::Cpu, [file]) => self.run_cpu(file, global),
            (Device::Cpu, _) => Err(Failure::usage("several files are for --device cuda")),
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[allow(clippy::unused_self)]
    fn run_cuda(&self, _: &[PathBuf], _: &Global) -> Result<(), Failure> {
        Err(Failure::usage("this wcodec was built without the feature `cuda`"))
    }

    #[cfg(feature = "cuda")]
    fn run_cuda(&self, files: &[PathBuf], global: &Global) -> Result<(), Failure> {
        let files = files
            .iter()
            .map(|file| input::local_file(file, global))
            .collect::<Result<Vec<_>, _>>()?;
        let progress = Display::new("measuring", global);
        let scratch = scratch_folder(&scratch_place(&files[0])?)?;
        let plan = cuda::Plan {
            files: &files,
            effort: self.effort.map_or(wcodec::Effort::Default, wcodec::Effort::from),
            runs: self.runs as usize,
            round: self.round,
            load: self.load,
            scratch: scratch.path(),
        };
        let report = plan.run(&progress)?;
        drop(progress);
        self.give(global, || report.json(), || report.text())?;
        match report.failed() {
            true => Err(Failure::new("bench", "not every file could be measured")),
            false => Ok(()),
        }
    }

    /// Prints the results, and saves them if they are to be.
    fn give(&self, global: &Global, json: impl Fn() -> Value, text: impl Fn() -> String) -> Result<(), Failure> {
        if let Some(path) = &self.save {
            let saving = Failure::io(format!("writing {}", path.display()));
            std::fs::write(path, format!("{:#}\n", json())).map_err(saving)?;
        }
        match global.json {
            true => output::print_json(&json()),
            false => output::print(&text()),
        }
    }

    fn run_cpu(&self, file: &Path, global: &Global) -> Result<(), Failure> {
        let local = input::local_file(file, global)?;
        let progress = Display::new("measuring", global);
        let runs = self.runs as usize;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let counts = match global.threads {
            Some(threads) => vec![threads],
            None => (0..)
                .map(|n| 1 << n)
                .take_while(|&n| n < cores)
                .chain([cores])
                .collect(),
        };
        let threads = counts.last().copied().unwrap_or(1);
        let backends = global
            .backend
            .map_or_else(|| Backend::available().collect(), |backend| vec![backend]);
        let backend = global.backend.map_or_else(Backend::detect, Ok)?;
        let effort = self.effort.map_or(wcodec::Effort::Default, wcodec::Effort::from);
        let efforts = if self.effort.is_some() {
            vec![effort]
        } else {
            wcodec::Effort::ALL.to_vec()
        };

        let place = scratch_place(&local)?;
        let scratch = scratch_folder(&place)?;
        let input = original(&local, scratch.path(), global)?;
        // Read whole: what is decoded is compared with it, and the system has it in its cache then.
        let original = std::fs::read(&input).map_err(Failure::io(format!("reading {}", input.display())))?;
        let bytes = original.len() as u64;
        progress.start(bytes * (efforts.len() + backends.len() * counts.len()) as u64);

        let mut encode = Vec::new();
        let mut encoded = Vec::new();
        let pool = measure::pool(threads)?;
        for one in efforts {
            let to = scratch.path().join("encoded.wcodec");
            encode.push(measure::encode(&input, &to, one, (&pool, runs), &progress)?);
            if one == effort {
                encoded = std::fs::read(&to).map_err(Failure::io(format!("reading {}", to.display())))?;
            }
            progress.advance(bytes, &format!("encoded, effort {}", one.name()));
        }

        let encoded: Arc<[u8]> = encoded.into();
        let tensors = measure::open(&encoded, backend)?.tensors().len();
        let data = data_of(&original)?;
        let mut decoding = Decoding {
            encoded,
            original: data,
            buffer: vec![0; data.len()],
        };
        let mut decode = Vec::new();
        for &threads in &counts {
            let pool = measure::pool(threads)?;
            for &backend in &backends {
                decode.push(decoding.measure(backend, (&pool, runs), &progress)?);
                progress.advance(bytes, &format!("decoded with {backend}, threads: {threads}"));
            }
        }
        drop(progress);

        let (scratch, data) = (&*place, data.len() as u64);
        let report = Report {
            file,
            scratch,
            bytes,
            data,
            tensors,
            cores,
            threads,
            effort,
            backend,
            encode,
            decode,
        };
        self.give(global, || report.json(), || report.text())
    }
}

/// The safetensors file: the one given, or the one that a .wcodec file was made from.
fn original(file: &Path, scratch: &Path, global: &Global) -> Result<PathBuf, Failure> {
    if file.extension().is_none_or(|e| e != "wcodec") {
        return Ok(file.to_owned());
    }
    let to = scratch.join("original.safetensors");
    checkpoint::decode(file, &to, global.decode_options(), &())?;
    Ok(to)
}

/// A folder in it that goes away.
fn scratch_folder(place: &Path) -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("wcodec-bench-").tempdir_in(place);
    folder.map_err(Failure::io(format!("making a folder in {}", place.display())))
}

/// Where files go that are only measured: memory if there is plenty, else the usual place.
fn scratch_place(file: &Path) -> Result<PathBuf, Failure> {
    let memory = Path::new("/dev/shm");
    let bytes = std::fs::metadata(file)
        .map_err(Failure::io(format!("opening {}", file.display())))?
        .len();
    // Original, encoded file and buffer are in memory too.
    let plenty = memory::available().is_some_and(|available| available / 6 > bytes);
    Ok(if plenty && memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    })
}

/// A safetensors file's data: what follows the header. The file was encoded before, so it is valid.
fn data_of(file: &[u8]) -> Result<&[u8], Failure> {
    let data = file.split_first_chunk().and_then(|(length, rest)| {
        let header = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        rest.get(header..)
    });
    data.ok_or_else(|| Failure::new("input", "the file changed while it was measured"))
}
