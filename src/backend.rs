//! Which instructions decoder and encoder use. Every backend gives the same bytes.

use crate::error::Error;
use std::{fmt, str::FromStr, sync::LazyLock};

/// A set of instructions to decode with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust, no vector instructions: the executable specification.
    Scalar,
    /// AVX2: eight lanes a vector.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW and VL: sixteen lanes a vector.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON: four lanes a vector.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// The environment variable that overrides the choice: `scalar`, `avx2`, `avx512` or `neon`.
pub const BACKEND_VARIABLE: &str = "WCODEC_BACKEND";

impl Backend {
    /// Every backend that this build has, slowest first; the CPU may lack some.
    pub const ALL: &'static [Self] = &[
        Self::Scalar,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
    ];

    /// The backends that this build has and this CPU can run, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|b| b.is_available())
    }

    /// Whether this CPU can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                // Kernels ask for each 256 elements, so the answer is kept.
                static AVX512: LazyLock<bool> = LazyLock::new(|| {
                    Backend::Avx2.is_available()
                        && is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512vl")
                });
                *AVX512
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        }
    }

    /// The backend of the environment variable [`BACKEND_VARIABLE`] if it is set, else the fastest
    /// that this CPU can run. Detected once.
    ///
    /// # Errors
    /// [`Error::Usage`] if the variable names a backend that is unknown or cannot run here.
    pub fn detect() -> Result<Self, Error> {
        static CHOICE: LazyLock<Result<Backend, String>> = LazyLock::new(|| match std::env::var(BACKEND_VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse().map_err(|e: Error| format!("{BACKEND_VARIABLE}: {e}")),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(Backend::available().last().unwrap_or(Backend::Scalar)),
            Err(e) => Err(format!("{BACKEND_VARIABLE}: {e}")),
        });
        CHOICE.clone().map_err(Error::usage)
    }

    /// The backend that is asked for, or [`Backend::detect`]'s.
    ///
    /// # Errors
    /// [`Error::Usage`] if it cannot run here.
    pub(crate) fn choose(asked: Option<Self>) -> Result<Self, Error> {
        match asked {
            Some(b) if !b.is_available() => Err(Error::usage(format!("this CPU cannot run the {b} backend"))),
            Some(b) => Ok(b),
            None => Self::detect(),
        }
    }

    /// Its name: `scalar`, `avx2`, `avx512` or `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let here: Vec<_> = Self::available().map(Self::name).collect();
        Self::available()
            .find(|b| b.name() == name)
            .ok_or_else(|| Error::usage(format!("no backend {name:?} here: choose one of {}", here.join(", "))))
    }
}
