//! The `wcodec` program from outside: output, exit status, files.
#![cfg(feature = "cli")]

mod files;
mod folders;
#[cfg(unix)]
mod interrupted;
mod reports;
#[cfg(feature = "run")]
mod run;
mod synth;
mod usage;

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

/// Runs it with `--json` and expects an error of a kind, said in one line on stderr too. Gives its text.
fn fails(folder: &TempDir, arguments: &str, expected: i32, kind: &str) -> String {
    let output = run(folder, &format!("{arguments} --json --quiet"));
    assert_eq!(status(&output), expected, "wcodec {arguments}");
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(value["error"]["kind"], kind, "{value}");
    let message = value["error"]["message"].as_str().expect("a message");
    assert!(stderr.contains(message));
    message.into()
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
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = entries
        .map(|entry| PathBuf::from(entry.expect("an entry").file_name()))
        .collect();
    names.sort();
    names
}
