//! Normalisation between layers: w o (x - m) / sqrt(v + eps) + b, w and b one number for each channel, eps = 1e-5.
//!
//! Layer norm (Ba, Kiros and Hinton 2016) takes mean m and variance v over the channels of each node. Batch norm
//! (Ioffe and Szegedy 2015) takes them over the nodes for each channel, in evaluation their running means from
//! training, as PyTorch has it (a tenth new at each step, v over n - 1). These are kept among the parameters, where
//! the optimiser finds no gradient and weight decay leaves them alone.

use engine::{ParamId, Real, Recording, Var, parallel};
use serde::{Deserialize, Serialize};

use super::Dropout;
use super::layers::Builder;

/// Added to variances.
const EPS: f64 = 1e-5;

/// Which normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// None.
    #[default]
    None,
    /// Over the nodes, for each channel.
    Batch,
    /// Over the channels, for each node.
    Layer,
}

/// A normalisation with its parameters.
pub struct Normalised {
    w: ParamId,
    b: ParamId,
    /// Running mean and variance of each channel, for batch norm.
    running: Option<[ParamId; 2]>,
}

impl Normalised {
    /// On states of `channels`; none if there is to be none.
    pub fn new<T: Real>(on: &mut Builder<'_, T>, name: &str, channels: usize, norm: Norm) -> Option<Self> {
        if norm == Norm::None {
            return None;
        }
        let w = on.params.add(format!("{name}.weight"), channels, 1, || T::ONE);
        let b = on.params.add_zeros(format!("{name}.bias"), channels, 1);
        let running = (norm == Norm::Batch).then(|| {
            let mean = on.params.add_zeros(format!("{name}.mean"), channels, 1);
            [mean, on.params.add(format!("{name}.variance"), channels, 1, || T::ONE)]
        });
        Some(Self { w, b, running })
    }

    /// What weight decay leaves alone.
    pub fn undecayed(&self) -> impl Iterator<Item = ParamId> {
        self.running.into_iter().flatten()
    }

    /// x normalised; statistics are measured in a training step.
    pub fn apply<T: Real>(&self, g: &mut Recording<T>, x: Var, dropout: &mut Dropout) -> Var {
        let normal = match self.running {
            None => g.normalise_columns(x, EPS),
            Some([mean, variance]) if dropout.is_on() => {
                let [m, v] = statistics(g, x);
                dropout.measure(mean, m);
                dropout.measure(variance, v);
                g.normalise_rows(x, EPS)
            }
            Some([mean, variance]) => {
                let (mean, variance) = (g.param(mean), g.param(variance));
                let variance = g.affine(variance, 1.0, EPS);
                let deviation = g.sqrt(variance);
                let x = g.sub(x, mean);
                g.div(x, deviation)
            }
        };
        let (w, b) = (g.param(self.w), g.param(self.b));
        g.scale_shift(normal, w, b)
    }
}

/// Mean and variance (over n - 1) of each row.
fn statistics<T: Real>(g: &Recording<T>, x: Var) -> [Vec<f64>; 2] {
    let (x, shape) = (g.value(x).data, g.shape(x));
    let mut sums = [vec![0.0; shape.rows], vec![0.0; shape.rows]];
    let [means, squares] = &mut sums;
    // Some rows in a task, each summed over the columns in order.
    let columns = |c: usize, n: usize| {
        x.chunks_exact(shape.rows.max(1)).map(move |x| &x[c * parallel::ROWS..c * parallel::ROWS + n])
    };
    parallel::for_chunks(means, parallel::ROWS, |c, means| {
        columns(c, means.len()).for_each(|x| means.iter_mut().zip(x).for_each(|(m, x)| *m += x.f64()));
        means.iter_mut().for_each(|m| *m /= shape.cols.max(1) as f64);
    });
    parallel::for_chunks(squares, parallel::ROWS, |c, squares| {
        let means = &means[c * parallel::ROWS..c * parallel::ROWS + squares.len()];
        for x in columns(c, squares.len()) {
            squares.iter_mut().zip(x).zip(means).for_each(|((s, x), m)| *s += (x.f64() - m).powi(2));
        }
    });
    squares.iter_mut().for_each(|s| *s /= shape.cols.saturating_sub(1).max(1) as f64);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::karate;
    use engine::rng::Stream;
    use engine::{Params, Tape};

    #[test]
    fn running_statistics_follow_those_of_training_steps() {
        let (data, mut params) = (karate(), Params::<f64>::new());
        let on = &mut Builder::new(&data, &mut params, 0);
        let norm = Normalised::new(on, "norm", 2, Norm::Batch).unwrap();
        let mut dropout = Dropout::new();
        // Rows (1, 2, 6) and (0, 4, -4): means 3 and 0, variances over two 7 and 16.
        let rows = [1.0, 0.0, 2.0, 4.0, 6.0, -4.0];
        let mut tape = Tape::new();
        dropout.begin(Stream::new(0, "dropout", 0, 0));
        let mut g = tape.record(params.values());
        let x = g.constant(2, 3, &rows);
        let y = norm.apply(&mut g, x, &mut dropout);
        let first: f64 = (1.0 - 3.0) / (14.0_f64 / 3.0 + EPS).sqrt();
        assert!((g.value(y).data[0] - first).abs() < 1e-12);
        dropout.update(params.values_mut());
        let kept = |name: &str| params.view(params.find(name).unwrap()).data.to_vec();
        let close = |a: Vec<f64>, b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(kept("norm.mean"), [0.3, 0.0]) && close(kept("norm.variance"), [1.6, 2.5]));
        // Evaluation takes them, and measures nothing.
        dropout.end();
        let mut g = tape.record(params.values());
        let x = g.constant(2, 3, &rows);
        let y = norm.apply(&mut g, x, &mut dropout);
        assert!((g.value(y).data[0] - 0.7 / (1.6 + EPS).sqrt()).abs() < 1e-12);
        let before = params.values().to_vec();
        dropout.update(params.values_mut());
        assert_eq!(params.values(), before);
    }
}
