//! Learning rates as functions of the step, without state to save.

/// How a learning rate changes over `total` steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The peak rate at every step.
    Constant,
    /// Cosine decay over all `total` steps from the peak to `floor` times the peak (Loshchilov and Hutter 2017),
    /// times a linear rise over the first `warm_up` steps.
    WarmUpCosine {
        /// Steps of the rise.
        warm_up: u64,
        /// Ratio of the last rate to the peak.
        floor: f64,
    },
    /// A factor `rate` in every `every` steps.
    Exponential {
        /// The factor.
        rate: f64,
        /// Steps for one factor.
        every: f64,
    },
}

impl Schedule {
    /// The ratio of the rate at `step` (from 0) of `total` steps to the peak rate.
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::WarmUpCosine { warm_up, floor } => {
                let rise = ((step + 1) as f64 / warm_up.max(1) as f64).min(1.0);
                let progress = (step as f64 / total.max(1) as f64).min(1.0);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                rise * (floor + (1.0 - floor) * cosine)
            }
            Self::Exponential { rate, every } => rate.powf(step as f64 / every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_at_the_ends_and_in_the_middle() {
        let s = Schedule::WarmUpCosine { warm_up: 10, floor: 0.01 };
        assert!((s.factor(4, 1_000_000) - 0.5).abs() < 1e-6);
        assert!((s.factor(500, 1000) - 0.505).abs() < 1e-12);
        assert!((s.factor(1000, 1000) - 0.01).abs() < 1e-12);
        assert!((s.factor(5000, 1000) - 0.01).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(3, 10), 1.0);
        assert!((Schedule::Exponential { rate: 0.1, every: 50.0 }.factor(100, 0) - 0.01).abs() < 1e-15);
    }
}
