//! The program, killed at any time, goes on where it was.

use super::*;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The result without what a clock says.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.ends_with("seconds"));
            fields.values_mut().for_each(without_times);
        }
        Value::Array(list) => list.iter_mut().for_each(without_times),
        _ => {}
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_json() {
    let folder = folder();
    encoded(&folder);
    scaled(&folder, 1.1);
    file(&folder, "text.txt", &TEXT.repeat(12));
    file(&folder, "task.jsonl", &ITEMS.repeat(60));
    let arguments = "changed.safetensors kjv.wcodec --text text.txt --task task.jsonl --json --quiet --threads 1";
    let command = |more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        command.current_dir(&folder).arg("eval").arg(kjv());
        command.args(arguments.split(' ')).args(more.split_whitespace());
        command
    };
    let json = |stdout: &[u8]| {
        let mut value: Value = serde_json::from_slice(stdout).unwrap();
        without_times(&mut value);
        value
    };
    let expected = json(&command("").output().unwrap().stdout);
    assert_eq!(expected["candidates"].as_array().map(Vec::len), Some(2));
    let so_far = || fs::metadata(folder.path().join("so-far")).map_or(0, |m| m.len());

    for keep in ["", "--save-reference kjv.reference"] {
        let resumed = format!("--resume so-far {keep}");
        let (mut kills, mut state) = (0, 88172645463325252u64);
        let result = loop {
            let mut child = command(&resumed).stdout(Stdio::piped()).spawn().unwrap();
            // Somewhere behind where it was: in a batch, or while one is written.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let goal = so_far() + state % 50_000;
            let running = |child: &mut Child| child.try_wait().unwrap().is_none();
            while so_far() < goal && running(&mut child) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros(state % 20_000));
            if running(&mut child) {
                // SIGKILL on Unix. It may come when all is out already: then the next run takes what has its final
                // name, which is refused if it is not whole.
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                continue;
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            break json(&output.stdout);
        };
        println!("killed {kills} times");
        assert!(kills > 1 && result == expected, "killed {kills} times: {result}");
        assert!(!folder.path().join("so-far").exists());
        assert!(!folder.path().join("so-far.reference").exists());
        assert_eq!(folder.path().join("kjv.reference").exists(), !keep.is_empty());
    }
}
