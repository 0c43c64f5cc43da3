//! Synthetic checkpoints.

use super::*;

#[test]
fn synth_is_deterministic() {
    let folder = folder();
    let digest = |name: &str| blake3::hash(&fs::read(folder.path().join(name)).expect("a file"));
    for dtype in [
        "bf16",
        "f16",
        "f32",
        "f64",
        "f32-from-bf16",
        "f8-e4m3",
        "f8-e5m2",
        "i8",
        "u8",
    ] {
        let command = |name: &str, more: &str| format!("synth -o {name} --force --size 300kB --dtype {dtype} {more}");
        let made = json(&folder, &command("a", ""));
        let size = made["bytes"].as_u64().expect("a number");
        assert!((250_000..350_000).contains(&size), "{dtype}: {size}");
        fine(&folder, &command("b", "--threads 1"));
        fine(&folder, &command("c", "--seed 2"));
        assert_eq!(digest("a"), digest("b"), "{dtype}");
        assert_ne!(digest("a"), digest("c"), "{dtype}");
        fine(&folder, "encode a -o a.wcodec --force");
        fine(&folder, "verify a.wcodec --against a");
    }
    // The bytes themselves are promised: on every machine.
    fine(
        &folder,
        "synth -o fixed --force --hidden 64 --intermediate 96 --layers 1 --heads 2 --kv-heads 1 --vocab 100",
    );
    assert_eq!(
        digest("fixed").to_hex().as_str(),
        "440b4acf189ee9a86d03edf91c82d740ead3fad278df9771334530c4826bbba9"
    );
}

#[test]
fn synth_makes_many_tensors() {
    let folder = folder();
    assert_eq!(
        json(&folder, "synth -o many.safetensors --tensors 1000")["tensors"],
        1000
    );
    fine(&folder, "encode many.safetensors");
    assert_eq!(json(&folder, "inspect many.wcodec --summary")["tensor_count"], 1000);
}
