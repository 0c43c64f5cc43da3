//! Help, options and what is printed.

use super::*;

#[test]
fn help_teaches() {
    let folder = folder();
    let all = fine(&folder, "--help");
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"encode") && commands.len() >= 7, "{all}");
    for command in commands {
        let help = fine(&folder, &format!("{command} --help"));
        assert!(
            help.contains("Examples:") && help.contains(&format!("wcodec {command}")),
            "{help}"
        );
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
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
fn quiet_leaves_results_and_no_remarks() {
    let folder = with_model();
    fine(&folder, "synth -o m --size 1MB --shards 2");
    for command in [
        "synth -o other.safetensors --size 1MB",
        "encode model.safetensors",
        "verify model.wcodec",
        "decode model.wcodec -o copy.safetensors",
        "inspect model.wcodec",
        "inspect model.wcodec --tools --summary",
        "bench model.wcodec --runs 1 --effort fast --backend scalar --threads 1",
        "publish m -o out",
    ] {
        let output = run(&folder, &format!("{command} --quiet"));
        assert_eq!((status(&output), text(&output.stderr)), (0, ""), "{command}");
        assert!(!output.stdout.is_empty(), "{command}");
    }
    // Errors are no remarks.
    let output = run(&folder, "verify m/config.json --quiet");
    assert!(status(&output) == 1 && text(&output.stderr).starts_with("error: "));
}

#[test]
fn publish_says_what_is_missing() {
    let folder = folder();
    fine(&folder, "synth -o m --size 1MB --shards 2");
    let said = fine(&folder, "publish m -o out");
    assert!(
        said.contains("nothing is uploaded yet") && said.contains("no --repo was given") && !said.contains("ready"),
        "{said}"
    );
    assert_eq!(json(&folder, "publish m -o out --force")["repo"], Value::Null);
    let said = fine(&folder, "publish m -o out --force --repo me/m");
    assert!(
        said.contains("hf upload me/m out") && !said.contains("--repo"),
        "{said}"
    );
}

#[test]
#[cfg(all(feature = "run", feature = "eval", not(feature = "cuda")))]
fn a_gpu_needs_a_build_for_it() {
    let folder = folder();
    fs::write(folder.path().join("t.txt"), "text").expect("a file");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/kjv");
    for command in [
        format!("run {model} --prompt x --device cuda"),
        format!("eval {model} {model} --text t.txt --device cuda:1"),
    ] {
        let message = fails(&folder, &command, 2, "usage");
        assert!(message.contains("--features cuda"), "{message}");
    }
    let message = fails(&folder, &format!("run {model} --prompt x --device gpu"), 2, "usage");
    assert!(message.contains("cpu, cuda or cuda:N"), "{message}");
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

#[test]
fn a_json_error_says_all_that_the_text_says() {
    let folder = folder();
    let message = fails(&folder, "encode", 2, "usage");
    assert!(message.contains("required") && message.contains("<IN>"), "{message}");
    assert!(message.contains("Usage: wcodec encode"), "{message}");
    let message = fails(&folder, "encode x --effort great", 2, "usage");
    assert!(message.contains("great") && message.contains("fast"), "{message}");
}

#[test]
fn an_output_that_names_a_folder_is_refused_first() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    fs::create_dir(folder.path().join("there")).expect("a folder");
    let before = names(&folder);
    for to in ["new/", "there/", "there/.", "there/..", "new.wcodec/", "."] {
        for command in ["encode model.safetensors", "decode model.wcodec", "synth --size 1MB"] {
            let message = fails(&folder, &format!("{command} -o {to} --force"), 2, "usage");
            assert!(message.contains("folder"), "{message}");
        }
    }
    assert_eq!(names(&folder), before);
}

#[test]
#[cfg(unix)]
fn pipes_are_refused_with_the_reason() {
    let folder = with_model();
    let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(made.expect("mkfifo").success());
    let before = names(&folder);
    for command in [
        "inspect pipe",
        "verify pipe",
        "verify model.safetensors --against pipe",
        "decode pipe -o out",
        "encode pipe -o out",
        "bench pipe",
        "inspect /dev/null",
    ] {
        let message = fails(&folder, command, 1, "input");
        assert!(message.contains("regular file"), "{command}: {message}");
    }
    assert_eq!(names(&folder), before);
}
