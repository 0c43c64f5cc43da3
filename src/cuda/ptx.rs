//! The kernels as PTX, which the driver compiles for the GPU that it finds: `kernels/compile.py` writes it.

macro_rules! ptx {
    ($($name:literal,)*) => {
        /// The PTX of a kernel.
        pub(super) fn of(kernel: &str) -> Option<&'static str> {
            match kernel {
                $($name => Some(include_str!(concat!("../../kernels/ptx/", $name, ".ptx"))),)*
                _ => None,
            }
        }
    };
}

ptx! {
    "wcodec_float_8_8",
    "wcodec_float_16_16",
    "wcodec_float_16_32",
    "wcodec_float_32_32",
    "wcodec_float_32_64",
    "wcodec_float_64_64",
    "wcodec_float_16_16_6",
    "wcodec_float_16_16_5",
    "wcodec_float_16_16_9",
    "wcodec_float_16_16_8",
    "wcodec_float_32_32_22",
    "wcodec_bytes_8",
    "wcodec_bytes_16",
    "wcodec_bytes_32",
    "wcodec_bytes_64",
    "wcodec_raw",
    "wcodec_constant",
    "wcodec_tiles",
    "wcodec_levels_16",
    "wcodec_levels_32",
    "wcodec_tiled_levels_16",
    "wcodec_tiled_levels_32",
    "wcodec_u32_of_u16",
    "wcodec_i16_of_i8",
    "wcodec_f16_of_f8_e5m2",
}

#[cfg(test)]
mod tests {
    use super::super::kernels;

    #[test]
    fn every_kernel_has_its_ptx() {
        for (name, _, _) in kernels() {
            let ptx = super::of(&name).unwrap_or_else(|| panic!("{name} has no PTX: run kernels/compile.py"));
            assert!(ptx.contains(&format!(".entry {name}(")), "{name}");
        }
    }
}
