//! Dropout (Srivastava et al. 2014): entries set to 0 with probability p, the others divided by 1 - p.

use engine::rng::Stream;
use engine::{Real, Recording, Var};

/// On in training, with the stream of one step; off in evaluation.
pub struct Dropout<T> {
    stream: Option<Stream>,
    mask: Vec<T>,
}

impl<T: Real> Dropout<T> {
    /// Leaves everything as it is.
    pub fn off() -> Self {
        Self { stream: None, mask: Vec::new() }
    }

    /// Off until [`Dropout::begin`].
    pub fn new() -> Self {
        Self::off()
    }

    /// From here on drops by `stream`.
    pub fn begin(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// From here on drops nothing.
    pub fn end(&mut self) {
        self.stream = None;
    }

    /// x with entries dropped at `rate`.
    pub fn apply(&mut self, g: &mut Recording<T>, x: Var, rate: f64) -> Var {
        let Some(stream) = self.stream.as_mut().filter(|_| rate > 0.0) else { return x };
        let shape = g.shape(x);
        self.mask.resize(shape.len(), T::ZERO);
        stream.fill_uniform(&mut self.mask);
        let (rate, kept) = (T::of(rate), T::of(1.0 / (1.0 - rate)));
        self.mask.iter_mut().for_each(|u| *u = if *u < rate { T::ZERO } else { kept });
        let mask = g.constant(shape.rows, shape.cols, &self.mask);
        g.mul(x, mask)
    }
}

impl<T: Real> Default for Dropout<T> {
    fn default() -> Self {
        Self::off()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Tape;

    #[test]
    fn keeps_the_mean_and_drops_the_share() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.constant(1, 20_000, &[1.0; 20_000]);
        let mut dropout = Dropout::new();
        assert_eq!(dropout.apply(&mut g, x, 0.3), x);
        dropout.begin(Stream::new(0, "dropout", 0, 0));
        let y = dropout.apply(&mut g, x, 0.3);
        let y = g.value(y).data;
        let zeros = y.iter().filter(|v| **v == 0.0).count() as f64 / 20_000.0;
        assert!((zeros - 0.3).abs() < 0.015, "{zeros}");
        assert!((y.iter().sum::<f64>() / 20_000.0 - 1.0).abs() < 0.03);
    }
}
