//! The transforms' tables as C initialisers, for the kernels.

use super::adst::ADST;
use super::dct::DCT;
use super::lifting::{FRACTION_BITS, Network};

/// The definitions.
pub(crate) fn text() -> String {
    let bits = format!(
        "constexpr u32 LIFTING_BITS = {FRACTION_BITS};\n\
         // A rotation of elements `a` and `b`, as three shears.\n\
         struct Rotation {{\n    u32 a, b;\n    i32 outer, inner;\n}};\n\
         // Where a coefficient comes from.\n\
         struct Output {{\n    u32 element;\n    bool negate;\n}};\n"
    );
    bits + &network("DCT", &DCT) + &network("ADST", &ADST)
}

fn network<const N: usize>(name: &str, network: &Network<N>) -> String {
    let rotation = |r: &super::lifting::Rotation| format!("{{{}, {}, {}, {}}}", r.a, r.b, r.outer, r.inner);
    let output = |o: &super::lifting::Output| format!("{{{}, {}}}", o.element, o.negate);
    let rotations: Vec<String> = network.rotations.iter().map(rotation).collect();
    let outputs: Vec<String> = network.outputs.iter().map(output).collect();
    format!(
        "#define {name}_ROTATIONS {{{}}}\n#define {name}_OUTPUTS {{{}}}\n",
        rotations.join(", "),
        outputs.join(", ")
    )
}
