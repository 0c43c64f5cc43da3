//! The `wcodec` program and the Hub, from outside.

#[path = "hub/server.rs"]
mod server;

use serde_json::Value;
use server::{COMMIT, Fault, Server};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const ID: &str = "org/model";

/// A folder to work in, with the cache `cache`, and a server.
struct Setting {
    folder: TempDir,
    server: Server,
}

impl Setting {
    fn new() -> Self {
        let s = Self {
            folder: tempfile::tempdir().unwrap(),
            server: Server::new(),
        };
        s.fine("synth -o model.safetensors --size 2MB");
        s.fine("encode model.safetensors");
        for name in ["model.safetensors", "model.wcodec"] {
            s.server.add(ID, name, fs::read(s.path(name)).unwrap());
        }
        s.server.add(ID, "config.json", b"{}".to_vec());
        s.server.add(ID, "model.gguf", b"other".to_vec());
        s
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        self.run_at(&self.server.url, arguments)
    }

    fn command(&self, endpoint: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "WCODEC_BACKEND"] {
            command.env_remove(name);
        }
        command
            .current_dir(&self.folder)
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HOME", self.path("cache"));
        command
    }

    fn run_at(&self, endpoint: &str, arguments: &str) -> Output {
        let mut command = self.command(endpoint);
        command.args(arguments.split_whitespace());
        command.output().expect("the program starts")
    }

    #[track_caller]
    fn fine(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "wcodec {arguments}: {text}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.fine(&format!("{arguments} --json"))).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &str, status: i32, kind: &str) {
        let output = self.run(&format!("{arguments} --json --quiet"));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"]["kind"], kind, "{value}");
        assert_eq!(output.status.code(), Some(status));
    }

    fn sent(&self) -> u64 {
        self.server.log().iter().map(|l| l.sent).sum()
    }
}

fn names(value: &Value) -> Vec<&str> {
    let files = value["files"].as_array().unwrap();
    files.iter().map(|f| f["path"].as_str().unwrap()).collect()
}

#[test]
fn pull_fills_the_shared_cache() {
    let s = Setting::new();
    let value = s.json("pull org/model");
    assert_eq!(names(&value), ["config.json", "model.wcodec"]);
    assert_eq!(value["commit"], COMMIT);
    let folder = Path::new(value["folder"].as_str().unwrap());
    assert!(folder.starts_with(s.path("cache/hub/models--org--model/snapshots")));
    assert_eq!(
        fs::read(folder.join("model.wcodec")).unwrap(),
        fs::read(s.path("model.wcodec")).unwrap()
    );
    s.server.log();
    s.fine("pull org/model@main");
    assert_eq!(s.sent(), 0);
    let value = s.json("pull hf://org/model --include *.safetensors --include con*");
    assert_eq!(names(&value), ["config.json", "model.safetensors"]);
    s.fails("pull org/model --include nothing", 1, "not-found");
    s.fails("pull org/other", 1, "not-allowed");
    s.fails("pull org/model@none", 1, "not-found");
    s.fails("pull ../x", 2, "usage");
    s.fails("pull org/model --include *.safetensors --only-layers 0..2", 2, "usage");
    s.fails("pull org/model --only-layers 3..2", 2, "usage");
    s.fails("pull org/model --only-layers 40..50", 2, "usage");
}

#[test]
fn only_shards_of_those_layers_are_pulled() {
    let s = Setting::new();
    let shards = ["model-1.wcodec", "model-2.wcodec", "model-3.wcodec"];
    for (i, shard) in shards.iter().enumerate() {
        s.server.add("org/shards", shard, vec![i as u8; 100]);
    }
    let map = r#"{"weight_map":{"embed":"model-1.wcodec","layers.0.w":"model-1.wcodec",
        "layers.1.w":"model-2.wcodec","layers.2.w":"model-3.wcodec"}}"#;
    s.server.add("org/shards", "model.wcodec.index.json", map.into());
    let value = s.json("pull org/shards --only-layers 2..9");
    assert_eq!(
        names(&value),
        ["model-1.wcodec", "model-3.wcodec", "model.wcodec.index.json"]
    );
}

#[test]
fn layers_of_a_single_file_are_pulled() {
    let s = Setting::new();
    s.server.log();
    let value = s.json("pull org/model --only-layers 0..1");
    let file = &value["files"][1];
    assert_eq!((&file["path"], &file["part"]), (&"model.wcodec".into(), &true.into()));
    assert!(file["bytes"].as_u64() < Some(fs::metadata(s.path("model.wcodec")).unwrap().len()));
    assert!(
        !Path::new(value["folder"].as_str().unwrap())
            .join("model.wcodec")
            .exists()
    );
    s.json("pull org/model");
    let whole = s
        .path("cache/hub/models--org--model/snapshots")
        .join(COMMIT)
        .join("model.wcodec");
    assert_eq!(fs::read(whole).unwrap(), fs::read(s.path("model.wcodec")).unwrap());
}

/// A repository with the original's shards beside the encoded file.
#[test]
fn an_index_of_safetensors_is_not_that_of_encoded_files() {
    let s = Setting::new();
    let map = r#"{"weight_map":{"layers.0.w":"model.safetensors"}}"#;
    s.server.add(ID, "model.safetensors.index.json", map.into());
    let value = s.json("pull org/model --only-layers 0..1");
    assert!(names(&value).contains(&"model.wcodec"), "{value}");

    let map = map.replace("safetensors", "wcodec");
    s.server.add(ID, "model.wcodec.index.json", map.into());
    s.fine("decode hf://org/model@main -o back");
    s.fine("encode hf://org/model@main -o small");
    for name in ["back/model.safetensors.index.json", "small/model.wcodec.index.json"] {
        assert!(s.path(name).exists(), "{name}");
    }
}

#[test]
fn what_is_published_is_pulled_and_restored() {
    let s = Setting::new();
    fs::create_dir(s.path("m")).unwrap();
    fs::copy(s.path("model.safetensors"), s.path("m/model.safetensors")).unwrap();
    fs::write(s.path("m/README.md"), "# Mine\n").unwrap();
    let value = s.json("publish m --repo me/m");
    assert_eq!(value["upload"], "hf upload me/m m.wcodec");
    let card = fs::read_to_string(s.path("m.wcodec/README.md")).unwrap();
    assert!(
        card.starts_with("# Mine\n") && card.contains("repo(\"me/m\")"),
        "{card}"
    );
    for name in ["README.md", "model.wcodec", ".gitattributes"] {
        s.server
            .add("me/m", name, fs::read(s.path(&format!("m.wcodec/{name}"))).unwrap());
    }
    s.fine("decode hf://me/m -o restored");
    let restored = fs::read(s.path("restored/model.safetensors")).unwrap();
    assert_eq!(restored, fs::read(s.path("m/model.safetensors")).unwrap());
    s.fails("publish m --repo me/m", 1, "exists");
    s.fails("publish model.safetensors -o other", 2, "usage");
}

#[test]
fn commands_take_files_on_the_hub() {
    let s = Setting::new();
    let value = s.json("inspect hf://org/model/model.wcodec --summary");
    assert_eq!(value["file_bytes"], fs::metadata(s.path("model.wcodec")).unwrap().len());
    s.server.log();
    assert_eq!(s.json("verify hf://org/model@main/model.wcodec")["ok"], true);
    s.json("verify hf://org/model/model.wcodec --against model.safetensors");
    assert!(!s.path("cache").exists());

    // Outputs are written here, not into the cache.
    fs::rename(s.path("model.safetensors"), s.path("original")).unwrap();
    fs::rename(s.path("model.wcodec"), s.path("encoded")).unwrap();
    s.fine("decode hf://org/model/model.wcodec");
    s.fine("encode hf://org/model/model.safetensors");
    for (name, expected) in [("model.safetensors", "original"), ("model.wcodec", "encoded")] {
        assert_eq!(fs::read(s.path(name)).unwrap(), fs::read(s.path(expected)).unwrap());
    }
    s.fine("encode hf://org/model -o whole");
    assert!(s.path("whole/model.wcodec").exists() && s.path("whole/config.json").exists());
    assert!(!s.path("whole/model.gguf").exists());
    // Nor is what another command has brought into the cache.
    s.fine("pull org/model --include *.gguf --include *.wcodec");
    s.fine("encode hf://org/model -o again");
    assert!(s.path("again/model.wcodec").exists() && !s.path("again/model.gguf").exists());
    s.fine("encode hf://org/model -o quantised --bits 6");
    assert!(s.path("quantised/model.wcodec").exists() && !s.path("quantised/model.gguf").exists());
    s.fine("decode hf://org/model -o back");
    assert!(s.path("back/model.safetensors").exists() && !s.path("back/model.gguf").exists());
    s.fails("inspect hf://org/model", 2, "usage");
    s.fails("inspect hf://org/model/none", 1, "not-found");
    s.server.always(Fault::IgnoreRange);
    s.server.add(ID, "fresh.wcodec", vec![7; 1 << 20]);
    s.fails("inspect hf://org/model@main/fresh.wcodec", 1, "protocol");
}

#[test]
fn whole_repositories_are_published_verified_and_measured() {
    let s = Setting::new();
    s.server.change(ID, |repo| {
        repo.files.remove("model.wcodec");
    });
    s.fails("publish hf://org/model --repo me", 2, "usage");
    s.fails("publish hf://org/model/model.safetensors", 2, "usage");
    assert!(!s.path("cache").exists(), "refused before it is downloaded");
    let value = s.json("publish hf://org/model --repo me/small -o out");
    assert_eq!(value["upload"], "hf upload me/small out");
    let files: Vec<_> = fs::read_dir(s.path("out")).unwrap().collect();
    for file in &files {
        let path = file.as_ref().unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        s.server.add("me/small", name, fs::read(&path).unwrap());
    }
    assert_eq!(files.len(), 4, "config, weights, card, attributes");

    assert_eq!(s.json("verify hf://me/small")["files"], 1);
    let value = s.json("verify hf://me/small --against hf://org/model");
    assert_eq!((&value["compared"], &value["files"]), (&1.into(), &1.into()));
    let value = s.json("verify hf://me/small/model.wcodec --against hf://org/model/model.safetensors");
    assert_eq!(value["compared"], 1);
    s.server.add(ID, "config.json", b"{ }".to_vec());
    s.server.change(ID, |repo| repo.commit = "1".repeat(40));
    s.fails("verify hf://me/small --against hf://org/model", 1, "differs");

    let value = s.json("bench hf://me/small/model.wcodec --runs 1 --effort fast --threads 1");
    assert!(value["tensors"].as_u64() > Some(0));
    s.fails("bench hf://me/small", 2, "usage");
}

/// The cache answers where the Hub does not, and that is said.
#[test]
fn an_unreachable_hub_is_said_to_be() {
    let s = Setting::new();
    s.fine("pull org/model");
    let begun = std::time::Instant::now();
    let output = s.run_at("http://127.0.0.1:9", "pull org/model");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("cannot be reached") && said.contains(COMMIT), "{said}");
    assert!(begun.elapsed().as_secs() < 5, "two attempts");
    let output = s.run_at("http://127.0.0.1:9", "pull org/model --json --quiet");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["commit"], &value["unreachable"]),
        (&COMMIT.into(), &true.into())
    );
    assert_eq!(s.json("pull org/model")["unreachable"], false);
}

/// Nor is a part of a model taken for it.
#[test]
fn what_the_cache_has_in_part_is_not_published() {
    let s = Setting::new();
    let map = r#"{"weight_map":{"layers.0.w":"model-1.safetensors","layers.1.w":"model-2.safetensors"}}"#;
    s.server.add("org/shards", "model.safetensors.index.json", map.into());
    for name in ["model-1.safetensors", "model-2.safetensors"] {
        s.server
            .add("org/shards", name, fs::read(s.path("model.safetensors")).unwrap());
    }
    s.fine("pull org/shards --only-layers 0..1");
    let output = s.run_at("http://127.0.0.1:9", "publish hf://org/shards -o out");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("model-2.safetensors: a shard"), "{said}");
    assert!(output.status.code() == Some(1) && !s.path("out").exists());
    s.fine("publish hf://org/shards -o out");
}

#[cfg(feature = "run")]
#[test]
fn a_model_runs_from_the_hub() {
    let s = Setting::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let bytes = fs::read(model.join(name)).unwrap();
        fs::write(s.path(name), &bytes).unwrap();
        s.server.add("org/plain", name, bytes.clone());
        s.server.add("org/small", name, bytes);
    }
    s.fine("encode model.safetensors --force");
    s.server
        .add("org/small", "model.wcodec", fs::read(s.path("model.wcodec")).unwrap());
    let run = |model: &str| {
        s.json(&format!(
            "run {model} --prompt And.God.said --temperature 0 --max-tokens 20"
        ))
    };
    let (plain, small) = (run("org/plain"), run("hf://org/small"));
    assert_eq!(
        (&plain["weights"], &small["weights"]),
        (&"safetensors".into(), &"wcodec".into())
    );
    assert_eq!(plain["text"], small["text"]);
    assert_eq!(small["tokens"], 20);
    // All of it is in the cache now.
    s.server.log();
    assert_eq!(run("org/small")["text"], small["text"]);
    let again = s.sent();
    assert!(again < 100_000, "{again} bytes again");
    s.fails("run org/none --prompt x", 1, "not-allowed");
}

/// A model from its folder through publishing, a server and the cache to text: that of its safetensors,
/// and that of Python's transformers if `WCODEC_PYTHON` names a Python that has it.
///
/// ```text
/// WCODEC_MODEL=FOLDER WCODEC_PYTHON=python3 cargo test --release --test hub_cli -- --ignored --nocapture
/// ```
#[cfg(feature = "run")]
#[test]
#[ignore = "takes a model's folder in WCODEC_MODEL"]
fn a_model_of_ones_own_from_end_to_end() {
    let folder = std::env::var("WCODEC_MODEL").expect("WCODEC_MODEL names a folder");
    let s = Setting::new();
    let published = s.json(&format!("publish {folder} --repo me/small -o out"));
    println!(
        "published: {} -> {} bytes",
        published["bytes"], published["encoded_bytes"]
    );
    for file in fs::read_dir(s.path("out")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        s.server.add("me/small", name, fs::read(&path).unwrap());
    }
    assert_eq!(
        s.json(&format!("verify hf://me/small --against {folder}"))["compared"],
        published["files"]
    );
    let arguments = [
        "--raw",
        "--temperature",
        "0",
        "--max-tokens",
        "48",
        "--prompt",
        "The capital of France is",
    ];
    let write = |model: &str| -> Value {
        let output = s
            .command(&s.server.url)
            .args(["run", model, "--json"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (hub, plain) = (write("me/small"), write(&folder));
    assert_eq!(
        (&hub["weights"], &plain["weights"]),
        (&"wcodec".into(), &"safetensors".into())
    );
    assert_eq!(hub["text"], plain["text"]);
    println!(
        "{} tokens, the same from the Hub's .wcodec and from safetensors: {}",
        hub["tokens"], hub["text"]
    );
    if let Ok(python) = std::env::var("WCODEC_PYTHON") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub/greedy.py");
        let output = Command::new(python)
            .arg(script)
            .args([&folder, arguments[6], "48"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(hub["text"].as_str(), Some(&*String::from_utf8_lossy(&output.stdout)));
        println!("and the same by Python's transformers");
    }
}

/// The project's own model, in a repository in both formats and in one as safetensors.
#[cfg(feature = "eval")]
fn with_models(s: &Setting) {
    let kjv = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
    s.fine(&format!(
        "encode {} -o kjv.wcodec",
        kjv.join("model.safetensors").display()
    ));
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        let bytes = fs::read(kjv.join(name)).unwrap();
        s.server.add("org/kjv", name, bytes.clone());
        s.server.add("org/plain", name, bytes);
    }
    s.server
        .add("org/kjv", "model.wcodec", fs::read(s.path("kjv.wcodec")).unwrap());
    let verse = "In the beginning God created the heaven and the earth. ";
    fs::write(s.path("text.txt"), verse.repeat(4)).unwrap();
}

#[test]
#[cfg(feature = "eval")]
fn models_of_the_hub_are_measured() {
    let s = Setting::new();
    with_models(&s);
    for (reference, candidate) in [
        ("org/plain", "org/kjv"),
        ("hf://org/kjv@main/model.safetensors", "hf://org/kjv/model.wcodec"),
        ("org/kjv@main", "kjv.wcodec"),
    ] {
        let value = s.json(&format!("eval {reference} {candidate} --text text.txt"));
        assert_eq!(value["candidates"][0]["identical"], true);
        assert_eq!(
            (&value["reference"]["name"], &value["candidates"][0]["name"]),
            (&reference.into(), &candidate.into())
        );
    }
    // Of two formats the encoded one comes.
    let got = |name: &str| {
        s.server
            .log()
            .iter()
            .filter(|l| l.path.ends_with(name) && l.sent > 100_000)
            .count()
    };
    assert!(got("model.wcodec") == 1, "{}", got("model.wcodec"));
    let value = s.json("baseline org/plain --runs 1");
    assert_eq!(value["models"][0]["model"], "org/plain");
    s.fails("eval org/plain org/none --text text.txt", 1, "not-allowed");
    s.fails("eval org/plain hf://org --text text.txt", 2, "usage");
    s.fails("eval org/plain none/there.wcodec --text text.txt", 1, "io");
    s.fails("run hf://org/kjv/model.wcodec --prompt x", 2, "usage");
}
