//! Perplexity and divergence.

use super::*;
use candle_core::{DType, Device, Tensor};
use wcodec::eval::{TextOptions, TextReport, measure_text};
use wcodec::model::{CausalModel, ModelConfig, Tree};

fn measure(models: &Models, window: usize, stride: Option<usize>) -> TextReport {
    let mut options = TextOptions::default();
    (options.window, options.stride) = (window, stride);
    measure_text(models, &text(), &options, &()).unwrap()
}

#[test]
fn a_lossless_candidate_is_identical() {
    let folder = folder();
    let models = models(&kjv(), &encoded(&folder));
    let report = measure(&models, 128, None);
    assert!(report.identical && report.tokens > 256 && report.bos == Some(0));
    assert_eq!(report.reference, report.candidate);
    assert_eq!((report.log_prob_change.mean, report.increase_percent), (0.0, 0.0));
    assert_eq!((report.divergence.max, report.same_top.mean), (0.0, 1.0));
    // It has read this text in training.
    assert!((3.0..20.0).contains(&report.reference.perplexity), "{report:?}");
}

/// Noise of a size relative to the weights, the same each time.
fn noisy(size: f64) -> impl Fn(&Tensor) -> Tensor {
    move |old| {
        let old = old.to_dtype(DType::F32).unwrap();
        let n = old.elem_count();
        let mut state = 7u64;
        let noise = (0..n).map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        });
        let noise = Tensor::from_vec(noise.collect::<Vec<f32>>(), old.shape(), &Device::Cpu).unwrap();
        let spread = old.sqr().unwrap().mean_all().unwrap().sqrt().unwrap();
        (old + noise.broadcast_mul(&(spread * size).unwrap()).unwrap()).unwrap()
    }
}

#[test]
fn a_planted_error_is_found_and_grows_with_its_size() {
    let folder = folder();
    let mut before = 0.0;
    for size in [1e-5, 1e-3, 1e-2, 1e-1, 1.0] {
        let candidate = changed(&folder, "model.layers.3.mlp.down_proj.weight", noisy(size));
        let report = measure(&models(&kjv(), &candidate), 128, None);
        let divergence = report.divergence;
        println!(
            "noise {size:e}: KL {:e}, top token {}",
            divergence.mean.mean, report.same_top.mean
        );
        assert!(
            !report.identical && divergence.mean.mean > before,
            "{size}: {divergence:?}"
        );
        assert!(divergence.median <= divergence.p99 && divergence.p999 <= divergence.max);
        // To first order the divergence is quadratic in the noise.
        if before > 1e-9 && size < 1.0 {
            let growth = divergence.mean.mean / before;
            assert!((30.0..300.0).contains(&growth), "{size}: {growth}");
        }
        before = divergence.mean.mean;
    }
}

#[test]
fn a_single_bit_is_found() {
    let folder = folder();
    let flipped = changed(&folder, "model.norm.weight", |old| {
        let mut values: Vec<half::bf16> = old.to_vec1().unwrap();
        values[17] = half::bf16::from_bits(values[17].to_bits() ^ 1);
        Tensor::from_vec(values, old.shape(), &Device::Cpu).unwrap()
    });
    let report = measure(&models(&kjv(), &flipped), 128, None);
    assert!(!report.identical && report.divergence.mean.mean > 0.0);
}

/// The same figures from one pass over each prefix of each window, with Candle's log-softmax.
#[test]
fn perplexity_is_that_of_a_plain_loop() {
    let config = std::fs::read(kjv().join("config.json")).unwrap();
    let config = ModelConfig::parse(&config, "config.json").unwrap();
    let load = || {
        let tensors = candle_core::safetensors::load(kjv().join("model.safetensors"), &Device::Cpu).unwrap();
        candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    };
    let model = CausalModel::load(config, load()).unwrap();
    let models = models(&kjv(), &kjv());
    let tokens = models.encoder().encode(TEXT, &text()[0].0).unwrap();
    for (length, stride) in [(63, 63), (63, 20)] {
        let (mut sum, mut n, mut done) = (0.0, 0, 0);
        for start in (0..tokens.len()).step_by(stride) {
            let end = tokens.len().min(start + length);
            let window: Vec<u32> = std::iter::once(0).chain(tokens[start..end].iter().copied()).collect();
            let logits = model
                .logits(&model.states(&[Tree::sequence(window.clone())]).unwrap())
                .unwrap();
            let logs = candle_nn::ops::log_softmax(&logits.to_dtype(DType::F64).unwrap(), 1).unwrap();
            let logs: Vec<Vec<f64>> = logs.to_vec2().unwrap();
            for token in done.max(start)..end {
                sum -= logs[token - start][tokens[token] as usize];
                n += 1;
            }
            done = end;
            if end == tokens.len() {
                break;
            }
        }
        let report = measure(&models, length + 1, Some(stride));
        let expected = (sum / f64::from(n)).exp();
        assert_eq!(report.tokens, tokens.len());
        assert!(
            (report.reference.perplexity / expected - 1.0).abs() < 1e-6,
            "{report:?} {expected}"
        );
    }
}

#[test]
fn threads_change_no_bit() {
    let folder = folder();
    let candidate = changed(&folder, "model.layers.0.self_attn.q_proj.weight", noisy(0.1));
    let models = models(&kjv(), &candidate);
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        serde_json::to_string(&pool.install(|| measure(&models, 100, Some(50)))).unwrap()
    };
    let one = of(1);
    assert!([2, 3, 8].into_iter().all(|threads| of(threads) == one));
}

#[test]
fn errors_take_windows_or_texts_as_independent() {
    let folder = folder();
    let candidate = changed(&folder, "model.layers.0.self_attn.q_proj.weight", noisy(0.1));
    let models = models(&kjv(), &candidate);
    let report = measure(&models, 64, None);
    assert_eq!(report.clusters, report.windows);
    assert!(report.divergence.mean.standard_error.is_finite());
    let mut options = TextOptions::default();
    options.window = 64;
    let several = |texts: &[(At, String)]| measure_text(&models, texts, &options, &()).unwrap();
    // The same text again and again: no text differs from the others.
    let four = vec![text().remove(0); 4];
    let report_of_four = several(&four);
    assert_eq!(
        (report_of_four.clusters, report_of_four.windows),
        (4, 4 * report.windows)
    );
    let kl = &report_of_four.divergence.mean;
    assert!(kl.standard_error < 1e-12 && kl.mean > 0.0);
    // Of three, or of one with three crumbs, the spread says nothing.
    assert_eq!(several(&four[..3]).clusters, 3 * report.windows);
    let mut crumbs = four;
    for (_, text) in &mut crumbs[1..] {
        text.truncate(60);
    }
    let with_crumbs = several(&crumbs);
    assert_eq!(with_crumbs.clusters, with_crumbs.windows);
    assert_eq!(with_crumbs.windows, report.windows + 3);
    options.windows = Some(1);
    let one = measure_text(&models, &text(), &options, &()).unwrap();
    assert_eq!(one.divergence.mean.standard_error, f64::INFINITY);
}
