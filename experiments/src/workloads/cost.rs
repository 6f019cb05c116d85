//! What a step needs, counted from the shapes of its arrays, whatever the code that does it.

/// Operations that an elementary function (exp, ln, sin, cos, tanh, the logistic function) counts as: about what one
/// takes as a polynomial with the reduction of its argument, in single precision. A sum, a product, a comparison, a
/// division and a root count as 1 each.
pub const ELEMENTARY: f64 = 20.0;
/// Operations of SiLU: exp, a sum, a division, a product.
pub const SILU: f64 = ELEMENTARY + 3.0;
/// Operations of its derivative where exp is known.
pub const SILU_BACK: f64 = 5.0;
/// Operations of Adam for a parameter: two moving averages, a root, a division, the step.
const ADAM: f64 = 12.0;
/// Bytes of a number.
pub const WORD: f64 = 4.0;

/// The least that one step needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes between memory and processor, if nothing stays in a cache from step to step: each input is read once,
    /// each result written once. What a small cache makes necessary beyond that is not in it.
    pub bytes: f64,
}

impl Cost {
    /// A step of Adam on `parameters`: they and both moments are read and written.
    pub fn adam(parameters: f64) -> Self {
        Self { flops: ADAM * parameters, bytes: 6.0 * WORD * parameters }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}
