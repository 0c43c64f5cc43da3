//! `VarBuilder`s over what still arrives, and over parts.

use super::server::Fault;
use super::support::data::{Kind, Rng, fill};
use super::{ID, MODEL, Setting, assert_problem, times};
use candle_core::{DType, Device, Tensor};
use candle_nn::var_builder::Shard;
use std::sync::Arc;
use wcodec::candle::{LoadOptions, wcodec_error};
use wcodec::{HubProblem as P, checkpoint};

fn tensor(shape: [usize; 2]) -> Tensor {
    let bytes = fill(Kind::Normal, wcodec::DType::BF16, &shape, 3);
    Tensor::from_raw_buffer(&bytes, DType::BF16, &shape, &Device::Cpu).unwrap()
}

#[track_caller]
fn assert_same(a: &Tensor, b: &Tensor) {
    let bits = |t: &Tensor| -> Vec<u16> {
        let values = t.flatten_all().unwrap().to_vec1::<half::bf16>().unwrap();
        values.into_iter().map(half::bf16::to_bits).collect()
    };
    assert_eq!(a.dims(), b.dims());
    assert!(bits(a) == bits(b));
}

#[test]
fn tensors_are_used_while_the_rest_arrives() {
    let s = Setting::new();
    s.server.rate(Some(4e6));
    let load = s
        .repo()
        .load(LoadOptions::default().ahead_bytes(0), Arc::new(()))
        .unwrap();
    let vb = load.backend().var_builder(DType::BF16, &Device::Cpu);
    // What is asked for comes first: half of the file is still missing then.
    assert_same(&vb.get((4, 128), "norm").unwrap(), &tensor([4, 128]));
    assert!(
        s.blobs()
            .iter()
            .any(|p| p.extension().is_some_and(|e| e == "incomplete"))
    );
    assert_same(&vb.get((2048, 512), "z").unwrap(), &tensor([2048, 512]));
    assert_same(&vb.get((1024, 512), "a").unwrap(), &tensor([1024, 512]));
    assert!(!vb.contains_tensor("b"));
    load.finish().unwrap();
    s.assert_sound();
    assert_eq!(s.sent(), s.model.len() as u64);
    // Now it is in the cache.
    let vb = s.repo().offline(true).var_builder(DType::BF16, &Device::Cpu).unwrap();
    assert_same(&vb.get((4, 128), "norm").unwrap(), &tensor([4, 128]));
}

#[test]
fn shards_are_found_by_their_index() {
    let s = Setting::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, shape) in [("one", [300, 512]), ("two", [500, 512])] {
        let path = folder.path().join(name);
        let spec = wcodec::TensorSpec::new(name, wcodec::DType::BF16, shape);
        let mut encoder = wcodec::Encoder::create(&path, vec![spec], Default::default()).unwrap();
        let data = fill(Kind::Normal, wcodec::DType::BF16, &shape, 3);
        encoder.add(name, &data).unwrap();
        encoder.finish().unwrap();
        s.server.add(
            "org/shards",
            &format!("model-{name}.wcodec"),
            std::fs::read(path).unwrap(),
        );
    }
    let map = r#"{"weight_map": {"one": "model-one.wcodec", "two": "model-two.wcodec"}}"#;
    s.server.add("org/shards", "model.wcodec.index.json", map.into());
    let repo = wcodec::hub::repo("org/shards")
        .endpoint(&s.server.url)
        .token(None)
        .offline(false);
    let repo = repo.cache_dir(s.cache.path());
    let load = repo.load(LoadOptions::default(), Arc::new(())).unwrap();
    let vb = load.backend().var_builder(DType::BF16, &Device::Cpu);
    assert_same(&vb.get((500, 512), "two").unwrap(), &tensor([500, 512]));
    assert_same(&vb.get((300, 512), "one").unwrap(), &tensor([300, 512]));
    load.finish().unwrap();
    assert!(repo.offline(true).load(LoadOptions::default(), Arc::new(())).is_ok());

    let same = [1, 2].map(|i| (format!("model-{i}.wcodec"), s.model.clone()));
    same.into_iter()
        .for_each(|(name, bytes)| s.server.add("org/same", &name, bytes));
    let map = r#"{"weight_map": {"a": "model-1.wcodec", "z": "model-2.wcodec"}}"#;
    s.server.add("org/same", "model.wcodec.index.json", map.into());
    let same = wcodec::hub::repo("org/same")
        .endpoint(&s.server.url)
        .token(None)
        .offline(false);
    let same = same
        .cache_dir(s.cache.path())
        .load(LoadOptions::default(), Arc::new(()));
    assert!(same.unwrap_err().to_string().contains("same"));

    s.server.add("org/plain", "model.safetensors", vec![0; 10]);
    let plain = wcodec::hub::repo("org/plain")
        .endpoint(&s.server.url)
        .token(None)
        .offline(false);
    let error = plain.var_builder(DType::BF16, &Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("wcodec encode hf://org/plain"), "{error}");
}

#[test]
fn parts_are_read_by_ranges() {
    let s = Setting::new();
    let part = s.repo().load_part("[an].*", LoadOptions::default()).unwrap();
    assert_eq!(part.names().collect::<Vec<_>>(), ["a", "norm"]);
    let vb = part.var_builder(DType::BF16, &Device::Cpu);
    assert!(!vb.contains_tensor("z") && vb.get((2048, 512), "z").is_err());
    assert!(part.tensor("z").is_err());
    assert_same(&vb.get((1024, 512), "a").unwrap(), &tensor([1024, 512]));
    assert!(s.sent() < s.model.len() as u64 * 2 / 3);

    let rows = s.repo().load_part(".*", LoadOptions::default().ahead_bytes(0)).unwrap();
    let vb = rows.sharded_var_builder(DType::BF16, &Device::Cpu);
    let shard = Shard {
        dim: 0,
        rank: 7,
        world_size: 8,
    };
    let got = vb.get_with_hints((2048, 512), "z", shard).unwrap();
    assert_same(&got, &tensor([2048, 512]).narrow(0, 1792, 256).unwrap());
    assert!(s.sent() < s.model.len() as u64 / 2);
    assert!(s.blobs().is_empty());
    let wrong = s.repo().load_part("(", LoadOptions::default());
    assert!(matches!(wrong, Err(wcodec::Error::Usage(_))));
}

#[test]
fn small_neighbours_come_by_one_range() {
    let s = Setting::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(MODEL);
    // Half a megabyte first, so that the rest is not in the file's front.
    let shape = |i: usize| if i == 0 { [400, 1024] } else { [1 + i % 3, 1024] };
    let name = |i: usize| format!("layers.{i}.{}", if i % 10 == 9 { "other" } else { "norm" });
    let spec = |i| wcodec::TensorSpec::new(name(i), wcodec::DType::BF16, shape(i));
    let mut encoder = wcodec::Encoder::create(&path, (0..60).map(spec).collect(), Default::default()).unwrap();
    for i in 0..60 {
        let data = fill(Kind::Normal, wcodec::DType::BF16, &shape(i), 3);
        encoder.add(&name(i), &data).unwrap();
    }
    encoder.finish().unwrap();
    s.server.add(ID, MODEL, std::fs::read(&path).unwrap());

    let part = s.repo().load_part(r".*\.norm", LoadOptions::default()).unwrap();
    s.server.log();
    let vb = part.var_builder(DType::BF16, &Device::Cpu);
    for i in (1..60).filter(|i| i % 10 != 9) {
        assert_same(&vb.get((1 + i % 3, 1024), &name(i)).unwrap(), &tensor(shape(i)));
    }
    let asked = s.server.log();
    assert!(asked.len() <= 3, "{} requests for 53 tensors", asked.len());
    // Bytes that were damaged on their way are not handed out again.
    let part = s
        .repo()
        .load_part(r".*\.norm", LoadOptions::default().ahead_bytes(0))
        .unwrap();
    let info = part.tensor("layers.30.norm").unwrap().info();
    s.server.faults([Fault::Flip(info.offset() + info.encoded_len() / 2)]);
    assert!(part.tensor("layers.30.norm").unwrap().decode().is_err());
    part.tensor("layers.30.norm").unwrap().decode().unwrap();
    s.server.log();
    // Once more, now each by itself.
    assert_same(&vb.get((2, 1024), "layers.4.norm").unwrap(), &tensor(shape(4)));
    assert_eq!(s.server.log().len(), 1);
}

#[test]
fn two_hundred_loads_with_a_fault_each_give_a_model_or_a_typed_error() {
    let s = Setting::new();
    let mut rng = Rng::new(5);
    let (mut fine, mut failed) = (0, 0);
    let expected = [("a", [1024, 512]), ("norm", [4, 128]), ("z", [2048, 512])].map(|(n, shape)| (n, tensor(shape)));
    for round in 0..200 {
        let byte = rng.below(s.model.len() as u64);
        let fault = match round % 7 {
            0 => Fault::Status(503, None),
            1 => Fault::Flip(byte),
            2 => Fault::Half,
            3 => Fault::IgnoreRange,
            4 => Fault::Tag("another"),
            _ => Fault::Drop(byte as usize % 200_000),
        };
        s.server.redirect(rng.below(2) == 0);
        let before = rng.below(6) as usize;
        s.server
            .faults(times(before, Fault::None).into_iter().chain([fault.clone()]));
        let load = match s.repo().load(LoadOptions::default(), Arc::new(())) {
            Ok(load) => load,
            Err(error) => {
                let typed = matches!(error, wcodec::Error::Hub { .. } | wcodec::Error::Corrupt { .. });
                assert!(
                    typed || matches!(error, wcodec::Error::NotWcodec { .. }),
                    "{fault:?}: {error}"
                );
                failed += 1;
                continue;
            }
        };
        let vb = load.backend().var_builder(DType::BF16, &Device::Cpu);
        let mut all = true;
        for (name, expected) in &expected {
            match vb.get(expected.dims(), name) {
                Ok(got) => assert_same(&got, expected),
                Err(error) => {
                    assert!(wcodec_error(&error).is_some(), "{fault:?}: {error}");
                    all = false;
                }
            }
        }
        let finished = load.finish();
        s.assert_sound();
        match (all, finished) {
            (true, Ok(())) => fine += 1,
            _ => failed += 1,
        }
        s.server.faults([]);
        let path = s.repo().download(MODEL, &()).unwrap();
        if round % 20 == 0 {
            checkpoint::verify(&path, None, Default::default(), &()).unwrap();
        }
        std::fs::remove_file(path.canonicalize().unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    assert!(fine > 120 && failed > 10, "{fine} fine, {failed} failed");
}

#[test]
fn a_server_that_goes_away_is_an_error_where_it_is_asked() {
    let s = Setting::new();
    let load = s.repo().load_part(".*", LoadOptions::default()).unwrap();
    s.server.change(ID, |repo| repo.files.clear());
    let vb = load.var_builder(DType::BF16, &Device::Cpu);
    let error = vb.get((2048, 512), "z").unwrap_err();
    let error = wcodec_error(&error).cloned().unwrap();
    assert_problem::<()>(Err(error), P::NotFound);
}
