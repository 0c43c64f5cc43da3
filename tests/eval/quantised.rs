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
    let mut calibration = Calibration::new(text);
    calibration.window = 32;
    let options = EncodeOptions::lossless();
    let model = kjv().join("model.safetensors");
    calibrate::encode(&model, to, &options, &Lossy::bits(BITS), &calibration, [&(), &()]).map(drop)
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
    assert!(error.to_string().contains("too few"), "{error}");
    assert!(!to.exists());
}
