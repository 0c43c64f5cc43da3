//! Plane rotations built from three integer shears, and networks of them.
//!
//! A rotation by `theta` is the product of three shears with multipliers
//! `-tan(theta/2)`, `sin(theta)`, `-tan(theta/2)`. Rounding what a shear adds
//! does not hurt its inverse, which subtracts the same rounded number, so a
//! network of shears is exactly reversible over the integers (Plonka and Tasche,
//! "Invertible integer DCT algorithms", 2003).

/// Fractional bits of the shear multipliers.
pub(super) const FRACTION_BITS: u32 = 14;

/// `round(2^14 * tan(k * pi / 64))` for `k = 0..=8`.
pub(super) const HALF_TANGENT: [i32; 9] = [0, 805, 1614, 2430, 3259, 4104, 4970, 5862, 6786];

/// `round(2^14 * sin(k * pi / 32))` for `k = 0..=8`.
pub(super) const SINE: [i32; 9] = [0, 1606, 3196, 4756, 6270, 7723, 9102, 10394, 11585];

/// Eight vectors worked on side by side: `lanes[i][j]` is element `i` of vector `j`.
pub(super) type Lanes = [[i64; 8]; 8];

/// A rotation of elements `a` and `b` by a multiple of pi/32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    pub(super) a: u8,
    pub(super) b: u8,
    /// Multiplier of the first and third shear, which change `a`.
    pub(super) outer: i32,
    /// Multiplier of the second shear, which changes `b`.
    pub(super) inner: i32,
}

impl Rotation {
    /// The rotation `a' = cos*a - sin*b`, `b' = sin*a + cos*b` by `k * pi / 32`.
    /// `|k| <= 8` keeps every multiplier below 1, so that rounding noise is not amplified.
    pub(super) const fn new(a: u8, b: u8, k: i8) -> Self {
        let magnitude = k.unsigned_abs() as usize;
        let sign = if k < 0 { -1 } else { 1 };
        Self {
            a,
            b,
            outer: -sign * HALF_TANGENT[magnitude],
            inner: sign * SINE[magnitude],
        }
    }

    /// The three shears in forward order, as `(target, source, multiplier)`.
    #[cfg(test)]
    pub(super) fn shears(self) -> [(usize, usize, i32); 3] {
        let (a, b) = (usize::from(self.a), usize::from(self.b));
        [(a, b, self.outer), (b, a, self.inner), (a, b, self.outer)]
    }

    #[cfg(any(test, feature = "encode"))]
    #[inline(always)]
    fn forward(self, lanes: &mut Lanes) {
        let (a, b) = (usize::from(self.a), usize::from(self.b));
        let (mut x, mut y) = (lanes[a], lanes[b]);
        for (x, y) in x.iter_mut().zip(&mut y) {
            *x = x.wrapping_add(scaled(*y, self.outer));
            *y = y.wrapping_add(scaled(*x, self.inner));
            *x = x.wrapping_add(scaled(*y, self.outer));
        }
        (lanes[a], lanes[b]) = (x, y);
    }

    #[inline(always)]
    fn inverse(self, lanes: &mut Lanes) {
        let (a, b) = (usize::from(self.a), usize::from(self.b));
        let (mut x, mut y) = (lanes[a], lanes[b]);
        for (x, y) in x.iter_mut().zip(&mut y) {
            *x = x.wrapping_sub(scaled(*y, self.outer));
            *y = y.wrapping_sub(scaled(*x, self.inner));
            *x = x.wrapping_sub(scaled(*y, self.outer));
        }
        (lanes[a], lanes[b]) = (x, y);
    }
}

/// `value * multiplier / 2^14`, rounded to nearest with halves up, modulo 2^64 before the shift.
#[inline(always)]
pub(super) fn scaled(value: i64, multiplier: i32) -> i64 {
    let product = value.wrapping_mul(i64::from(multiplier));
    product.wrapping_add(1 << (FRACTION_BITS - 1)) >> FRACTION_BITS
}

/// Where one output coefficient comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Element of the rotated vector.
    pub(super) element: u8,
    /// Whether that element is negated (wrapping, so `i64::MIN` stays itself).
    pub(super) negate: bool,
}

/// The output that takes `element` as it is.
pub(super) const fn plus(element: u8) -> Output {
    Output { element, negate: false }
}

/// The output that takes `element` negated.
pub(super) const fn minus(element: u8) -> Output {
    Output { element, negate: true }
}

/// A reversible 8-point transform: rotations in order, then a signed permutation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network<const N: usize> {
    pub(super) rotations: [Rotation; N],
    /// `outputs[k]` is the source of coefficient `k`.
    pub(super) outputs: [Output; 8],
}

impl<const N: usize> Network<N> {
    /// Transforms the eight vectors.
    #[inline]
    #[cfg(any(test, feature = "encode"))]
    pub(super) fn forward(&self, lanes: &mut Lanes) {
        for rotation in &self.rotations {
            rotation.forward(lanes);
        }
        let rotated = *lanes;
        for (coefficients, output) in lanes.iter_mut().zip(&self.outputs) {
            *coefficients = signed(rotated[usize::from(output.element)], output.negate);
        }
    }

    /// Undoes [`Self::forward`].
    #[inline]
    pub(super) fn inverse(&self, lanes: &mut Lanes) {
        let coefficients = *lanes;
        for (values, output) in coefficients.into_iter().zip(&self.outputs) {
            lanes[usize::from(output.element)] = signed(values, output.negate);
        }
        for rotation in self.rotations.iter().rev() {
            rotation.inverse(lanes);
        }
    }
}

#[inline(always)]
fn signed(values: [i64; 8], negate: bool) -> [i64; 8] {
    if negate { values.map(i64::wrapping_neg) } else { values }
}
