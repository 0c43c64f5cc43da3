//! A GPU that a C++ compiler makes of the kernels' sources, in a process of its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use wcodec::cuda::{Batch, Encoded, GpuSize, Part, Profile};
use wcodec::{Result, Tensor};

/// How the kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    Fast,
    /// An access outside of an allocation, or at an address that is not aligned for it, ends the process.
    Checked,
}

/// The program, compiled once a run; `None`, said aloud, where there is no compiler.
pub fn program(build: Build) -> Option<PathBuf> {
    static FAST: OnceLock<Option<PathBuf>> = OnceLock::new();
    static CHECKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let cell = if build == Build::Fast { &FAST } else { &CHECKED };
    cell.get_or_init(|| compile(build)).clone()
}

fn compile(build: Build) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernels-{build:?}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("kernels.inc"), kernels()).unwrap();
    let program = folder.join("device");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let mut command = Command::new(&compiler);
    command.args([
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        "-Wno-parentheses",
        "-Wno-clobbered",
        "-g",
    ]);
    match build {
        Build::Fast => command.arg("-O2"),
        Build::Checked => command.args(["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]),
    };
    command
        .arg("-I")
        .arg(&folder)
        .arg("-o")
        .arg(&program)
        .arg(source.join("device.cpp"));
    match command.status() {
        Ok(status) => assert!(status.success(), "the kernels do not compile"),
        Err(e) => {
            assert!(std::env::var_os("CI").is_none(), "{compiler}: {e}");
            eprintln!("SKIPPED: the kernels were not run: no C++ compiler {compiler:?}: {e}");
            return None;
        }
    }
    Some(program)
}

/// Every kernel's source with its definitions, and then a list of them by name.
fn kernels() -> String {
    let (mut sources, mut list) = (String::new(), String::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    for (name, file, definitions) in wcodec::cuda::kernels() {
        let pairs: Vec<(&str, &str)> = definitions.split(' ').filter_map(|d| d.split_once('=')).collect();
        pairs
            .iter()
            .for_each(|(key, value)| sources += &format!("#define {key} {value}\n"));
        sources += &format!("#include {:?}\n", folder.join(file));
        pairs.iter().for_each(|(key, _)| sources += &format!("#undef {key}\n"));
        list += &format!("{{{name:?}, [](const u64* a, u32 last) {{ call({name}, a, last); }}}},\n");
    }
    format!("#ifdef SOURCES\n{sources}#else\n{list}#endif\n")
}

pub struct Gpu {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// Processors that the emulator says its CTAs are on.
const PROCESSORS: u32 = 3;

/// What the emulated GPU is to look like: that of an H100.
pub const SIZE: GpuSize = GpuSize {
    processors: 2,
    shared_bytes: 227 << 10,
};

impl Gpu {
    pub fn start(build: Build) -> Option<Self> {
        let mut child = Command::new(program(build)?)
            .env("ASAN_OPTIONS", "detect_stack_use_after_return=0:detect_leaks=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn send(&mut self, parts: &[&[u8]]) {
        parts
            .iter()
            .for_each(|part| self.input.write_all(part).expect("the emulator ended"));
    }

    fn receive(&mut self, len: usize) -> Vec<u8> {
        self.input.flush().unwrap();
        let mut bytes = vec![0; len];
        self.output
            .read_exact(&mut bytes)
            .expect("the emulator ended: a kernel did what it must not");
        bytes
    }

    pub fn allocate(&mut self, len: u64) -> u64 {
        self.send(&[b"A", &len.to_ne_bytes()]);
        u64::from_ne_bytes(self.receive(8).try_into().unwrap())
    }

    pub fn free(&mut self, address: u64) {
        self.send(&[b"F", &address.to_ne_bytes()]);
    }

    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        self.send(&[b"W", &address.to_ne_bytes(), &(bytes.len() as u64).to_ne_bytes(), bytes]);
    }

    pub fn read(&mut self, address: u64, len: u64) -> Vec<u8> {
        self.send(&[b"R", &address.to_ne_bytes(), &len.to_ne_bytes()]);
        self.receive(len as usize)
    }

    fn poison(&mut self, address: u64, len: u64) {
        self.send(&[b"P", &address.to_ne_bytes(), &len.to_ne_bytes()]);
    }

    pub fn launch(&mut self, name: &str, size: [u32; 3], arguments: [u64; 4], last: u32) {
        self.send(&[b"L", &(name.len() as u32).to_ne_bytes(), name.as_bytes()]);
        size.iter().for_each(|n| self.send(&[&n.to_ne_bytes()]));
        arguments.iter().for_each(|n| self.send(&[&n.to_ne_bytes()]));
        self.send(&[&last.to_ne_bytes()]);
        self.receive(1);
    }

    /// Runs a batch: what each part decodes to, or the error. `odd` bytes before each output misalign it.
    pub fn decode(&mut self, parts: Vec<Part<'_>>, size: GpuSize, odd: u64) -> Result<Vec<Vec<u8>>> {
        let batch = Batch::new(parts, size)?;
        let base = self.allocate(batch.device_len());
        let outputs: Vec<(u64, u64)> = batch.output_lens().map(|len| (self.allocate(len + odd), len)).collect();
        let result = self.run(&batch, base, &outputs.iter().map(|o| o.0 + odd).collect::<Vec<_>>());
        let decoded = outputs
            .iter()
            .map(|&(address, len)| self.read(address + odd, len))
            .collect();
        outputs.iter().for_each(|o| self.free(o.0));
        self.free(base);
        result.map(|()| decoded)
    }

    fn run(&mut self, batch: &Batch<'_>, base: u64, outputs: &[u64]) -> Result<()> {
        let mut image = vec![0; batch.upload_len() as usize];
        batch.fill(base, outputs, &mut image)?;
        self.write(base, &image);
        let mut last = 0;
        for range in batch.sections() {
            self.poison(base + last, range.start - last);
            last = range.end;
        }
        self.poison(base + last, batch.device_len() - last);
        for launch in batch.launches() {
            let (arguments, room) = batch.arguments(launch, base);
            self.launch(
                &launch.name(),
                [launch.grid, launch.threads, launch.shared_bytes],
                arguments,
                room,
            );
        }
        let reports = batch.reports();
        let reports = self.read(base + reports.start, reports.end - reports.start);
        let profile = Profile::new(&reports, PROCESSORS);
        assert_eq!(profile.chunks() as u64, batch.chunks(), "each chunk is reported");
        assert!((0.0..=1.0).contains(&profile.busy()));
        batch.finish(&reports)
    }

    /// Decodes a whole tensor.
    pub fn tensor(&mut self, tensor: Tensor<'_>) -> Result<Vec<u8>> {
        let encoded = Encoded::new(tensor)?;
        let whole = encoded.part(0..encoded.chunks());
        Ok(self.decode(vec![whole], SIZE, 0)?.remove(0))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
