//! Where in its bits a type carries information.

use super::entropy;
use super::values::{layout, patterns};
use crate::dtype::DType;
use crate::error::Result;

/// Widest field that is counted by itself, in bits.
const WIDEST: u32 = 8;

/// Some neighbouring bits of an element.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// `sign`, `exponent`, `mantissa` with its bits from the top where it is cut, or `bits` with numbers.
    pub name: String,
    /// How many bits it has.
    pub bits: u32,
    /// Its entropy by itself, in bits an element: what it needs at least if nothing else is known.
    pub entropy: f64,
}

/// The entropy of each field of a type's elements, from the top: sign, exponent and mantissa of floats, halves
/// of bytes of integers. Empty for types whose elements are not whole bytes.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) if the data's length is not that of dtype and shape.
pub fn fields(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Vec<Field>> {
    super::elements(dtype, shape, data)?;
    let Some(patterns) = patterns(dtype, data) else {
        return Ok(Vec::new());
    };
    let cuts = cuts(dtype);
    let mut counts: Vec<Vec<u64>> = cuts.iter().map(|cut| vec![0; 1 << cut.bits]).collect();
    for pattern in patterns {
        for (cut, counts) in cuts.iter().zip(&mut counts) {
            counts[(pattern >> cut.low) as usize & ((1 << cut.bits) - 1)] += 1;
        }
    }
    let field = |(cut, counts): (Cut, Vec<u64>)| Field {
        name: cut.name,
        bits: cut.bits,
        entropy: entropy(&counts),
    };
    Ok(cuts.into_iter().zip(counts).map(field).collect())
}

struct Cut {
    name: String,
    low: u32,
    bits: u32,
}

fn cuts(dtype: DType) -> Vec<Cut> {
    let total = dtype.bits() as u32;
    let mut cuts = Vec::new();
    let mut high = total;
    let mut cut = |name: String, bits: u32| {
        high -= bits;
        cuts.push(Cut { name, low: high, bits });
    };
    if let Some(layout) = layout(dtype) {
        cut("sign".into(), 1);
        cut("exponent".into(), layout.exponent);
        let mut done = 0;
        while done < layout.mantissa {
            let bits = WIDEST.min(layout.mantissa - done);
            let name = match layout.mantissa <= WIDEST {
                true => "mantissa".into(),
                false => format!("mantissa {} to {}", done + 1, done + bits),
            };
            cut(name, bits);
            done += bits;
        }
        return cuts;
    }
    let step = if total <= 16 { 4 } else { 8 };
    for i in 0..total / step {
        let top = total - i * step;
        cut(format!("bits {} to {}", top - 1, top - step), step);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_where_they_should_be() {
        let names = |dtype| {
            cuts(dtype)
                .into_iter()
                .map(|c| (c.name, c.low, c.bits))
                .collect::<Vec<_>>()
        };
        let of = |name: &str, low, bits| (name.to_owned(), low, bits);
        assert_eq!(
            names(DType::BF16),
            [of("sign", 15, 1), of("exponent", 7, 8), of("mantissa", 0, 7)]
        );
        assert_eq!(names(DType::I8), [of("bits 7 to 4", 4, 4), of("bits 3 to 0", 0, 4)]);
        for &dtype in DType::ALL.iter().filter(|d| d.bits() >= 8) {
            assert_eq!(cuts(dtype).iter().map(|c| c.bits as usize).sum::<usize>(), dtype.bits());
        }
    }

    #[test]
    fn entropies_are_those_of_the_bits() {
        // 1, -1, 1.5, -1.5 in BF16: both signs, one exponent, two mantissas.
        let data: Vec<u8> = [0x3f80u16, 0xbf80, 0x3fc0, 0xbfc0]
            .into_iter()
            .flat_map(u16::to_le_bytes)
            .collect();
        let entropies: Vec<f64> = fields(DType::BF16, &[4], &data)
            .unwrap()
            .iter()
            .map(|f| f.entropy)
            .collect();
        assert_eq!(entropies, [1.0, 0.0, 1.0]);
        assert!(fields(DType::F4, &[8], &data[..4]).unwrap().is_empty());
    }
}
