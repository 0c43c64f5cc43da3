use super::*;
use serde_json::{Value, json};

fn good() -> Value {
    let digest = "0a".repeat(32);
    json!({
        "version": 1, "writer": "wcodec 0.1.0", "files": [{ "original": digest, "restored": digest }],
        "config": digest, "tokenizer": digest,
        "options": { "effort": "default", "lossless": [], "keep_head": false, "rates": [["*down*", 5.0]],
                     "max_kl": 0.02, "accept_uncertain": false },
        "bytes": 1000, "bits": 4.5, "quantised_bits": 4.4,
        "texts": [{
            "file": "a.txt", "sha256": digest, "held_out": false, "windows": 2, "window": 16, "tokens": 30,
            "identical": false, "perplexity": [10.0, 10.1], "increase_percent": 1.0,
            "increase_interval": [0.5, 1.5], "same_top": 0.9,
            "divergence": {
                "mean": 0.01, "standard_error": 0.001, "median": 0.008, "p99": 0.1, "p999": 0.2, "max": 0.3
            },
        }],
        "tasks": [], "command": "wcodec verify FILE --certificate", "later": { "kept": [1, 2] },
    })
}

fn parse(value: &Value) -> Result<Certificate, Error> {
    Certificate::parse(&value.to_string(), "x")
}

#[test]
fn what_is_written_is_read() {
    let certificate = parse(&good()).unwrap();
    let json = serde_json::to_string(&certificate).unwrap();
    assert_eq!(Certificate::parse(&json, "x").unwrap(), certificate);
    assert_eq!(
        (certificate.options.max_kl, certificate.options.bits),
        (Some(0.02), None)
    );
}

#[test]
fn the_command_is_made_of_names() {
    let mut value = good();
    value["command"] = "rm -rf /".into();
    value["texts"][0]["file"] = "it's; rm -rf $HOME".into();
    let command = parse(&value).unwrap().check_command();
    let flags = r"--text 'it'\''s; rm -rf $HOME'";
    assert_eq!(
        command,
        format!("wcodec verify FILE --certificate --against REFERENCE {flags}")
    );
}

#[test]
fn hostile_certificates() {
    let spoilt = |path: &str, to: Value| {
        let mut value = good();
        *value.pointer_mut(path).unwrap() = to;
        parse(&value).unwrap_err().to_string()
    };
    assert!(spoilt("/version", json!(2)).contains("version 2"));
    for text in ["a\u{1b}[2Jb", "a\nb", "a\u{202e}b", "a\u{9b}b"] {
        let said = spoilt("/texts/0/file", json!(text));
        assert!(said.contains("control") && !said.chars().any(orders), "{said:?}");
        assert!(spoilt("/command", json!(text)).contains("control"));
        // A digest is no place for them either.
        assert!(!spoilt("/config", json!(text)).chars().any(orders));
    }
    assert!(spoilt("/tokenizer", json!("0A".repeat(32))).contains("SHA-256"));
    assert!(spoilt("/files", json!([])).contains("no file"));
    assert!(spoilt("/options/rates/0/0", json!("a\u{7}")).contains("control"));
    assert!(spoilt("/options", json!({ "effort": "max" })).contains("missing"));
    assert!(spoilt("/bits", Value::Null).contains("certificate"));
    // What nobody can have measured.
    assert!(spoilt("/texts", json!([])).contains("nothing was measured"));
    assert!(spoilt("/bits", json!(-4.5)).contains("below 0"));
    for (path, to) in [
        ("/windows", json!(1u64 << 63)),
        ("/windows", json!(0)),
        ("/window", json!(1)),
        ("/tokens", json!(33)),
        ("/perplexity", json!([10.0, 0.0])),
        ("/increase_interval", json!([1.5, 0.5])),
        ("/same_top", json!(1.1)),
        ("/divergence/mean", json!(-0.01)),
    ] {
        assert!(spoilt(&format!("/texts/0{path}"), to).contains("cannot be"), "{path}");
    }
    let accuracy = json!({ "reference": 0.5, "candidate": 0.25, "gained": 1, "lost": 2, "delta_points": -25.0,
                           "interval_points": [-60.0, 10.0] });
    let digest = "0a".repeat(32);
    let task = json!([{ "file": "t", "sha256": digest, "items": 4, "identical": false, "accuracy": accuracy }]);
    let with_task = |path: &str, to: Value| {
        let mut value = good();
        value["tasks"] = task.clone();
        *value.pointer_mut(path).unwrap() = to;
        parse(&value).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(with_task("/tasks/0/items", json!(4)), Ok(()));
    for (path, to) in [
        ("/items", json!(0)),
        ("/accuracy/lost", json!(4)),
        ("/accuracy/candidate", json!(25)),
    ] {
        let said = with_task(&format!("/tasks/0{path}"), to).unwrap_err();
        assert!(said.contains("cannot be"), "{path}: {said}");
    }
    assert!(spoilt("/texts/0/divergence", json!([0, 0, 0, 0, 0, 0])).contains("object"));
    for number in ["1e999", "NaN", "-Infinity"] {
        let json = good().to_string().replace("4.5", number);
        assert!(Certificate::parse(&json, "x").is_err(), "{number}");
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    // In a field that is skipped, depth does no harm.
    let json = good().to_string().replace("[1,2]", &deep);
    assert!(Certificate::parse(&json, "x").is_ok());
    let json = good()
        .to_string()
        .replace("\"texts\":[", &format!("\"texts\":[{deep},"));
    assert!(Certificate::parse(&json, "x").is_err());
}
