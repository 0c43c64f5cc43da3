//! A calibration, killed at any time, goes on where it was.

use super::{file, folder, kjv};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_killed_calibration_goes_on_to_the_same_file() {
    let folder = folder();
    // Several batches.
    file(&folder, "text.txt", &super::TEXT.repeat(30));
    let command = |output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        command
            .current_dir(&folder)
            .args(["encode", "--quiet", "--force", "-o", output]);
        command.arg(kjv().join("model.safetensors"));
        command.args("--bits 5 --calibrate text.txt --calibration-tokens 8192 --statistics kept".split(' '));
        command
    };
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let kept = || {
        let files = fs::read_dir(folder.path().join("kept")).into_iter().flatten().flatten();
        files
            .map(|f| f.file_name().to_string_lossy().into_owned())
            .collect::<BTreeSet<_>>()
    };
    assert!(command("whole.wcodec").status().unwrap().success());
    let all = kept();
    fs::remove_dir_all(folder.path().join("kept")).unwrap();

    let (mut state, mut places) = (88172645463325252u64, BTreeSet::new());
    for goal in (0..all.len()).step_by(4) {
        let mut child = command("resumed.wcodec").stderr(Stdio::null()).spawn().unwrap();
        // Behind where it was: somewhere in a batch, or while statistics are written.
        while kept().len() < goal && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::thread::sleep(Duration::from_micros(state % 30_000));
        if child.try_wait().unwrap().is_none() {
            // SIGKILL on Unix.
            child.kill().unwrap();
            places.insert(kept().len());
        }
        child.wait().unwrap();
        let finished = folder.path().join("resumed.wcodec");
        assert!(!finished.exists() || read("resumed.wcodec") == read("whole.wcodec"));
    }
    println!("killed with {places:?} of {} files", all.len());
    // On a busy machine it may be through before it is looked at.
    assert!(places.len() >= 2, "{places:?}");
    assert!(command("resumed.wcodec").status().unwrap().success());
    assert!(read("resumed.wcodec") == read("whole.wcodec"));
    assert!(kept() == all, "{:?}", kept());
}

#[test]
fn statistics_of_another_configuration_are_not_taken() {
    let folder = folder();
    file(&folder, "text.txt", &super::TEXT.repeat(30));
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(kjv().join(name), model.join(name)).unwrap();
    }
    let config: serde_json::Value = serde_json::from_slice(&fs::read(kjv().join("config.json")).unwrap()).unwrap();
    let encode = |theta: f64, statistics: &str| {
        let mut config = config.clone();
        config["rope_theta"] = theta.into();
        fs::write(model.join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        let arguments = "encode model/model.safetensors -o out.wcodec --quiet --force --bits 5 --calibrate text.txt --calibration-tokens 2048";
        command.current_dir(&folder).args(arguments.split(' '));
        assert!(command.args(["--statistics", statistics]).status().unwrap().success());
        fs::read(folder.path().join("out.wcodec")).unwrap()
    };
    let theta = config["rope_theta"].as_f64().unwrap();
    let (before, other) = (encode(theta, "kept"), encode(2.0 * theta, "apart"));
    assert!(before != other);
    assert!(encode(2.0 * theta, "kept") == other);
}
