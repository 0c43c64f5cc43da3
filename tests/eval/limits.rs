//! The smallest file within limits: that it holds them, that a smaller one does not, and what cannot be told.

use super::*;
use serde_json::Value;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use wcodec::calibrate::Calibration;
use wcodec::eval::Limits;
use wcodec::rate_control::{self, Goal, Request, Stage, Watch};
use wcodec::{Error, Progress};

/// Texts that are long enough, and are not the same.
pub(super) const CALIBRATION: &str = include_str!("../../src/format/SPEC.md");
const EVALUATION: &str = include_str!("../../README.md");
pub(super) const LIMIT: &str = "0.02";

pub(super) fn program(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command.current_dir(folder).args(arguments.split_whitespace());
    command.output().unwrap()
}

/// Its one object and its exit status.
#[track_caller]
pub(super) fn json(folder: &TempDir, arguments: &str) -> (i32, Value) {
    let output = program(folder, &format!("{arguments} --json"));
    let said = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    (output.status.code().unwrap(), value)
}

/// A folder with the model as `model` and texts.
pub(super) fn setting() -> TempDir {
    let folder = folder();
    fs::create_dir(folder.path().join("model")).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(kjv().join(name), folder.path().join("model").join(name)).unwrap();
    }
    file(&folder, "calibration.txt", CALIBRATION);
    file(&folder, "text.txt", EVALUATION);
    file(&folder, "task.jsonl", ITEMS);
    folder
}

#[test]
fn the_file_holds_its_limit_and_a_smaller_one_does_not() {
    let folder = setting();
    let common = "encode model --calibrate calibration.txt --calibration-tokens 2048 --statistics kept";
    let (status, found) = json(
        &folder,
        &format!("{common} -o found --max-kl {LIMIT} --text text.txt --windows 6"),
    );
    assert_eq!(status, 0, "{found}");
    let probes = found["probes"].as_array().unwrap();
    assert!((2..=8).contains(&probes.len()), "{found}");
    // The smallest of the probes that hold.
    let bytes = |p: &Value| p["encoded_bytes"].as_u64().unwrap();
    let smallest = probes.iter().filter(|p| p["holds"] == true).map(bytes).min().unwrap();
    assert_eq!(
        smallest,
        fs::metadata(folder.path().join("found/model.wcodec")).unwrap().len()
    );
    // Measured apart.
    let eval = |name: &str| {
        let limit = format!("--text text.txt --windows 6 --max-kl {LIMIT}");
        json(&folder, &format!("eval model {name} {limit}"))
    };
    let (status, apart) = eval("found");
    assert_eq!(status, 0, "{apart}");
    let kl = |of: &Value| of["texts"][0]["divergence"]["mean"].as_f64().unwrap();
    let (apart, claimed) = (kl(&apart["candidates"][0]), kl(&found["certificate"]));
    // A certificate has twelve digits.
    assert!((apart - claimed).abs() <= 1e-11 * claimed, "{apart} {claimed}");
    let bits = 0.95 * found["bits_per_weight"].as_f64().unwrap();
    let (status, _) = json(&folder, &format!("{common} -o smaller --bits {bits}"));
    assert_eq!(status, 0);
    let (status, smaller) = eval("smaller");
    assert_eq!(status, 1, "{smaller}");
    // No files are left but what was asked for.
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.into_iter().all(|n| !n.to_string_lossy().ends_with(".search")));
    assert!(folder.path().join("found/tokenizer.json").is_file());
}

#[test]
fn without_calibration_and_within_several_limits() {
    let folder = setting();
    let limits = "--max-kl 0.05 --max-ppl-increase 3 --accept-uncertain --text text.txt --windows 3";
    let (status, value) = json(&folder, &format!("encode model -o plain {limits}"));
    assert_eq!(status, 0, "{value}");
    let best = &value["probes"][value["best"].as_u64().unwrap() as usize];
    let checks = best["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 2, "{best}");
    assert!(
        checks.iter().all(|c| c["value"].as_f64() <= c["limit"].as_f64()),
        "{best}"
    );
    assert!(value["certificate"]["calibration"].is_null());
    assert_eq!(value["certificate"]["options"]["accept_uncertain"], true);
    let shown = String::from_utf8(program(&folder, "inspect plain/model.wcodec --summary").stdout).unwrap();
    assert!(
        shown.contains("perplexity increase") && shown.contains("limit 3") && shown.contains("--accept-uncertain"),
        "{shown}"
    );
}

#[test]
fn the_bound_that_decided_is_shown() {
    let folder = setting();
    let goal = "--max-accuracy-drop 60 --task task.jsonl --calibrate calibration.txt --calibration-tokens 1024";
    let (status, value) = json(&folder, &format!("encode model -o out {goal}"));
    assert_eq!(status, 0, "{value}");
    // Nothing but the task was asked for.
    assert_eq!(value["certificate"]["texts"], serde_json::json!([]));
    let check = &value["probes"][value["best"].as_u64().unwrap() as usize]["checks"][0];
    let upper = check["upper"].as_f64().unwrap();
    assert!(upper > 40.0, "six items tell little: {check}");
    let shown = String::from_utf8(program(&folder, "inspect out/model.wcodec --summary").stdout).unwrap();
    assert!(shown.contains(&format!("up to {upper:.4}, limit 60")), "{shown}");
}

#[test]
fn a_limit_on_all_tasks_together_is_in_the_certificate() {
    let folder = setting();
    let item = |i: usize| serde_json::json!({ "context": format!("In the year {i} the king"), "choices": [" said", " of"], "gold": i % 2 });
    let other: String = (0..40).map(|i| format!("{}\n", item(i))).collect();
    file(&folder, "other.jsonl", &other);
    let goal = "--max-accuracy-drop 12 --pool-tasks --task task.jsonl --task other.jsonl";
    let (status, value) = json(
        &folder,
        &format!("encode model -o out {goal} --calibrate calibration.txt --calibration-tokens 1024"),
    );
    assert_eq!(status, 0, "{value}");
    assert_eq!(value["certificate"]["options"]["pool_tasks"], true);
    let best = &value["probes"][value["best"].as_u64().unwrap() as usize];
    let checks = best["checks"].as_array().unwrap();
    assert!(
        checks.len() == 2 && checks.iter().all(|c| c["file"] == "all tasks together"),
        "{best}"
    );
    // Neither task could show as much by itself.
    assert!(checks.iter().all(|c| c["upper"].as_f64().unwrap() <= 12.0), "{best}");
    let said = program(
        &folder,
        "encode model -o none --max-accuracy-drop 12 --task task.jsonl --task other.jsonl",
    );
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("6 items cannot show"), "{said}");
    let check = "verify out --certificate --against model --task task.jsonl --task other.jsonl";
    let (status, checked) = json(&folder, check);
    assert_eq!(status, 0, "{checked}");
    let shown = String::from_utf8(program(&folder, "inspect out/model.wcodec --summary").stdout).unwrap();
    assert!(shown.contains("all tasks together"), "{shown}");
}

#[test]
fn what_no_file_holds_is_said_and_nothing_is_written() {
    let folder = setting();
    let (status, value) = json(
        &folder,
        "encode model -o none --max-kl 1e-9 --text text.txt --windows 2 --quiet",
    );
    assert_eq!(status, 1, "{value}");
    assert_eq!(value["error"]["kind"], "limit-not-met");
    assert!(value["output"].is_null() && value["certificate"].is_null(), "{value}");
    let probes = value["probes"].as_array().unwrap();
    assert!(
        !probes.is_empty() && probes.iter().all(|p| p["holds"] == false),
        "{value}"
    );
    let said = program(
        &folder,
        "encode model -o none --max-kl 1e-9 --text text.txt --windows 2 --quiet",
    );
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("no file was found that holds") && said.contains("KL divergence"),
        "{said}"
    );
    assert!(!folder.path().join("none").exists() && !folder.path().join("none.search").exists());
}

#[test]
fn one_goal_and_something_to_measure_it_on() {
    let folder = setting();
    let usage = |arguments: &str, what: &str| {
        let output = program(&folder, &format!("encode model -o out {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.contains(what), "{arguments}: {said}");
    };
    usage("--bits 4 --max-kl 0.1 --text text.txt", "cannot be used with");
    usage("--bits 4 --quality high --text text.txt", "cannot be used with");
    usage(
        "--quality high --max-ppl-increase 1 --text text.txt",
        "cannot be used with",
    );
    usage("--max-accuracy-drop 1 --text text.txt", "--task");
    usage("--max-kl 0.1", "needs a text");
    usage("--quality near", "needs a text");
    usage("--max-kl 0 --text text.txt", "above 0");
    usage("--text text.txt", "--bits");
    usage("--lossless *norm*", "--bits");
    let fails = |arguments: &str, what: &str| {
        let output = program(&folder, &format!("encode model -o out {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains(what), "{arguments}: {said}");
    };
    // Six items tell nothing of a tenth of a point: 3688 would, if none were lost.
    fails("--max-accuracy-drop 0.1 --task task.jsonl", "3688 are needed");
    fails("--max-kl 0.1 --calibrate text.txt --text text.txt", "calibrated on");
    file(&folder, "short.txt", &EVALUATION[..4000]);
    fails("--max-kl 0.1 --calibrate short.txt", "8192 tokens or more");
    assert!(!folder.path().join("out").exists());
}

/// Limits by the library, telling how many texts were read; stopped after so many.
fn by_library(folder: &TempDir, to: &str, stop: usize) -> (usize, wcodec::Result<Vec<u8>>) {
    struct Stop(bool);
    impl Progress for Stop {
        fn cancelled(&self) -> bool {
            self.0
        }
    }
    let read = AtomicUsize::new(0);
    let watch = Watch {
        progress: &|stage| {
            let before = match stage {
                Stage::Reading => read.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            Box::new(Stop(before >= stop))
        },
        probed: &|_| (),
    };
    let limits = {
        let mut limits = Limits::default();
        limits.divergence = Some(0.03);
        limits
    };
    let accept_uncertain = false;
    let mut request = Request::new(Goal::Limits {
        limits,
        accept_uncertain,
    });
    let mut calibration = Calibration::new([folder.path().join("calibration.txt")]);
    calibration.tokens = 1024;
    calibration.folder = Some(folder.path().join("kept"));
    request.calibration = Some(calibration);
    request.evaluation.windows = Some(3);
    let to = folder.path().join(to);
    let model = folder.path().join("model/model.safetensors");
    let made = rate_control::encode(&model, &to, &EncodeOptions::lossless(), &request, &watch, &|_| true);
    let read = read.into_inner();
    (
        read,
        made.map(|outcome| {
            assert!(outcome.reports.is_some());
            fs::read(&to).unwrap()
        }),
    )
}

#[test]
fn a_stopped_search_goes_on() {
    let folder = setting();
    // Both in their second text.
    let (read, stopped) = by_library(&folder, "a.wcodec", 1);
    assert!(matches!(stopped, Err(Error::Cancelled)) && read == 2, "{stopped:?}");
    assert!(!folder.path().join("a.wcodec").exists());
    let (rest, found) = by_library(&folder, "a.wcodec", usize::MAX);
    let found = found.unwrap();
    // All is known now: nothing is read, and the same file is made.
    let (none, again) = by_library(&folder, "b.wcodec", usize::MAX);
    assert!(again.unwrap() == found);
    assert_eq!(none, 0);
    fs::remove_dir_all(folder.path().join("kept")).unwrap();
    let (all, anew) = by_library(&folder, "c.wcodec", usize::MAX);
    assert!(anew.unwrap() == found);
    assert_eq!(all, rest + 1);
}

#[test]
fn what_is_lost_is_said() {
    let folder = setting();
    let output = program(&folder, "encode model -o plain --bits 5");
    let [said, noted] = [&output.stdout, &output.stderr].map(|s| String::from_utf8_lossy(s).into_owned());
    for what in ["quantised: ", "bits a weight", "not measured"] {
        assert!(said.contains(what), "{said}");
    }
    assert!(noted.contains("not calibrated"), "{noted}");
    let calibrated = "--calibrate calibration.txt --calibration-tokens 1024";
    let (_, value) = json(&folder, &format!("encode model -o good --bits 5 {calibrated}"));
    assert_eq!(
        (value["measured"].as_bool(), &value["warnings"]),
        (Some(false), &serde_json::json!([]))
    );
    assert!(
        value["expected_loss"].as_f64().is_some_and(|loss| loss > 0.0),
        "{value}"
    );
    assert!(
        (value["bits_per_weight"].as_f64().unwrap() - 5.0).abs() < 0.05,
        "{value}"
    );
    // A folder with one file is that file.
    let shown = String::from_utf8(program(&folder, "inspect plain").stdout).unwrap();
    assert!(
        shown.contains("bits a weight (") && shown.contains("noise: squared error"),
        "{shown}"
    );
    let refused = program(&folder, "inspect model");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    // Of a lossless file there is nothing to say.
    let said = program(&folder, "encode model -o lossless").stdout;
    assert!(!String::from_utf8(said).unwrap().contains("quantised"));
}

#[test]
fn what_was_found_for_other_goals_changes_no_file() {
    let folder = setting();
    let encode = |to: &str, goal: &str, kept: &str| {
        let order = format!("encode model/model.safetensors -o {to} --text text.txt --windows 2 --statistics {kept}");
        let (status, value) = json(&folder, &format!("{order} --accept-uncertain {goal}"));
        assert_eq!(status, 0, "{value}");
        fs::read(folder.path().join(to)).unwrap()
    };
    let alone = encode("alone.wcodec", "--max-kl 0.03", "empty");
    for (i, kl) in ["0.032", "0.029"].iter().enumerate() {
        encode(&format!("{i}.wcodec"), &format!("--max-kl {kl}"), "kept");
    }
    assert!(encode("behind.wcodec", "--max-kl 0.03", "kept") == alone);
    assert!(encode("again.wcodec", "--max-kl 0.03", "kept") == alone);
}

#[test]
fn a_rate_is_measured_where_it_is_asked_for() {
    let folder = setting();
    let goal = "--bits 6 --text text.txt --task task.jsonl --windows 2";
    let (status, value) = json(&folder, &format!("encode model/model.safetensors -o six.wcodec {goal}"));
    assert_eq!(status, 0, "{value}");
    let certificate = &value["certificate"];
    assert_eq!(certificate["options"]["bits"], 6.0);
    assert_eq!(
        (&certificate["texts"][0]["file"], &certificate["tasks"][0]["items"]),
        (&"text.txt".into(), &6.into())
    );
    let size = fs::metadata(folder.path().join("six.wcodec")).unwrap().len();
    assert_eq!(certificate["bytes"], size);
    assert!(
        (value["bits_per_weight"].as_f64().unwrap() - 6.0).abs() < 0.05,
        "{value}"
    );
    let check = "verify six.wcodec --certificate --against model/model.safetensors --text text.txt --task task.jsonl";
    assert_eq!(value["check_command"], format!("wcodec {check}"));
    assert_eq!(json(&folder, check).0, 0);
    // It shows in short.
    let shown = String::from_utf8(program(&folder, "inspect six.wcodec --summary").stdout).unwrap();
    assert!(
        shown.contains("text.txt: perplexity") && shown.contains("to check"),
        "{shown}"
    );
    let (_, shown) = json(&folder, "inspect six.wcodec --summary");
    assert_eq!(shown["certificate"], *certificate);
}
