//! Parts of tensors, against Candle's `ShardedSafeTensors`.

use super::{CPU, Files, Stored, bits, kind};
use candle_core::{DType, Error};
use candle_nn::var_builder::{Shard, ShardedSafeTensors};
use wcodec::DType as Type;

#[test]
fn parts_are_those_of_candle() {
    let files = Files::new(&[vec![
        Stored::random("large", Type::BF16, &[600, 512]),
        Stored::random("small", Type::F32, &[6, 4, 5]),
    ]]);
    let ours = wcodec::candle::sharded_var_builder(&files.wcodec, DType::F32, &CPU).unwrap();
    // SAFETY: nothing writes to the files.
    let candle = unsafe { ShardedSafeTensors::var_builder(&files.safetensors, DType::F32, &CPU) }.unwrap();
    for (name, shape) in [("large", vec![600, 512]), ("small", vec![6, 4, 5])] {
        for world_size in [1, 2] {
            for (dim, rank) in (0..2).flat_map(|dim| (0..world_size).map(move |rank| (dim, rank))) {
                let shard = Shard { dim, rank, world_size };
                let [a, b] = [
                    ours.get_with_hints(shape.clone(), name, shard).unwrap(),
                    candle.get_with_hints(shape.clone(), name, shard).unwrap(),
                ];
                assert!(bits(&a) == bits(&b), "{name} {shard:?}");
            }
        }
    }
    let third = ours
        .get_with_hints(
            (6, 4, 5),
            "small",
            Shard {
                dim: 2,
                rank: 4,
                world_size: 5,
            },
        )
        .unwrap();
    let whole = files.plain(DType::F32).get((6, 4, 5), "small").unwrap();
    assert!(bits(&third) == bits(&whole.narrow(2, 4, 1).unwrap().contiguous().unwrap()));

    let get = |name: &str, dim, rank, world_size| {
        ours.get_with_hints((6, 4, 5), name, Shard { dim, rank, world_size })
            .unwrap_err()
    };
    assert!(matches!(
        kind(&get("small", 0, 0, 4)),
        Error::ShapeMismatchSplit { dim: 0, n_parts: 4, .. }
    ));
    assert!(matches!(
        kind(&get("small", 3, 0, 2)),
        Error::DimOutOfRange { dim: 3, .. }
    ));
    assert!(matches!(kind(&get("none", 0, 0, 2)), Error::CannotFindTensor { .. }));
    assert!(matches!(kind(&get("small", 0, 2, 2)), Error::Msg(_)));
    assert!(matches!(kind(&get("small", 0, 0, 0)), Error::Msg(_)));
    assert!(ours.get_unchecked("small").is_err());
    assert!(ours.contains_tensor("small") && !ours.contains_tensor("none"));
}
