//! Where a model computes.

use crate::failure::Failure;
use candle_core::Device;

/// What `--device` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceArgument {
    Cpu,
    /// An NVIDIA GPU by its number.
    Cuda(usize),
}

impl DeviceArgument {
    /// Opens it.
    pub(crate) fn open(self) -> Result<Device, Failure> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(Failure::usage(
                "--device cuda: this wcodec was built without CUDA: build it with `--features cuda`, or leave --device out",
            )),
            Self::Cuda(number) => Device::new_cuda(number)
                .map_err(|e| Failure::new("gpu", format!("--device cuda:{number}: {e}; --device cpu needs no GPU"))),
        }
    }
}

/// Reads `cpu`, `cuda` or `cuda:N`.
pub(crate) fn parse(text: &str) -> Result<DeviceArgument, String> {
    let number = text.strip_prefix("cuda:").and_then(|n| n.parse().ok());
    match (text, number) {
        ("cpu", _) => Ok(DeviceArgument::Cpu),
        ("cuda", _) => Ok(DeviceArgument::Cuda(0)),
        (_, Some(number)) => Ok(DeviceArgument::Cuda(number)),
        _ => Err("write cpu, cuda or cuda:N".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!(parse("cpu"), Ok(DeviceArgument::Cpu));
        assert_eq!(parse("cuda"), Ok(DeviceArgument::Cuda(0)));
        assert_eq!(parse("cuda:3"), Ok(DeviceArgument::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
