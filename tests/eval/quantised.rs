//! Quantised files: their size, what they cost, and that they are the same with any number of threads.

use super::{file, folder, kjv, models, text};
use std::fs;
use std::path::Path;
use wcodec::calibrate::{self, Calibration};
use wcodec::checkpoint::{self, Lossy};
use wcodec::eval::{TextOptions, TextReport, measure_text};
use wcodec::{DecodeOptions, Decoder, EncodeOptions, Error};

const BITS: f64 = 5.0;

fn measure(candidate: &Path) -> TextReport {
    let mut options = TextOptions::default();
    options.window = 64;
    let models = models(&kjv(), candidate);
    measure_text(&models, &text(), &options, &()).unwrap()
}

fn calibrated(to: &Path, text: &Path) -> wcodec::Result<()> {
    calibrated_as(&Lossy::bits(BITS), to, text)
}

fn calibrated_as(lossy: &Lossy, to: &Path, text: &Path) -> wcodec::Result<()> {
    let mut calibration = Calibration::new([text]);
    calibration.window = 32;
    let options = EncodeOptions::lossless();
    let model = kjv().join("model.safetensors");
    calibrate::encode(&model, to, &options, lossy, &calibration, [&(), &()]).map(drop)
}

/// Bits a weight of the tensors whose names have this in them, and whether any of them lost something.
fn bits(file: &Path, name: &str) -> (f64, bool) {
    let decoder = Decoder::open(file).unwrap();
    let named = || decoder.index().tensors().iter().filter(|t| t.name().contains(name));
    let weights: usize = named().map(|t| t.shape().iter().product::<usize>()).sum();
    let bytes: u64 = named().map(|t| t.encoded_len()).sum();
    (
        8.0 * bytes as f64 / weights as f64,
        named().any(|t| t.noise().is_some()),
    )
}

#[test]
fn calibration_pays() {
    let folder = folder();
    let text = file(&folder, "genesis.txt", super::TEXT);
    let plain = folder.path().join("plain.wcodec");
    let model = kjv().join("model.safetensors");
    checkpoint::encode_lossy(&model, &plain, &EncodeOptions::lossless(), &Lossy::bits(BITS), &()).unwrap();
    let good = folder.path().join("calibrated.wcodec");
    calibrated(&good, &text).unwrap();
    for path in [&plain, &good] {
        let decoder = Decoder::open(path).unwrap();
        let weights: usize = decoder
            .index()
            .tensors()
            .iter()
            .map(|t| t.shape().iter().product::<usize>())
            .sum();
        let bits = 8.0 * fs::metadata(path).unwrap().len() as f64 / weights as f64;
        assert!((bits - BITS).abs() < 0.05, "{bits}");
        assert!(
            decoder
                .index()
                .tensors()
                .iter()
                .any(|t| t.noise().is_some_and(|n| n > 0.0 && n < 0.2))
        );
        let verified = checkpoint::verify(path, None, DecodeOptions::default(), &()).unwrap();
        assert_eq!((verified.sources, verified.quantised), (1, 1));
        let against = checkpoint::verify(path, Some(&model), DecodeOptions::default(), &());
        assert!(matches!(against, Err(Error::Differs { .. })), "{against:?}");
    }
    let [plain, good] = [plain, good].map(|path| measure(&path).divergence.mean.mean);
    assert!(good < 0.7 * plain, "{good} {plain}");
    // The statistics are gone.
    assert!(!folder.path().join("calibrated.wcodec.calibration").exists());
}

#[test]
fn threads_change_nothing() {
    let folder = folder();
    let text = file(&folder, "genesis.txt", super::TEXT);
    let made = |threads: usize| {
        let to = folder.path().join(format!("{threads}.wcodec"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| calibrated(&to, &text)).unwrap();
        fs::read(to).unwrap()
    };
    assert!(made(1) == made(3));
}

#[test]
fn a_text_may_be_too_short() {
    let folder = folder();
    let text = file(
        &folder,
        "short.txt",
        "In the beginning God created the heaven and the earth.",
    );
    let to = folder.path().join("t.wcodec");
    let error = calibrated(&to, &text).unwrap_err();
    // How many there are, and how many it takes.
    let error = error.to_string();
    let mut numbers = error
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse::<usize>().ok());
    assert!(error.contains("too few"), "{error}");
    assert!(
        numbers.any(|n| (10..40).contains(&n)) && numbers.any(|n| n == 4 * 32),
        "{error}"
    );
    assert!(!to.exists());
}

#[test]
fn rates_by_pattern() {
    let folder = folder();
    let text = file(&folder, "genesis.txt", super::TEXT);
    let mut lossy = Lossy::bits(7.0);
    lossy.keep_head = true;
    lossy.lossless = vec!["*.0.self_attn.q_proj.*".into()];
    lossy.rates = vec![("*.0.*".into(), 6.0), ("*down_proj*".into(), 3.0)];
    let plain = folder.path().join("plain.wcodec");
    let model = kjv().join("model.safetensors");
    checkpoint::encode_lossy(&model, &plain, &EncodeOptions::lossless(), &lossy, &()).unwrap();
    let good = folder.path().join("calibrated.wcodec");
    calibrated_as(&lossy, &good, &text).unwrap();
    for path in [&plain, &good] {
        assert!(!bits(path, "embed_tokens").1 && !bits(path, "layers.0.self_attn.q_proj").1);
        // The first pattern holds for a tensor that two name.
        let [first, down] = ["layers.0.mlp", "layers.1.mlp.down_proj"].map(|name| bits(path, name));
        assert!(first.1 && (first.0 - 6.0).abs() < 1.0, "{first:?}");
        assert!(down.1 && (down.0 - 3.0).abs() < 0.5, "{down:?}");
        let weights = fs::metadata(&model).unwrap().len() as f64 / 2.0;
        let all = 8.0 * fs::metadata(path).unwrap().len() as f64 / weights;
        assert!((all - 7.0).abs() < 0.1, "{all}");
    }
}

#[test]
fn patterns_must_name_something() {
    let folder = folder();
    let text = file(&folder, "genesis.txt", super::TEXT);
    let to = folder.path().join("t.wcodec");
    let fails = |change: &dyn Fn(&mut Lossy), expected: &str| {
        let mut lossy = Lossy::bits(6.0);
        change(&mut lossy);
        let error = calibrated_as(&lossy, &to, &text).unwrap_err().to_string();
        assert!(error.contains(expected) && !to.exists(), "{error}");
    };
    fails(&|l| l.lossless = vec!["*gate_porj*".into()], "gate_porj");
    fails(&|l| l.rates = vec![("nothing".into(), 3.0)], "\"nothing\"");
    fails(&|l| l.rates = vec![("*norm*".into(), 3.0)], "nothing that is quantised");
    fails(&|l| l.rates = vec![("*".into(), 3.0)], "nothing is left");
}
