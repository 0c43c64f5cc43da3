//! Small files that use every method.

use super::data::{Kind, Rng, fill};
use super::wire::Layout;
use std::path::Path;
use std::sync::OnceLock;
use wcodec::checkpoint::Lossy;
use wcodec::{DType, Decoder, Effort, EncodeOptions, checkpoint};

/// A file, where its parts are, and what its tensors decode to.
pub struct Sample {
    pub bytes: Vec<u8>,
    pub layout: Layout,
    pub tensors: Vec<(String, Vec<u8>)>,
}

type Tensor = (&'static str, DType, Vec<usize>, Vec<u8>);

impl Sample {
    fn new(tensors: Vec<Tensor>, effort: Effort) -> Self {
        Self::written(&tensors, |input, output| {
            checkpoint::encode(input, output, &EncodeOptions::lossless().effort(effort), &()).unwrap();
        })
    }

    /// Of quantised tensors.
    fn quantised(tensors: Vec<Tensor>, bits: f64) -> Self {
        let mut sample = Self::written(&tensors, |input, output| {
            let options = EncodeOptions::lossless();
            checkpoint::encode_lossy(input, output, &options, &Lossy::bits(bits), &()).unwrap();
        });
        let decoder = Decoder::from_bytes(sample.bytes.clone(), "sample").unwrap();
        for (name, data) in &mut sample.tensors {
            *data = decoder.tensor(name).unwrap().decode().unwrap();
        }
        sample
    }

    fn written(tensors: &[Tensor], write: impl Fn(&Path, &Path)) -> Self {
        let mut entries = serde_json::Map::new();
        let mut body: Vec<u8> = Vec::new();
        for (name, dtype, shape, data) in tensors {
            let offsets = [body.len(), body.len() + data.len()];
            let entry = serde_json::json!({ "dtype": dtype.name(), "shape": shape, "data_offsets": offsets });
            entries.insert((*name).into(), entry);
            body.extend(data);
        }
        let mut json = serde_json::to_vec(&entries).unwrap();
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut safetensors = (json.len() as u64).to_le_bytes().to_vec();
        safetensors.extend(json);
        safetensors.extend(body);

        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("a.safetensors"), folder.path().join("a.wcodec"));
        std::fs::write(&input, safetensors).unwrap();
        write(&input, &output);
        let bytes = std::fs::read(output).unwrap();
        let layout = Layout::of(&bytes);
        let tensors = tensors
            .iter()
            .map(|(name, _, _, data)| ((*name).into(), data.clone()))
            .collect();
        Self { bytes, layout, tensors }
    }

    /// The recipes of its tensors.
    pub fn recipes(&self) -> Vec<String> {
        let decoder = Decoder::from_bytes(self.bytes.clone(), "sample").unwrap();
        decoder.tensors().map(|t| t.info().recipe_text().to_owned()).collect()
    }
}

fn widened(n: usize) -> Vec<u8> {
    fill(Kind::Normal, DType::BF16, &[n], 5)
        .chunks(2)
        .flat_map(|b| [0, 0, b[0], b[1]])
        .collect()
}

/// Small enough to flip every bit of it.
pub fn small() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut rng = Rng::new(1);
        let tensor = |name, dtype, shape: &[usize], kind| (name, dtype, shape.to_vec(), fill(kind, dtype, shape, 2));
        let mut escapes = fill(Kind::Normal, DType::BF16, &[500], 4);
        for (i, word) in [0x7f80u16, 0xffc1, 0x0001, 0x8000, 0x7f7f].into_iter().enumerate() {
            escapes[200 * i..][..2].copy_from_slice(&word.to_le_bytes());
        }
        let skewed = (0..600).map(|_| (rng.normal() * 3.0) as i8 as u8).collect();
        let longs = (0..300).flat_map(|_| (rng.below(1000) as i64).to_le_bytes()).collect();
        Sample::new(
            vec![
                tensor("raw", DType::U8, &[100], Kind::Noise),
                tensor("constant", DType::F16, &[1000], Kind::Constant),
                tensor("empty", DType::F16, &[0, 7], Kind::Noise),
                tensor("float", DType::BF16, &[3, 200], Kind::Normal),
                ("escapes", DType::BF16, vec![500], escapes),
                ("widened", DType::F32, vec![400], widened(400)),
                ("bytes", DType::I8, vec![600], skewed),
                ("wide", DType::I64, vec![300], longs),
            ],
            Effort::Default,
        )
    })
}

/// What needs more data: scale prediction, thresholds, tiles, several chunks.
pub fn rich() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let tensor = |name, dtype, shape: &[usize], kind| (name, dtype, shape.to_vec(), fill(kind, dtype, shape, 3));
        Sample::new(
            vec![
                tensor("scaled", DType::BF16, &[96, 512], Kind::Scaled),
                tensor("thresholds", DType::I8, &[96, 256], Kind::Scaled),
                tensor("smooth", DType::F32, &[128, 64], Kind::Smooth),
                tensor("ramp", DType::I32, &[64, 64], Kind::Ramp),
                tensor("chunks", DType::BF16, &[150_000], Kind::Normal),
                tensor("doubles", DType::F64, &[900], Kind::Special),
            ],
            Effort::Max,
        )
    })
}

/// Levels, with escapes, in every type that they make, and in tiles.
pub fn quantised() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut outliers = fill(Kind::Scaled, DType::BF16, &[128, 160], 6);
        for weight in outliers.as_chunks_mut::<2>().0.iter_mut().step_by(4001) {
            *weight = [0x80, 0x40];
        }
        let tensor = |name, dtype, shape: &[usize]| (name, dtype, shape.to_vec(), fill(Kind::Normal, dtype, shape, 7));
        Sample::quantised(
            vec![
                ("outliers", DType::BF16, vec![128, 160], outliers),
                tensor("half", DType::F16, &[100, 170]),
                tensor("single", DType::F32, &[170, 100]),
                (
                    "tiled",
                    DType::BF16,
                    vec![160, 110],
                    fill(Kind::Smooth, DType::BF16, &[160, 110], 7),
                ),
                tensor("exact", DType::BF16, &[90]),
            ],
            4.0,
        )
    })
}
