//! The `wcodec` program from outside: output, exit status, files.
#![cfg(feature = "cli")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Runs the program in a folder.
fn run(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command
        .current_dir(folder)
        .env_remove("WCODEC_BACKEND")
        .args(arguments.split_whitespace());
    command.output().expect("the program starts")
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// Runs it and expects success; gives what it printed.
fn fine(folder: &TempDir, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert_eq!(status(&output), 0, "wcodec {arguments}: {}", text(&output.stderr));
    text(&output.stdout).into()
}

/// Runs it with `--json` and reads its one object.
fn json(folder: &TempDir, arguments: &str) -> Value {
    let out = fine(folder, &format!("{arguments} --json"));
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).expect("it is JSON")
}

/// Runs it with `--json` and expects an error of a kind, said in one line on stderr too.
fn fails(folder: &TempDir, arguments: &str, expected: i32, kind: &str) {
    let output = run(folder, &format!("{arguments} --json --quiet"));
    assert_eq!(status(&output), expected, "wcodec {arguments}");
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(value["error"]["kind"], kind, "{value}");
    assert!(stderr.contains(value["error"]["message"].as_str().expect("a message")));
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A folder with a small checkpoint, `model.safetensors`.
fn with_model() -> TempDir {
    let folder = folder();
    fine(&folder, "synth -o model.safetensors --size 1MB");
    folder
}

/// Every file of a folder, with its content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (
                path.file_name().expect("a name").into(),
                fs::read(&path).expect("a file"),
            )
        })
        .collect();
    files.sort();
    files
}

fn names(folder: &TempDir) -> Vec<PathBuf> {
    files(folder.path()).into_iter().map(|f| f.0).collect()
}

#[test]
fn help_teaches() {
    let folder = folder();
    for command in ["encode", "decode", "verify", "inspect", "synth", "bench", "completions"] {
        let help = fine(&folder, &format!("{command} --help"));
        assert!(
            help.contains("Examples:") && help.contains(&format!("wcodec {command}")),
            "{help}"
        );
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert!(fine(&folder, "--help").contains(command));
    }
    assert!(fine(&folder, "--version").starts_with("wcodec "));
}

#[test]
fn wrong_usage_is_status_2() {
    let folder = folder();
    for wrong in [
        "encode",
        "bogus",
        "encode x --effort great",
        "inspect x --threads 0",
        "verify x --backend abacus",
    ] {
        assert_eq!(status(&run(&folder, wrong)), 2, "{wrong}");
        fails(&folder, wrong, 2, "usage");
    }
    fails(&folder, "synth -o x --hidden 10 --heads 3", 2, "usage");
    fails(&folder, "synth -o x --tensors 5 --hidden 10", 2, "usage");
    assert!(names(&folder).is_empty());
}

#[test]
fn a_wrong_backend_variable_is_status_2() {
    let folder = with_model();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command
        .current_dir(&folder)
        .env("WCODEC_BACKEND", "abacus")
        .args(["encode", "model.safetensors"]);
    let output = command.output().expect("the program starts");
    assert_eq!(status(&output), 2);
    assert!(text(&output.stderr).contains("WCODEC_BACKEND"));
}

#[test]
fn a_file_comes_back_with_every_effort() {
    let folder = with_model();
    let original = fs::read(folder.path().join("model.safetensors")).expect("a file");
    for effort in ["fast", "default", "max"] {
        let encoded = json(&folder, &format!("encode model.safetensors --force --effort {effort}"));
        assert_eq!(encoded["bytes"], original.len());
        assert_eq!(encoded["effort"], effort);
        let size = fs::metadata(folder.path().join("model.wcodec")).expect("a file").len();
        assert_eq!(encoded["encoded_bytes"], size);
        assert!(size < original.len() as u64 * 3 / 4);
        let verified = json(&folder, "verify model.wcodec --against model.safetensors --threads 1");
        assert_eq!((&verified["ok"], &verified["compared"]), (&true.into(), &1.into()));
        fine(
            &folder,
            "decode model.wcodec -o copy.safetensors --force --backend scalar",
        );
        assert!(fs::read(folder.path().join("copy.safetensors")).expect("a file") == original);
    }
    assert_eq!(names(&folder).len(), 3);
}

#[test]
fn what_exists_is_kept() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    fails(&folder, "encode model.safetensors", 1, "exists");
    fails(&folder, "decode model.wcodec", 1, "exists");
    fails(&folder, "synth -o model.safetensors", 1, "exists");
    fails(
        &folder,
        "encode model.safetensors -o model.safetensors --force",
        2,
        "usage",
    );
    if cfg!(unix) {
        // A file is written beside its name and renamed: not over a device.
        fails(&folder, "encode model.safetensors -o /dev/null --force", 1, "exists");
    }
}

#[test]
fn quiet_says_nothing() {
    let folder = with_model();
    for command in [
        "encode model.safetensors",
        "verify model.wcodec",
        "decode model.wcodec -o copy.safetensors",
    ] {
        let output = run(&folder, &format!("{command} --quiet"));
        assert_eq!(
            (status(&output), output.stdout.len(), output.stderr.len()),
            (0, 0, 0),
            "{command}"
        );
    }
}

#[test]
fn damage_is_status_1_and_leaves_no_file() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    let good = fs::read(folder.path().join("model.wcodec")).expect("a file");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x10;
    fs::write(folder.path().join("bad.wcodec"), bad).expect("a file");
    fs::write(folder.path().join("cut.wcodec"), &good[..good.len() / 2]).expect("a file");
    fs::write(folder.path().join("text.wcodec"), "hello").expect("a file");
    let before = names(&folder);
    for (file, kind) in [
        ("bad", "corrupt"),
        ("cut", "corrupt"),
        ("text", "not-wcodec"),
        ("missing", "io"),
    ] {
        fails(&folder, &format!("verify {file}.wcodec"), 1, kind);
        fails(&folder, &format!("decode {file}.wcodec"), 1, kind);
    }
    fails(&folder, "inspect cut.wcodec", 1, "corrupt");
    fails(&folder, "encode text.wcodec -o out.wcodec", 1, "input");
    fails(&folder, "encode missing.safetensors", 1, "io");
    fails(&folder, "encode model.safetensors -o no/such/folder.wcodec", 1, "io");
    fails(&folder, "decode model.wcodec -o no/such/folder.safetensors", 1, "io");
    fails(&folder, "synth -o no/such/folder.safetensors", 1, "io");
    assert_eq!(names(&folder), before);
}

#[test]
fn a_difference_is_status_1() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    fine(&folder, "synth -o other.safetensors --size 1MB --seed 2");
    fails(&folder, "verify model.wcodec --against other.safetensors", 1, "differs");
}

#[test]
fn folders_come_back() {
    let folder = folder();
    let made = json(&folder, "synth -o model --size 2MB --shards 3");
    let before = files(&folder.path().join("model"));
    assert_eq!(before.len(), 5);
    let encoded = json(&folder, "encode model");
    assert_eq!((&encoded["files"], &encoded["tensors"]), (&3.into(), &made["tensors"]));
    assert!(folder.path().join("model.wcodec/model-00002-of-00003.wcodec").is_file());
    assert_eq!(json(&folder, "verify model.wcodec --against model")["compared"], 3);
    fine(&folder, "decode model.wcodec -o copy");
    let after = files(&folder.path().join("copy"));
    for ((name, content), (name2, content2)) in before.iter().zip(&after) {
        assert_eq!(name, name2);
        if name.extension().is_some_and(|e| e == "safetensors") {
            assert!(content == content2, "{}", name.display());
        } else {
            // The shard index says the same, if not in the same bytes.
            let read = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("it is JSON");
            assert_eq!(read(content), read(content2), "{}", name.display());
        }
    }
    assert_eq!(before.len(), after.len());
    fails(&folder, "decode model.wcodec -o copy", 1, "exists");
}

#[test]
fn inspect_adds_up() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    let all = json(&folder, "inspect model.wcodec");
    let sum = |key: &str| -> u64 {
        let tensors = all["tensors"].as_array().expect("an array");
        tensors.iter().map(|t| t[key].as_u64().expect("a number")).sum()
    };
    assert_eq!(all["data_bytes"], sum("bytes"));
    assert_eq!(all["payload_bytes"], sum("encoded_bytes"));
    assert_eq!(all["by_dtype"]["BF16"]["bytes"], sum("bytes"));
    assert_eq!(all["source"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(all["version"], "1.0");
    let table = fine(&folder, "inspect model.wcodec");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert!(table.contains("model.layers.0.mlp.up_proj.weight"));
    let summary = fine(&folder, "inspect model.wcodec --summary");
    assert!(!summary.contains("up_proj") && summary.contains("BF16"));
}

#[test]
fn synth_is_deterministic() {
    let folder = folder();
    let digest = |name: &str| blake3::hash(&fs::read(folder.path().join(name)).expect("a file"));
    for dtype in [
        "bf16",
        "f16",
        "f32",
        "f64",
        "f32-from-bf16",
        "f8-e4m3",
        "f8-e5m2",
        "i8",
        "u8",
    ] {
        let command = |name: &str, more: &str| format!("synth -o {name} --force --size 300kB --dtype {dtype} {more}");
        let made = json(&folder, &command("a", ""));
        let size = made["bytes"].as_u64().expect("a number");
        assert!((250_000..350_000).contains(&size), "{dtype}: {size}");
        fine(&folder, &command("b", "--threads 1"));
        fine(&folder, &command("c", "--seed 2"));
        assert_eq!(digest("a"), digest("b"), "{dtype}");
        assert_ne!(digest("a"), digest("c"), "{dtype}");
        fine(&folder, "encode a -o a.wcodec --force");
        fine(&folder, "verify a.wcodec --against a");
    }
    // The bytes themselves are promised: on every machine.
    fine(
        &folder,
        "synth -o fixed --force --hidden 64 --intermediate 96 --layers 1 --heads 2 --kv-heads 1 --vocab 100",
    );
    assert_eq!(
        digest("fixed").to_hex().as_str(),
        "440b4acf189ee9a86d03edf91c82d740ead3fad278df9771334530c4826bbba9"
    );
}

#[test]
fn synth_makes_many_tensors() {
    let folder = folder();
    assert_eq!(
        json(&folder, "synth -o many.safetensors --tensors 1000")["tensors"],
        1000
    );
    fine(&folder, "encode many.safetensors");
    assert_eq!(json(&folder, "inspect many.wcodec --summary")["tensor_count"], 1000);
}

#[test]
fn bench_keeps_its_contract() {
    let folder = with_model();
    let result = json(&folder, "bench model.safetensors --runs 2 --threads 1");
    let size = fs::metadata(folder.path().join("model.safetensors"))
        .expect("a file")
        .len();
    assert_eq!((&result["bytes"], &result["threads"]), (&size.into(), &1.into()));
    assert_eq!(result["lossless"], true);
    for key in ["encode_seconds", "decode_seconds", "copy_seconds"] {
        let seconds = result[key].as_array().expect("an array");
        assert!(
            seconds.len() == 2 && seconds.iter().all(|s| s.as_f64() > Some(0.0)),
            "{key}: {seconds:?}"
        );
    }
    assert_eq!(result["encode"].as_array().map(Vec::len), Some(3));
    fine(&folder, "encode model.safetensors");
    assert_eq!(
        fs::metadata(folder.path().join("model.wcodec")).expect("a file").len(),
        result["encoded_bytes"]
    );
    let one = json(&folder, "bench model.wcodec --runs 1 --effort fast --backend scalar");
    assert_eq!((&one["effort"], &one["backend"]), (&"fast".into(), &"scalar".into()));
    fails(&folder, "bench missing.safetensors", 1, "io");
}

#[test]
fn completions_are_generated() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            fine(&folder, &format!("completions {shell}")).contains("inspect"),
            "{shell}"
        );
    }
}
