//! What is asked for and cannot be had: said before the work, and nothing is left behind.

use super::limits::{CALIBRATION, json, program, setting};
use super::*;
use serde_json::Value;

const CALIBRATED: &str = "--calibrate calibration.txt --calibration-tokens 1024";

/// What the program says when it fails, and that it leaves nothing.
#[track_caller]
fn fails(folder: &TempDir, arguments: &str, status: i32, what: &str) {
    let names = |folder: &TempDir| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(folder);
    let output = program(folder, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments}: {said}");
    assert!(said.contains(what), "{arguments}: {said}");
    assert_eq!(names(folder), before, "{arguments}");
}

#[test]
fn sizes_are_met_or_refused() {
    let folder = setting();
    for arguments in [
        "--bits 16",
        "--bits 12 --calibrate calibration.txt",
        "--bits 5 --rate *down_proj*=16",
    ] {
        fails(
            &folder,
            &format!("encode model -o out {arguments}"),
            1,
            "losslessly they take",
        );
    }
    fails(&folder, "encode model -o out --bits 0.4", 1, "is the least");
    fails(
        &folder,
        "encode model -o out --bits 5 --rate *down_proj*=0.2",
        1,
        "0.5 is the least",
    );
    // Tensors that are kept, as they cannot be quantised, count as what they take.
    let spoilt = changed(&folder, "model.layers.2.mlp.up_proj.weight", |old| {
        old.zeros_like().unwrap()
    });
    fs::rename(spoilt, folder.path().join("model/model.safetensors")).unwrap();
    for (name, arguments) in [("plain", ""), ("good", CALIBRATED)] {
        let (status, value) = json(&folder, &format!("encode model -o {name} --bits 4 {arguments}"));
        assert_eq!(status, 0, "{value}");
        let bytes = value["encoded_bytes"].as_f64().unwrap();
        let bits = 16.0 * bytes / fs::metadata(kjv().join("model.safetensors")).unwrap().len() as f64;
        assert!((bits - 4.0).abs() < 0.03, "{name}: {bits}");
    }
}

#[test]
fn wrong_orders_are_refused_before_the_work() {
    let folder = setting();
    let encode = |arguments: &str| format!("encode model -o out {CALIBRATED} {arguments}");
    fails(&folder, &encode("--bits 5 --lossless *porj*"), 1, "porj");
    fails(&folder, &encode("--bits 1 --lossless *layers*"), 1, "cannot be met");
    fails(
        &folder,
        &encode("--max-kl 0.1 --lossless *"),
        1,
        "nothing is left to quantise",
    );
    let rates = "--rate *mlp*=4 --rate *down_proj*=5";
    fails(
        &folder,
        &encode(&format!("--bits 5 {rates}")),
        1,
        "already taken by the rate of the pattern \"*mlp*\"",
    );
    let rates = "--lossless *down_proj* --rate *down_proj*=5";
    fails(
        &folder,
        &encode(&format!("--bits 5 {rates}")),
        1,
        "already taken by the pattern \"*down_proj*\"",
    );
    // What would be of no use.
    fails(&folder, &encode("--bits 5 --windows 5"), 2, "no text is measured on");
    fails(&folder, &encode("--bits 5 --accept-uncertain"), 2, "--bits");
    fails(&folder, &encode("--bits -1"), 2, "from 0.1 to 16");
    let said = program(&folder, &encode("--bits 4 --max-kl 0.1")).stderr;
    let said = String::from_utf8(said).unwrap();
    let first = said.lines().next().unwrap();
    assert!(
        first.contains("--max-kl") && !first.contains("--max-ppl-increase"),
        "{said}"
    );
    // A folder that is someone else's.
    fails(
        &folder,
        &encode("--bits 5 --statistics model"),
        1,
        "files that are no statistics",
    );
    // One window has no error.
    fails(
        &folder,
        &encode("--max-kl 0.1 --text text.txt --windows 1"),
        2,
        "two at least",
    );
    file(
        &folder,
        "short.txt",
        "In the beginning God created the heaven and the earth.",
    );
    fails(&folder, &encode("--bits 5 --text short.txt"), 1, "1024 are needed");
    fs::remove_file(folder.path().join("short.txt")).unwrap();
    // A part of what is calibrated on, but not of what is behind that.
    let part = file(&folder, "part.txt", &CALIBRATION[600..]);
    let refused = "--text part.txt --windows 4";
    fails(
        &folder,
        &encode(&format!("--max-kl 0.1 {refused}")),
        1,
        "% of what would be measured",
    );
    fails(&folder, &encode(&format!("--bits 5 {refused}")), 1, "calibrated on");
    let later = CALIBRATION.len() / 2 + CALIBRATION[CALIBRATION.len() / 2..].find('\n').unwrap();
    fs::write(part, &CALIBRATION[later..]).unwrap();
    let order = encode(&format!("--bits 5 {refused}")).replace("-o out", "-o fine");
    assert!(program(&folder, &order).status.success());
    // Items that are too long.
    file(
        &folder,
        "long.jsonl",
        &format!(
            "{{\"context\": \"{}\", \"target\": \" Israel\"}}\n",
            "And God said. ".repeat(300)
        ),
    );
    fails(
        &folder,
        &encode("--bits 5 --task long.jsonl"),
        1,
        "Leave such items out of the file",
    );
    // Less memory than the least.
    fails(&folder, &encode("--bits 5 --memory 10MB"), 1, "10000000 are allowed");
    fails(&folder, &encode("--max-kl 0.1 --memory 200MB"), 1, "measuring loads it");
    fails(&folder, "encode model -o out --bits 5 --memory 1GB", 2, "--calibrate");
    // Another model's configuration.
    let path = folder.path().join("model/config.json");
    let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (field, to, what) in [
        (
            "num_hidden_layers",
            7,
            "there is no tensor \"model.layers.6.self_attn.q_proj.weight\"",
        ),
        ("intermediate_size", 256, "config.json asks for [256, 128]"),
    ] {
        let mut config = config.clone();
        config[field] = to.into();
        fs::write(&path, config.to_string()).unwrap();
        fails(&folder, &encode("--bits 5"), 1, what);
        fails(&folder, "encode model -o out --max-kl 0.1 --text text.txt", 1, what);
    }
}

#[test]
fn two_runs_do_not_share_statistics_that_are_being_made() {
    let folder = setting();
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let lock = fs::File::create(kept.join("lock")).unwrap();
    lock.lock().unwrap();
    let encode = format!("encode model -o out --bits 5 {CALIBRATED} --statistics kept");
    fails(&folder, &encode, 1, "another run works in this folder");
    drop(lock);
    assert!(program(&folder, &encode).status.success());
    let first = fs::read(folder.path().join("out/model.wcodec")).unwrap();
    // Statistics of other options take their place; what is not statistics stays.
    fs::write(kept.join("letter.txt"), "mine").unwrap();
    let other = encode.replace("1024", "2048").replace("out", "other");
    let output = program(&folder, &other);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("which are replaced"), "{said}");
    assert_eq!(fs::read(kept.join("letter.txt")).unwrap(), b"mine");
    // Damage is said, with what to do.
    let gradients = kept.join("gradients.statistics");
    let bytes = fs::read(&gradients).unwrap();
    fs::write(&gradients, &bytes[..bytes.len() / 2]).unwrap();
    let again = encode.replace("1024", "2048").replace("out", "again");
    fails(&folder, &again, 1, "delete the folder");
    fs::remove_file(&gradients).unwrap();
    let again = encode.replace("out", "again");
    assert!(program(&folder, &again).status.success());
    assert!(fs::read(folder.path().join("again/model.wcodec")).unwrap() == first);
}
