//! Certificates: checked, moved, and tampered with.

use super::limits::{CALIBRATION, LIMIT, json, program, setting};
use super::*;
use serde_json::Value;

/// A quantised file with a certificate, and one of another rate without.
struct Files {
    folder: TempDir,
    certified: Vec<u8>,
    other: Vec<u8>,
}

const CHECK: &str = "verify v.wcodec --certificate --against model --text text.txt --task task.jsonl";

impl Files {
    fn new() -> Self {
        let folder = setting();
        let input = "encode model/model.safetensors";
        let goal = format!("--max-kl {LIMIT} --text text.txt --windows 3 --task task.jsonl");
        assert_eq!(json(&folder, &format!("{input} -o certified.wcodec {goal}")).0, 0);
        assert_eq!(json(&folder, &format!("{input} -o other.wcodec --bits 4")).0, 0);
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        Self {
            certified: read("certified.wcodec"),
            other: read("other.wcodec"),
            folder,
        }
    }

    /// Checks these bytes: the exit status, and what was said.
    fn check(&self, bytes: &[u8], arguments: &str) -> (i32, String) {
        fs::write(self.folder.path().join("v.wcodec"), bytes).unwrap();
        let output = program(&self.folder, &format!("{arguments} --quiet"));
        let status = output.status.code().unwrap();
        (status, String::from_utf8(output.stderr).unwrap())
    }
}

fn index(file: &[u8]) -> (usize, Value) {
    let len = u64::from_le_bytes(file[16..24].try_into().unwrap()) as usize;
    (len, serde_json::from_slice(&file[32..32 + len]).unwrap())
}

/// A file with another index, of which the checksum is right.
fn with_index(file: &[u8], index: &Value) -> Vec<u8> {
    let (len, _) = self::index(file);
    let mut json = serde_json::to_vec(index).unwrap();
    assert!(json.len() <= len);
    json.resize(len, b' ');
    let mut bytes = file.to_vec();
    bytes[24..32].copy_from_slice(&twox_hash::XxHash3_64::oneshot(&json).to_le_bytes());
    bytes[32..32 + len].copy_from_slice(&json);
    bytes
}

/// The first file with one tensor of the second: its entry of the index and its payload.
fn exchanged(first: &[u8], second: &[u8], name: &str) -> Vec<u8> {
    let ((len, mut index), (_, theirs)) = (self::index(first), self::index(second));
    let payload = |file: &[u8], at: &Value| {
        let [offset, len] = [0, 1].map(|i| at[i].as_u64().unwrap() as usize);
        file[offset..offset + len].to_vec()
    };
    let mut bytes = first[..32 + len].to_vec();
    let mut put = |data: &[u8]| {
        bytes.resize(bytes.len().next_multiple_of(128), 0);
        bytes.extend(data);
        bytes.len() - data.len()
    };
    let header = &mut index["source"]["header"];
    header[0] = put(&payload(first, header)).into();
    for entry in index["tensors"].as_array_mut().unwrap() {
        let of = |index: &Value| {
            index["tensors"]
                .as_array()
                .unwrap()
                .iter()
                .find(|t| t["name"] == name)
                .cloned()
        };
        let mut from = first;
        if entry["name"] == name {
            (*entry, from) = (of(&theirs).unwrap(), second);
        }
        entry["data"][0] = put(&payload(from, &entry["data"])).into();
    }
    with_index(&bytes, &index)
}

#[test]
fn claims_are_repeated_and_tampering_is_seen() {
    let files = Files::new();
    let (status, said) = files.check(&files.certified, CHECK);
    assert_eq!((status, said.as_str()), (0, ""));
    // On one machine every figure is the same.
    let (_, value) = json(&files.folder, CHECK);
    let compared = value["compared"].as_array().unwrap();
    assert!(
        compared.len() > 10 && compared.iter().all(|c| c["claimed"] == c["measured"]),
        "{value}"
    );

    // Another quantisation of one tensor, under checksums and digests of its own.
    let name = "model.layers.2.mlp.up_proj.weight";
    let swapped = exchanged(&files.certified, &files.other, name);
    let (status, said) = files.check(&swapped, CHECK);
    assert!(status == 1 && said.contains("SHA-256"), "{said}");
    // The whole of the certified file exchanged with itself is fine.
    let same = exchanged(&files.certified, &files.certified, name);
    let (status, said) = files.check(&same, CHECK);
    assert!(status == 1 && said.contains("bytes") || status == 0, "{said}");

    // A certificate that was moved.
    let certificate = index(&files.certified).1["certificate"].clone();
    let (_, mut moved) = index(&files.certified);
    moved["source"]["sha256"] = index(&files.other).1["source"]["sha256"].clone();
    let (status, said) = files.check(&with_index(&files.certified, &moved), CHECK);
    assert!(status == 1 && said.contains("of another file"), "{said}");

    // Figures that are too good.
    let spoilt = |path: &str, to: Value| {
        let (_, mut index) = index(&files.certified);
        index["certificate"] = certificate.clone();
        let (object, field) = path.rsplit_once('/').unwrap();
        let object = index["certificate"].pointer_mut(object).unwrap();
        match field.parse::<usize>() {
            Ok(place) => object[place] = to,
            Err(_) => object[field] = to,
        }
        files.check(&with_index(&files.certified, &index), CHECK)
    };
    for (path, to, what) in [
        ("/texts/0/divergence/mean", 0.001.into(), "KL divergence"),
        ("/texts/0/perplexity/1", 9.0.into(), "perplexity"),
        ("/texts/0/same_top", 1.0.into(), "same top token"),
        ("/bits", 3.0.into(), "bits a weight"),
        ("/bits", 1e300.into(), "1e300"),
        ("/texts/0/windows", 4.into(), "tokens"),
        ("/texts/0/increase_percent", (-5.0).into(), "increase in percent"),
        (
            "/texts/0/increase_interval",
            [-90.0, 90.0].into(),
            "the least it may be",
        ),
        ("/texts/0/held_out", true.into(), "text.txt"),
        ("/tasks/0/accuracy/gained", 3.into(), "items gained"),
        (
            "/tasks/0/accuracy/interval_points",
            [0.0, 100.0].into(),
            "change, in points",
        ),
        ("/options/max_kl", 1e-6.into(), "a limit of 0.000001"),
        ("/options/max_accuracy_drop", 0.1.into(), "accuracy drop"),
        ("/options/bits", 2.0.into(), "2 bits a weight"),
        ("/options/lossless", ["*down_proj*"].into(), "every bit of"),
        (
            "/options/keep_head",
            true.into(),
            "every bit of \"model.embed_tokens.weight\"",
        ),
    ] {
        let (status, said) = spoilt(path, to);
        assert!(
            status == 1 && said.contains(what) && said.contains("claims"),
            "{path}: {said}"
        );
    }
    let digest = certificate["texts"][0]["sha256"].clone();
    let calibration = serde_json::json!([{ "file": "text.txt", "sha256": digest, "tokens": 1024, "window": 256 }]);
    let (_, mut calibrated) = index(&files.certified);
    calibrated["certificate"]["calibration"] = calibration;
    let (status, said) = files.check(&with_index(&files.certified, &calibrated), CHECK);
    assert!(status == 1 && said.contains("calibrated on"), "{said}");
    // Numbers of items that are made up take neither time nor memory.
    for (gained, lost) in [(1u64 << 60, 1u64 << 60), (0, 1 << 60), (u64::MAX, 1)] {
        let (_, mut endless) = index(&files.certified);
        endless["certificate"]["options"]["max_accuracy_drop"] = 0.1.into();
        let task = &mut endless["certificate"]["tasks"][0];
        task["items"] = (1u64 << 62).into();
        (task["accuracy"]["gained"], task["accuracy"]["lost"]) = (gained.into(), lost.into());
        let (status, said) = files.check(&with_index(&files.certified, &endless), CHECK);
        assert!(status == 1 && !said.is_empty(), "{said}");
        let inspected = program(&files.folder, "inspect v.wcodec --summary");
        assert_eq!(inspected.status.success(), gained < u64::MAX);
    }
    // The command to check it is the program's own.
    let (status, said) = spoilt("/command", "rm -rf /".into());
    assert_eq!((status, said.as_str()), (0, ""));
    let shown = String::from_utf8(program(&files.folder, "inspect v.wcodec --summary").stdout).unwrap();
    assert!(
        shown.contains("REFERENCE --text text.txt") && !shown.contains("rm -rf"),
        "{shown}"
    );
    // Orders to a terminal are not carried out.
    let (status, said) = spoilt("/command", "\u{1b}[2J".into());
    assert!(
        status == 1 && said.contains("control characters") && !said.contains('\u{1b}'),
        "{said:?}"
    );
    let shown = program(&files.folder, "inspect v.wcodec --summary");
    assert!(!shown.status.success() && !shown.stdout.contains(&0x1b) && !shown.stderr.contains(&0x1b));

    // What it was measured on.
    let refused = |arguments: &str, what: &str| {
        let (status, said) = files.check(&files.certified, arguments);
        assert!(status == 1 && said.contains(what), "{arguments}: {said}");
    };
    refused(
        "verify v.wcodec --certificate --against model --task task.jsonl",
        "text.txt",
    );
    refused(
        &CHECK.replace("text.txt", "calibration.txt"),
        "no text that the certificate",
    );
    changed(&files.folder, "model.norm.weight", |old| (old * 1.01).unwrap());
    fs::create_dir(files.folder.path().join("wrong")).unwrap();
    let from = |name: &str| files.folder.path().join("model").join(name);
    let to = |name: &str| files.folder.path().join("wrong").join(name);
    fs::rename(files.folder.path().join("changed.safetensors"), to("model.safetensors")).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(from(name), to(name)).unwrap();
    }
    let wrong = CHECK.replace("--against model", "--against wrong");
    refused(&wrong, "not what the certified file was made from");
    fs::copy(from("model.safetensors"), to("model.safetensors")).unwrap();
    let config = fs::read_to_string(from("config.json")).unwrap();
    fs::write(to("config.json"), config.replacen('{', "{ ", 1)).unwrap();
    refused(&wrong, "config.json");
    // A lossless file claims nothing.
    encoded(&files.folder);
    let lossless = fs::read(files.folder.path().join("kjv.wcodec")).unwrap();
    let (status, said) = files.check(&lossless, CHECK);
    assert!(status == 1 && said.contains("no certificate"), "{said}");
}

#[test]
fn of_several_texts_each_is_calibrated_on_and_held_out() {
    let folder = setting();
    file(&folder, "readme.txt", include_str!("../../README.md"));
    let encode = "encode model --calibrate calibration.txt --calibrate readme.txt --calibration-tokens 2000";
    let (status, value) = json(&folder, &format!("{encode} -o small --quality small --windows 3"));
    assert_eq!(status, 0, "{value}");
    let certificate = &value["certificate"];
    let of = |part: &str, field: &str| [0, 1].map(|i| certificate[part][i][field].clone());
    let names = ["calibration.txt", "readme.txt"];
    assert_eq!(of("calibration", "file"), names);
    // Whole windows: seven of them.
    assert_eq!(of("calibration", "tokens"), [768, 1024]);
    assert_eq!(
        (of("texts", "file"), of("texts", "held_out")),
        (names.map(Value::from), [true, true].map(Value::from))
    );
    let check = "verify small --certificate --against model --text readme.txt --text calibration.txt";
    let (status, checked) = json(&folder, check);
    assert_eq!(status, 0, "{checked}");
    let inspected = String::from_utf8(program(&folder, "inspect small/model.wcodec").stdout).unwrap();
    assert!(
        inspected.contains("calibrated on calibration.txt (768 tokens), readme.txt (1024 tokens)"),
        "{inspected}"
    );
    // In another order it is the same weights, by the same statistics.
    let (status, value) = json(&folder, &format!("{encode} -o this --bits 5 --statistics kept"));
    assert_eq!(status, 0, "{value}");
    let turned = encode.replace(
        "calibration.txt --calibrate readme.txt",
        "readme.txt --calibrate calibration.txt",
    );
    let (status, said) = json(&folder, &format!("{turned} -o that --bits 5 --statistics kept"));
    assert_eq!(status, 0, "{said}");
    let bytes = |name: &str| fs::read(folder.path().join(name).join("model.wcodec")).unwrap();
    assert!(
        said["warnings"] == value["warnings"] && bytes("this") == bytes("that"),
        "{said}"
    );
    // Each of them must have something to say, and say it once.
    file(
        &folder,
        "short.txt",
        "In the beginning God created the heaven and the earth.",
    );
    for (more, what) in [("short.txt", "a window, of each"), ("./readme.txt", "same text")] {
        let output = program(&folder, &format!("{encode} --calibrate {more} -o none --bits 5"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && said.contains(more) && said.contains(what),
            "{said}"
        );
    }
    // What is held out of one is not calibrated on as a part of another.
    let tail: String = CALIBRATION.chars().skip(CALIBRATION.chars().count() * 6 / 7).collect();
    file(&folder, "tail.txt", &format!("{tail}{tail}{tail}{tail}{tail}"));
    let with_tail = "encode model --calibrate calibration.txt --calibrate tail.txt --calibration-tokens 8000 --windows 18446744073709551615";
    let output = program(&folder, &format!("{with_tail} -o none --quality small"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("among what is calibrated on"),
        "{said}"
    );
    // One that is calibrated on is not measured on as a whole.
    let output = program(&folder, &format!("{encode} --text readme.txt -o none --bits 5"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("readme.txt") && said.contains("calibrated on"),
        "{said}"
    );
}

#[test]
fn shards_have_one_certificate_for_all() {
    let folder = setting();
    let model = folder.path().join("model");
    let all = candle_core::safetensors::load(model.join("model.safetensors"), &Device::Cpu).unwrap();
    fs::remove_file(model.join("model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    for shard in [1, 2] {
        let name = format!("model-{shard:05}-of-00002.safetensors");
        let mut names: Vec<&String> = all.keys().collect();
        names.sort();
        let part = names.iter().enumerate().filter(|(i, _)| i % 2 == shard - 1);
        let part: HashMap<String, Tensor> = part.map(|(_, n)| ((*n).clone(), all[*n].clone())).collect();
        part.keys().for_each(|tensor| {
            map.insert(tensor.clone(), name.clone().into());
        });
        candle_core::safetensors::save(&part, model.join(name)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(model.join("model.safetensors.index.json"), index.to_string()).unwrap();
    // The last eighth of the calibration's text is measured on, and named by that text.
    let goal = "--quality small --calibrate calibration.txt --calibration-tokens 1024 --windows 3";
    let (status, value) = json(&folder, &format!("encode model -o small {goal}"));
    assert_eq!(status, 0, "{value}");
    assert_eq!(value["certificate"]["files"].as_array().unwrap().len(), 2);
    assert_eq!(value["certificate"]["texts"][0]["held_out"], true);
    let check = "verify small --certificate --against model --text calibration.txt";
    let (status, checked) = json(&folder, check);
    assert_eq!(status, 0, "{checked}");
    // A shard alone, and shards of two folders.
    let shard = folder.path().join("small/model-00002-of-00002.wcodec");
    let (status, _) = json(
        &folder,
        &check.replace("verify small", "verify small/model-00002-of-00002.wcodec"),
    );
    assert_eq!(status, 1);
    let (status, _) = json(&folder, "encode model -o plain --bits 5");
    assert_eq!(status, 0);
    fs::copy(folder.path().join("plain/model-00002-of-00002.wcodec"), shard).unwrap();
    assert_eq!(json(&folder, check).0, 1);
}
