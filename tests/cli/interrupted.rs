//! Writing that is cut short: nothing stands under the final name that is not whole.

use super::*;
use std::time::{Duration, Instant};

/// A folder with a checkpoint that takes some tenths of a second to encode.
fn with_large_model() -> TempDir {
    let folder = folder();
    fine(&folder, "synth -o model.safetensors --size 60MB --quiet");
    fine(&folder, "encode model.safetensors -o model.wcodec --quiet");
    folder
}

#[test]
fn a_kill_leaves_no_half_file() {
    let folder = with_large_model();
    let entries = || fs::read_dir(&folder).expect("the folder is there").count();
    let before = entries();
    for (command, to, whole) in [
        ("encode model.safetensors", "out.wcodec", "model.wcodec"),
        ("decode model.wcodec", "out.safetensors", "model.safetensors"),
    ] {
        let whole = fs::read(folder.path().join(whole)).expect("a file");
        let mut cut_short = 0;
        for delay in [0, 5, 20, 50, 100] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_wcodec"))
                .current_dir(&folder)
                .args(command.split(' '))
                .args(["-o", to, "--quiet", "--threads", "1"])
                .spawn()
                .expect("the program starts");
            // Writing has begun when there is a file of any name.
            let begun = Instant::now();
            while entries() == before && begun.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(delay));
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
            match fs::read(folder.path().join(to)) {
                Ok(bytes) => assert!(bytes == whole, "{command}, killed after {delay} ms"),
                Err(_) => cut_short += 1,
            }
            for entry in fs::read_dir(&folder).expect("the folder is there") {
                let path = entry.expect("an entry").path();
                if !path.ends_with("model.wcodec") && !path.ends_with("model.safetensors") {
                    fs::remove_file(path).expect("a file that is left");
                }
            }
        }
        assert!(cut_short > 0, "{command} was never cut short");
    }
}

#[test]
fn a_full_disk_leaves_no_file() {
    let folder = with_large_model();
    let before = names(&folder);
    for (command, to) in [
        ("encode model.safetensors", "out.wcodec"),
        ("decode model.wcodec", "out.safetensors"),
        ("synth --size 60MB", "out.safetensors"),
    ] {
        // A limit on the size of files stands in for the disk: writing fails the same way.
        let program = env!("CARGO_BIN_EXE_wcodec");
        let limited = format!("trap '' XFSZ; ulimit -f 10000; exec {program} {command} -o {to} --quiet");
        let output = Command::new("sh").current_dir(&folder).args(["-c", &limited]).output();
        let output = output.expect("a shell");
        let stderr = text(&output.stderr);
        assert_eq!(status(&output), 1, "{command}: {stderr}");
        assert!(stderr.contains("writing") && stderr.contains("out."), "{stderr}");
        assert_eq!(names(&folder), before, "{command}");
    }
}
