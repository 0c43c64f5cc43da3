//! `wcodec eval` from outside.

use super::*;
use serde_json::Value;
use std::process::{Command, Output};

fn run(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command.current_dir(folder).arg("eval").arg(kjv());
    command.args(arguments.split_whitespace()).output().unwrap()
}

fn json(output: &Output) -> Value {
    let stdout = std::str::from_utf8(&output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(stdout).unwrap()
}

/// A folder with a [`scaled`] candidate, a text and a task.
fn measurable(by: f64) -> TempDir {
    let folder = folder();
    scaled(&folder, by);
    file(&folder, "text.txt", TEXT);
    file(&folder, "task.jsonl", ITEMS);
    folder
}

#[test]
fn a_lossless_file_is_called_identical() {
    let folder = folder();
    encoded(&folder);
    file(&folder, "text.txt", TEXT);
    file(&folder, "task.jsonl", ITEMS);
    let all = "kjv.wcodec --text text.txt --task task.jsonl --max-kl 0 --max-accuracy-drop 0 --max-ppl-increase 0";
    let output = run(&folder, &format!("{all} --markdown out.md --items items.jsonl"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("identical: every logit is the reference's, bit by bit"),
        "{text}"
    );
    assert!(
        !text.contains("KL divergence  ") && text.contains("met: text.txt"),
        "{text}"
    );
    let markdown = fs::read_to_string(folder.path().join("out.md")).unwrap();
    assert!(
        markdown.contains("**Identical**") && !markdown.contains("| 0.000"),
        "{markdown}"
    );
    let items = fs::read_to_string(folder.path().join("items.jsonl")).unwrap();
    assert_eq!(items.lines().count(), 6);
    let first: Value = serde_json::from_str(items.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["id"], &first["reference"]["pick"]),
        (&"light".into(), &0.into())
    );
    let value = json(&run(&folder, &format!("{all} --json")));
    assert_eq!(
        (&value["candidates"][0]["identical"], &value["outcome"]),
        (&true.into(), &"met".into())
    );
    assert_eq!(value["candidates"][0]["texts"][0]["divergence"]["mean"], 0.0);
}

#[test]
fn limits_decide_over_the_exit_status() {
    let folder = measurable(1.1);
    let status = |arguments: &str| {
        let output = run(&folder, &format!("changed.safetensors --json --quiet {arguments}"));
        let outcome = json(&output)["outcome"].as_str().unwrap_or("none").to_owned();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), outcome, said)
    };
    let (code, outcome, said) = status("--text text.txt");
    assert_eq!((code, outcome.as_str(), said.as_str()), (0, "none", ""));
    assert_eq!(status("--text text.txt --max-kl 1").0, 0);
    let (code, outcome, said) = status("--text text.txt --max-kl 1e-9");
    assert_eq!((code, outcome.as_str()), (1, "exceeded"));
    assert!(
        said.starts_with("error: text.txt: KL divergence") && said.lines().count() == 1,
        "{said}"
    );
    // Six items tell nothing about a point.
    let (code, outcome, said) = status("--task task.jsonl --max-accuracy-drop 1");
    assert_eq!((code, outcome.as_str()), (1, "uncertain"));
    assert!(said.contains("--accept-uncertain"), "{said}");
    assert_eq!(
        status("--task task.jsonl --max-accuracy-drop 1 --accept-uncertain").0,
        0
    );
    assert_eq!(status("--task task.jsonl --max-accuracy-drop 100").0, 0);
}

#[test]
fn candidates_together_are_as_each_by_itself() {
    let folder = measurable(1.1);
    encoded(&folder);
    let on = "--text text.txt --task task.jsonl --max-kl 0 --json --quiet";
    let figures = |value: &Value| {
        let mut figures = value.clone();
        for part in ["texts", "tasks"] {
            for one in figures[part].as_array_mut().unwrap() {
                for time in ["reference_seconds", "candidate_seconds"] {
                    one.as_object_mut().unwrap().remove(time).unwrap();
                }
            }
        }
        figures.as_object_mut().unwrap().remove("loading_seconds");
        figures
    };
    let together = run(&folder, &format!("changed.safetensors kjv.wcodec {on}"));
    let said = String::from_utf8_lossy(&together.stderr).into_owned();
    assert!(said.contains("changed.safetensors: text.txt: KL"), "{said}");
    let together = json(&together);
    assert_eq!(together["outcome"], "exceeded");
    for (i, name) in ["changed.safetensors", "kjv.wcodec"].into_iter().enumerate() {
        let alone = json(&run(&folder, &format!("{name} {on}")));
        assert_eq!(figures(&together["candidates"][i]), figures(&alone["candidates"][0]));
    }
    assert_eq!(together["candidates"][1]["identical"], true);
    let rate = together["candidates"][0]["linear_bits_per_weight"].as_f64();
    assert_eq!(rate, Some(16.0));
}

#[test]
fn side_by_side_stands_which_candidate_passes() {
    let folder = measurable(1.1);
    encoded(&folder);
    let on = "changed.safetensors kjv.wcodec --text text.txt --task task.jsonl --quiet";
    let output = run(&folder, &format!("{on} --max-kl 0 --markdown out.md --html out.html"));
    let text = String::from_utf8(output.stdout).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (markdown, page) = (read("out.md"), read("out.html"));
    let rows = |text: &str, start: &str, end: &str| {
        let lines = text.lines().map(str::trim);
        lines.filter(|l| l.starts_with(start) && l.ends_with(end)).count()
    };
    // A table for the text, and one for the task.
    assert_eq!(rows(&text, "candidate ", " verdict"), 2, "{text}");
    assert_eq!(rows(&text, "changed.safetensors ", " EXCEEDED"), 2, "{text}");
    assert_eq!(rows(&text, "kjv.wcodec ", " met"), 2, "{text}");
    assert_eq!(rows(&markdown, "| candidate |", "| verdict |"), 2, "{markdown}");
    assert_eq!(
        rows(&markdown, "| `changed.safetensors` |", "| EXCEEDED |"),
        2,
        "{markdown}"
    );
    assert_eq!(rows(&markdown, "| `kjv.wcodec` |", "| met |"), 2, "{markdown}");
    assert_eq!(page.matches(">verdict</th>").count(), 2, "{page}");
    // Where there is no limit, there is no verdict.
    let output = run(&folder, &format!("{on} --markdown without.md"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("bits/weight") && !text.contains("verdict"), "{text}");
    assert!(!read("without.md").contains("verdict"));
}

#[test]
fn the_bound_that_decided_is_named() {
    let folder = measurable(1.01);
    let on = "changed.safetensors --text text.txt --task task.jsonl --max-accuracy-drop 1 --max-kl 1";
    let output = run(&folder, on);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // No item is lost or gained, of which a bootstrap says nothing.
    assert!(
        text.contains("may be up to 45.9258, the one-sided 97.5 % bound"),
        "{text}"
    );
    assert!(text.contains("upper end of the two-sided 95 % interval"), "{text}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Clopper and Pearson"), "{said}");
    // The same sentence everywhere.
    let output = run(&folder, &format!("{on} --markdown out.md --html out.html"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sentence = text
        .lines()
        .find(|line| line.starts_with("  may be up to"))
        .unwrap()
        .trim();
    assert!(String::from_utf8_lossy(&output.stderr).contains(sentence), "{sentence}");
    for name in ["out.md", "out.html"] {
        let report = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(report.replace("&#x27;", "'").contains(sentence), "{name}: {sentence}");
    }
}

/// A task with other questions than `ITEMS`.
fn other_items() -> String {
    let item = |i: usize| {
        let choices = [" the king", " they", " when"];
        serde_json::json!({ "context": format!("And it came to pass in the year {i} that"), "choices": choices, "gold": i % 3 })
    };
    (0..30).map(|i| format!("{}\n", item(i))).collect()
}

#[test]
fn of_several_tasks_the_items_of_all_are_told_together() {
    let folder = measurable(1.7);
    file(&folder, "other.jsonl", &other_items());
    let on = "changed.safetensors --task task.jsonl --task other.jsonl --max-accuracy-drop 30";
    let output = run(
        &folder,
        &format!("{on} --pool-tasks --json --markdown out.md --html out.html"),
    );
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let candidate = &value["candidates"][0];
    let sum = |field: &str, kind: &dyn Fn(&Value) -> Value| {
        let tasks = candidate["tasks"].as_array().unwrap().iter();
        tasks.map(|t| kind(t)["paired"][field].as_u64().unwrap()).sum::<u64>()
    };
    let plain = |t: &Value| t["accuracy"].clone();
    // Of a task of other kinds, too, there is no normalised accuracy.
    let normalised = |t: &Value| {
        if t["normalised"].is_null() {
            plain(t)
        } else {
            t["normalised"].clone()
        }
    };
    let together = &candidate["together"];
    assert_eq!(together["items"], 36);
    assert!(sum("gained", &plain) + sum("lost", &plain) > 0, "{candidate}");
    for field in ["gained", "lost"] {
        assert_eq!(together["accuracy"]["paired"][field], sum(field, &plain));
        assert_eq!(together["normalised"]["paired"][field], sum(field, &normalised));
    }
    // One check for each accuracy, of all items.
    let checks = candidate["verdict"]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 2, "{checks:?}");
    for (check, kind) in checks.iter().zip(["accuracy", "normalised"]) {
        let close = check["value"].as_f64().unwrap() + together[kind]["paired"]["delta_points"].as_f64().unwrap();
        assert!(close.abs() < 1e-9 && check["file"] == "all tasks together", "{check}");
        assert!(check["upper"].as_f64() > check["value"].as_f64(), "{check}");
    }
    // Each by itself is held to it without the option, and every report has the row.
    let output = run(&folder, on);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("all tasks together: 36 items"), "{text}");
    for name in ["out.md", "out.html"] {
        let report = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(report.contains("all tasks together"), "{name}");
    }
    // The plot marks the limit where it is held: here at the two accuracies of all items.
    let page = fs::read_to_string(folder.path().join("out.html")).unwrap();
    assert_eq!(page.matches("class=\"limit\"").count(), 2);
    // A question that is in two tasks would count twice.
    file(
        &folder,
        "again.jsonl",
        &format!("{}{ITEMS}", other_items().lines().next().unwrap().to_owned() + "\n"),
    );
    let twice = "changed.safetensors --task task.jsonl --task again.jsonl --max-accuracy-drop 30 --pool-tasks";
    let output = run(&folder, twice);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("again.jsonl:2") && said.contains("task.jsonl:1"),
        "{said}"
    );
    assert_eq!(
        run(&folder, "changed.safetensors --task task.jsonl --pool-tasks")
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn reports_replace_nothing_unasked() {
    let folder = folder();
    encoded(&folder);
    file(&folder, "text.txt", TEXT);
    file(&folder, "task.jsonl", ITEMS);
    let on = "kjv.wcodec --text text.txt --task task.jsonl";
    for flag in ["--html", "--markdown", "--items"] {
        file(&folder, "mine", "mine");
        let output = run(&folder, &format!("{on} {flag} mine"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
        assert!(said.contains("mine exists") && said.contains("--force"), "{said}");
        assert_eq!(fs::read_to_string(folder.path().join("mine")).unwrap(), "mine");
        assert!(run(&folder, &format!("{on} {flag} mine --force")).status.success());
        assert_ne!(fs::read_to_string(folder.path().join("mine")).unwrap(), "mine");
    }
    let output = run(&folder, &format!("{on} --html one --markdown one"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn no_output_takes_the_place_of_an_input() {
    let folder = folder();
    encoded(&folder);
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        fs::copy(kjv().join(name), folder.path().join(name)).unwrap();
    }
    file(&folder, "text.txt", TEXT);
    file(&folder, "task.jsonl", ITEMS);
    fs::create_dir(folder.path().join("sub")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("text.txt", folder.path().join("link.txt")).unwrap();
    let run = |arguments: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        let command = command.current_dir(&folder).args(arguments.split_whitespace());
        command.output().unwrap()
    };
    let refused = |arguments: String, name: &str| {
        let path = folder.path().join(name);
        let before = fs::read(&path).unwrap();
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(&format!("{name} is an input of this run")), "{said}");
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
    };
    let on = "eval model.safetensors kjv.wcodec --text text.txt --task task.jsonl --force";
    let inputs = [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "kjv.wcodec",
        "text.txt",
        "task.jsonl",
    ];
    for name in inputs {
        refused(format!("{on} --html sub/../{name}"), name);
    }
    for flag in ["--markdown", "--items", "--save-reference", "--resume"] {
        refused(format!("{on} {flag} config.json"), "config.json");
    }
    #[cfg(unix)]
    refused(format!("{on} --html link.txt"), "link.txt");
    for name in ["model.safetensors", "config.json", "text.txt"] {
        let on = "baseline model.safetensors --text text.txt --force --html";
        refused(format!("{on} {name}"), name);
    }
}

#[test]
fn what_is_too_long_is_found_before_the_work() {
    let folder = folder();
    encoded(&folder);
    file(&folder, "text.txt", TEXT);
    file(&folder, "task.jsonl", ITEMS);
    let long = format!("{{\"context\": {TEXT:?}, \"target\": \" day\"}}\n");
    file(&folder, "long.jsonl", &format!("{ITEMS}{long}"));
    let on = "kjv.wcodec --text text.txt --task task.jsonl --task long.jsonl --resume so-far";
    let output = run(&folder, on);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("long.jsonl:7: ") && said.contains("256 positions"),
        "{said}"
    );
    // No model was loaded: nothing is kept.
    assert!(!folder.path().join("so-far").exists());
    let output = run(
        &folder,
        &format!("{on} --too-long truncate --html out.html --markdown out.md"),
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let what = "1 item of more tokens than the model has positions: the first tokens are left out";
    assert!(output.status.success() && text.contains(what), "{text}");
    for name in ["out.md", "out.html"] {
        assert!(
            fs::read_to_string(folder.path().join(name)).unwrap().contains(what),
            "{name}"
        );
    }
    let value = json(&run(&folder, &format!("{on} --too-long skip --json")));
    assert_eq!(value["candidates"][0]["tasks"][1]["skipped"], 1);
    let output = run(&folder, "kjv.wcodec --text text.txt --window 300");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--window"));
}

#[test]
fn quiet_leaves_the_report() {
    let folder = folder();
    encoded(&folder);
    file(&folder, "text.txt", TEXT);
    let output = run(&folder, "kjv.wcodec --text text.txt --quiet");
    assert!(output.stderr.is_empty() && String::from_utf8_lossy(&output.stdout).contains("identical"));
}

#[test]
#[cfg(unix)]
fn a_run_that_is_stopped_says_how_to_go_on() {
    let folder = folder();
    encoded(&folder);
    file(&folder, "text.txt", &TEXT.repeat(400));
    for (keep, what) in [
        ("--resume so-far", "kept in so-far"),
        ("--save-reference ref", "kept in ref.partial"),
        ("", "--resume FILE"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        command
            .current_dir(&folder)
            .arg("eval")
            .arg(kjv())
            .args(["kjv.wcodec", "--text", "text.txt"]);
        command
            .args(keep.split_whitespace())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Its first line of progress: from there on, it stops by itself.
        let mut said = String::new();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        let killed = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
        assert!(killed.unwrap().success());
        std::io::Read::read_to_string(&mut lines, &mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        assert!(said.lines().last().unwrap().contains(what), "{said}");
    }
}

#[test]
fn mistakes_are_said() {
    let folder = folder();
    file(&folder, "text.txt", TEXT);
    let kind = |arguments: &str| {
        let output = run(&folder, &format!("{arguments} --json --quiet"));
        (
            output.status.code().unwrap(),
            json(&output)["error"]["kind"].as_str().unwrap().to_owned(),
        )
    };
    let usage = (2, "usage".to_owned());
    assert_eq!(kind("x.wcodec"), usage);
    assert_eq!(kind("x.wcodec --text text.txt --max-accuracy-drop 1"), usage);
    assert_eq!(kind("x.wcodec x.wcodec --text text.txt"), usage);
    let says = |arguments: &str| String::from_utf8(run(&folder, arguments).stderr).unwrap();
    let said = says("x.wcodec");
    assert!(said.contains("--text") && said.contains("--task"), "{said}");
    let said = says("x.wcodec --task t.jsonl --windows 3");
    assert!(said.contains("--text <FILE>"), "{said}");
    encoded(&folder);
    let said = says("kjv.wcodec kjv.wcodec --text text.txt");
    assert!(said.contains("kjv.wcodec is given twice"), "{said}");
    assert_eq!(kind("x.wcodec --text text.txt --max-kl -1"), usage);
    assert_eq!(kind("x.wcodec --text text.txt --stride 0"), usage);
    assert_eq!(kind("x.wcodec --text text.txt --html ./same --resume same"), usage);
    assert_eq!(kind("x.wcodec --text text.txt").0, 1);
    assert_eq!(kind("x.wcodec --text no.txt"), (1, "io".into()));
}

#[test]
fn a_reader_that_goes_away_hides_no_verdict_and_loses_no_results() {
    let folder = folder();
    scaled(&folder, 1.1);
    file(&folder, "text.txt", TEXT);
    let on = "changed.safetensors --text text.txt --resume so-far";
    let unread = |more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        command.current_dir(&folder).arg("eval").arg(kjv());
        let arguments = format!("{on} {more}");
        let pipe = std::process::Stdio::piped;
        command.args(arguments.split_whitespace()).stdout(pipe()).stderr(pipe());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for json in ["", "--json"] {
        let (code, said) = unread(&format!("--max-kl 1e-9 {json}"));
        assert!(
            code == Some(1) && said.contains("error: text.txt: KL divergence"),
            "{code:?} {said}"
        );
        assert_eq!(unread(json).0, Some(0));
    }
    assert!(folder.path().join("so-far").exists());
    let text = String::from_utf8(run(&folder, on).stdout).unwrap();
    assert!(text.contains("in an earlier run"), "{text}");
    assert!(!folder.path().join("so-far").exists());
}

#[test]
fn a_reference_of_ones_own_is_not_removed() {
    let folder = folder();
    encoded(&folder);
    changed(&folder, "model.norm.weight", Tensor::clone);
    file(&folder, "text.txt", TEXT);
    let on = "--text text.txt --quiet";
    assert!(
        run(&folder, &format!("kjv.wcodec {on} --save-reference so-far.reference"))
            .status
            .success()
    );
    let before = fs::read(folder.path().join("so-far.reference")).unwrap();
    let output = run(&folder, &format!("kjv.wcodec changed.safetensors {on} --resume so-far"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(folder.path().join("so-far.reference")).unwrap() == before);
    assert!(!folder.path().join("so-far").exists());
}

#[test]
fn names_do_not_steer_the_terminal() {
    let folder = folder();
    scaled(&folder, 3.0);
    let name = "t\u{1b}[31m\u{9b}.txt";
    file(&folder, name, TEXT);
    file(
        &folder,
        "task.jsonl",
        &ITEMS.replace("\"id\": \"", "\"id\": \"\\u001b[2J\\nmet: "),
    );
    let output = run(
        &folder,
        &format!("changed.safetensors --text {name} --task task.jsonl --max-kl 1e-9"),
    );
    for said in [output.stdout, output.stderr] {
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("t?[31m?.txt") && !said.contains("\nmet: "), "{said}");
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    }
    let output = run(&folder, &format!("changed.safetensors --text no-{name}"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-t?[31m?.txt"));
}

#[test]
fn one_window_has_no_interval() {
    let folder = folder();
    scaled(&folder, 1.01);
    file(&folder, "text.txt", TEXT);
    let on = "changed.safetensors --text text.txt --windows 1 --max-kl 1 --max-ppl-increase 50";
    let output = run(&folder, &format!("{on} --html out.html --markdown out.md"));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("one window, or one text, has no interval") && text.contains("± ?"),
        "{text}"
    );
    let reports = ["out.html", "out.md"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
    for report in reports.iter().chain([&text]) {
        assert!(
            !report.contains("inf ") && !report.contains("inf<") && !report.contains("NaN"),
            "{report}"
        );
    }
}

/// A reference without files of its own has the first candidate's, and all candidates are held to them.
#[test]
fn all_candidates_are_held_to_one_setting() {
    let folder = folder();
    fs::copy(kjv().join("model.safetensors"), folder.path().join("bare.safetensors")).unwrap();
    file(&folder, "text.txt", TEXT);
    for name in ["first", "second"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            fs::copy(kjv().join(file), folder.path().join(name).join(file)).unwrap();
        }
    }
    let change = |file: &str, from: &str, to: &str| {
        let path = folder.path().join("second").join(file);
        let changed = fs::read_to_string(&path).unwrap().replacen(from, to, 1);
        fs::write(path, changed).unwrap();
    };
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        let arguments = "eval bare.safetensors first second --text text.txt --json";
        command
            .current_dir(&folder)
            .args(arguments.split_whitespace())
            .output()
            .unwrap()
    };
    change("config.json", "10000.0", "20000.0");
    let output = run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("second: its configuration differs") && said.contains("rope_theta 10000 and 20000"),
        "{said}"
    );
    let value = json(&output);
    assert_eq!(
        (
            &value["candidates"][0]["identical"],
            &value["candidates"][1]["identical"]
        ),
        (&true.into(), &false.into())
    );
    change("tokenizer.json", "\"unk_token\": null", "\"unk_token\": \"x\"");
    let output = run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("is not that of the reference"),
        "{said}"
    );
}
