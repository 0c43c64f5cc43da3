//! What the driver says, as the caller's errors.

use crate::error::{Error, GpuProblem};
use candle_core::cuda::cudarc::driver::DriverError;
use candle_core::cuda::cudarc::driver::sys::CUresult as R;

/// Turns what the driver said when doing something into an error.
pub(crate) fn when(doing: impl Into<String>) -> impl FnOnce(DriverError) -> Error {
    let doing = doing.into();
    move |DriverError(code)| {
        let problem = problem(code);
        let next = match problem {
            GpuProblem::Missing => "is there an NVIDIA GPU, and its driver? Else decode on the CPU",
            GpuProblem::TooOld => "update the driver, or decode on the CPU",
            GpuProblem::OutOfMemory => "free GPU memory, or load on the CPU",
            GpuProblem::Lost => "the process cannot use this GPU any more: start it again",
            GpuProblem::Failed => "decode on the CPU if it happens again",
        };
        let what = format!("{doing}: {code:?}: {next}");
        Error::Gpu { problem, what }
    }
}

fn problem(code: R) -> GpuProblem {
    match code {
        R::CUDA_ERROR_NO_DEVICE
        | R::CUDA_ERROR_INVALID_DEVICE
        | R::CUDA_ERROR_STUB_LIBRARY
        | R::CUDA_ERROR_NOT_INITIALIZED
        | R::CUDA_ERROR_DEVICE_NOT_LICENSED
        | R::CUDA_ERROR_SYSTEM_NOT_READY => GpuProblem::Missing,
        R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | R::CUDA_ERROR_NO_BINARY_FOR_GPU
        | R::CUDA_ERROR_INVALID_PTX
        | R::CUDA_ERROR_JIT_COMPILER_NOT_FOUND
        | R::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => GpuProblem::TooOld,
        R::CUDA_ERROR_OUT_OF_MEMORY => GpuProblem::OutOfMemory,
        R::CUDA_ERROR_ILLEGAL_ADDRESS
        | R::CUDA_ERROR_MISALIGNED_ADDRESS
        | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | R::CUDA_ERROR_INVALID_PC
        | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | R::CUDA_ERROR_ASSERT
        | R::CUDA_ERROR_LAUNCH_FAILED
        | R::CUDA_ERROR_LAUNCH_TIMEOUT
        | R::CUDA_ERROR_HARDWARE_STACK_ERROR
        | R::CUDA_ERROR_ECC_UNCORRECTABLE
        | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | R::CUDA_ERROR_DEVICE_UNAVAILABLE
        | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | R::CUDA_ERROR_DEINITIALIZED => GpuProblem::Lost,
        _ => GpuProblem::Failed,
    }
}
