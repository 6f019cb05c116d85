//! What training does and evaluation does not: dropout (Srivastava et al. 2014), entries set to 0 with probability p
//! and the others divided by 1 - p; and the measuring of what evaluation needs.

use engine::rng::Stream;
use engine::{ParamId, Real, Recording, Var, parallel};

/// How much of a running mean a new value replaces, as in PyTorch's batch norm.
const MOMENTUM: f64 = 0.1;

/// On in training, with the stream of one step; off in evaluation.
pub struct Dropout {
    stream: Option<Stream>,
    /// What was measured in this step, each with the parameter that keeps its running mean.
    measured: Vec<(ParamId, Vec<f64>)>,
}

impl Dropout {
    /// Leaves everything as it is.
    pub fn off() -> Self {
        Self { stream: None, measured: Vec::new() }
    }

    /// Off until [`Dropout::begin`].
    pub fn new() -> Self {
        Self::off()
    }

    /// From here on drops by `stream`.
    pub fn begin(&mut self, stream: Stream) {
        self.stream = Some(stream);
        self.measured.clear();
    }

    /// Whether this is a training step.
    pub fn is_on(&self) -> bool {
        self.stream.is_some()
    }

    /// Notes what `id` keeps the running mean of.
    pub fn measure(&mut self, id: ParamId, now: Vec<f64>) {
        self.measured.push((id, now));
    }

    /// Brings running means among `params` up to date with what was measured.
    pub fn update<T: Real>(&mut self, params: &mut [T]) {
        for (id, now) in self.measured.drain(..) {
            for (mean, now) in params[id.range()].iter_mut().zip(now) {
                *mean += T::of(MOMENTUM) * (T::of(now) - *mean);
            }
        }
    }

    /// From here on drops nothing.
    pub fn end(&mut self) {
        self.stream = None;
    }

    /// x with entries dropped at `rate`.
    pub fn apply<T: Real>(&mut self, g: &mut Recording<T>, x: Var, rate: f64) -> Var {
        let Some(stream) = self.stream.as_mut().filter(|_| rate > 0.0) else { return x };
        g.dropout(x, rate, stream)
    }

    /// A constant with entries dropped at `rate`: as [`Dropout::apply`] has it, without a copy of what is not dropped.
    pub fn constant<T: Real>(
        &mut self,
        g: &mut Recording<T>,
        (rows, cols): (usize, usize),
        x: &[T],
        rate: f64,
    ) -> Var {
        let Some(stream) = self.stream.as_mut().filter(|_| rate > 0.0) else {
            return g.constant(rows, cols, x);
        };
        let (rate, kept) = (T::of(rate), T::of(1.0 / (1.0 - rate)));
        g.constant_with(rows, cols, |out| {
            stream.fill_uniform_in_parts(out);
            parallel::for_chunks(out, parallel::CHUNK, |c, out| {
                let x = &x[c * parallel::CHUNK..][..out.len()];
                out.iter_mut().zip(x).for_each(|(u, x)| *u = *x * if *u < rate { T::ZERO } else { kept });
            });
        })
    }
}

impl Default for Dropout {
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
