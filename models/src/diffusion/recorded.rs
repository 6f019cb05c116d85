//! Paths of the reverse SDE that are kept, and the gradient of their densities in the network's output.

use std::ops::Range;

use engine::Real;
use engine::buffer_pool::BufferPool;
use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::ReverseProcess;
use super::reverse::{Memory, STATES, Walker};

/// Paths with the states and the Gaussians of all their steps.
///
/// A step from x at sigma to x' at sigma' has the density N(x'; x + Delta (a x + b F(x, sigma)), v) under the reverse
/// SDE, Delta = sigma^2 - sigma'^2. With both states fixed its logarithm has the derivative
///
/// d/dF = (Delta b / v) (x' - x - Delta score) = (Delta b / sqrt v) z
///
/// in the network's output, z the Gaussian of the step: no derivative of the energy, and none through the path.
///
/// A *column* is a state before a step, with its noise level: `count` paths of `steps` + 1 steps have
/// `count` (`steps` + 1) columns, which are a batch for the network like any other.
pub struct RecordedPaths<T: Real> {
    dim: usize,
    steps: usize,
    states: Vec<T>,
    noise: Vec<T>,
    ends: Vec<T>,
    log_ratio: Vec<f64>,
    /// The noise level of each column.
    sigma: Vec<T>,
    /// Delta b / sqrt v of each step, the kinds of coordinates together.
    slopes: Vec<T>,
    kinds: usize,
    memory: BufferPool<Memory<T>>,
}

impl<T: Real> RecordedPaths<T> {
    /// Memory for `count` paths of `steps` steps and one more, of states of `dim` numbers.
    pub fn new(count: usize, steps: usize, dim: usize) -> Self {
        let columns = count * (steps + 1);
        Self {
            dim,
            steps,
            states: vec![T::ZERO; columns * dim],
            noise: vec![T::ZERO; columns * dim],
            ends: vec![T::ZERO; count * dim],
            log_ratio: vec![0.0; count],
            sigma: vec![T::ZERO; columns],
            slopes: Vec::new(),
            kinds: 1,
            memory: BufferPool::default(),
        }
    }

    /// Draws the paths: those of [`ReverseProcess::paths`] with the same key.
    ///
    /// # Panics
    /// If the process has a [`PairCovariance`](super::PairCovariance): it depends on the network's output, of which the
    /// cotangent knows nothing.
    pub fn walk(&mut self, process: &ReverseProcess<'_, T>, (seed, step): (u64, u64)) {
        self.prepare(process);
        let (d, steps, memory) = (self.dim, self.steps, &self.memory);
        let row = STATES * (steps + 1) * d;
        let (states, noise) = (self.states.par_chunks_mut(row), self.noise.par_chunks_mut(row));
        (states, noise, self.ends.par_chunks_mut(STATES * d), self.log_ratio.par_chunks_mut(STATES))
            .into_par_iter()
            .each(|chunk, (states, noise, x, log_ratio)| {
                let mut stream = Stream::new(seed, "reverse", step, chunk as u64);
                let mut walker = Walker::with(process, memory.take(), x.len());
                walker.start(&mut stream, x, log_ratio);
                let kept = states.chunks_exact_mut(x.len()).zip(noise.chunks_exact_mut(x.len()));
                for ((sigma, next), (state, noise)) in process.pairs(steps).zip(kept) {
                    state.copy_from_slice(x);
                    walker.score(x, sigma);
                    walker.step((sigma, next), &mut stream, x, log_ratio);
                    noise.copy_from_slice(&walker.memory.noise);
                }
                memory.give_back(walker.memory);
            });
    }

    /// Noise levels and slopes.
    fn prepare(&mut self, process: &ReverseProcess<'_, T>) {
        assert!(!process.error.is_correlated(), "recorded paths have independent coordinates");
        self.kinds = process.error.kinds();
        self.slopes.clear();
        self.slopes.resize(self.kinds * (self.steps + 1), T::ZERO);
        let mut at = 0;
        let count = self.log_ratio.len();
        for first in (0..count).step_by(STATES) {
            let paths = STATES.min(count - first);
            for (sigma, _) in process.pairs(self.steps) {
                self.sigma[at..at + paths].fill(T::of(sigma));
                at += paths;
            }
        }
        let mut memory = self.memory.take();
        memory.variances.resize(self.kinds, 0.0);
        for (k, (sigma, next)) in process.pairs(self.steps).enumerate() {
            process.error.variances(process.schedule, sigma, next, &mut memory.variances);
            let pull = (sigma * sigma - next * next) * process.model.network.scaling(T::of(sigma)).1.f64();
            let slopes = &mut self.slopes[k * self.kinds..(k + 1) * self.kinds];
            slopes.iter_mut().zip(&memory.variances).for_each(|(s, v)| *s = T::of(pull / v.sqrt()));
        }
        self.memory.give_back(memory);
    }

    /// x_0 of each path.
    pub fn ends(&self) -> &[T] {
        &self.ends
    }

    /// log(forward / backward) of each path.
    pub fn log_ratio(&self) -> &[f64] {
        &self.log_ratio
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.sigma.len()
    }

    /// States and noise levels of some columns.
    pub fn batch(&self, columns: Range<usize>) -> (&[T], &[T]) {
        (&self.states[columns.start * self.dim..columns.end * self.dim], &self.sigma[columns])
    }

    /// The path and the step of a column: columns are those of 128 paths together, step by step.
    fn place(&self, column: usize) -> (usize, usize) {
        let row = STATES * (self.steps + 1);
        let (first, within) = (column / row * STATES, column % row);
        let paths = STATES.min(self.log_ratio.len() - first);
        (first + within % paths, within / paths)
    }

    /// Writes d/dF of sum_i `by`_i log backward_i at some columns: the cotangent of the network's output there.
    pub fn cotangent(&self, columns: Range<usize>, by: &[f64], out: &mut [T]) {
        let noise = &self.noise[columns.start * self.dim..columns.end * self.dim];
        for ((column, z), out) in
            columns.zip(noise.chunks_exact(self.dim)).zip(out.chunks_exact_mut(self.dim))
        {
            let (path, step) = self.place(column);
            let (by, slopes) = (T::of(by[path]), &self.slopes[step * self.kinds..(step + 1) * self.kinds]);
            for (a, (out, z)) in out.iter_mut().zip(z).enumerate() {
                *out = by * slopes[a % self.kinds] * *z;
            }
        }
    }
}

#[cfg(test)]
impl RecordedPaths<f64> {
    /// log backward of each path under another process, without constants, by its definition: the states stay as they
    /// are.
    pub(crate) fn log_backward(&self, process: &ReverseProcess<'_, f64>) -> Vec<f64> {
        let (d, pairs) = (self.dim, process.pairs(self.steps).collect::<Vec<_>>());
        let mut sums = vec![0.0; self.log_ratio.len()];
        for column in 0..self.columns() {
            let (path, step) = self.place(column);
            let x = &self.states[d * column..d * (column + 1)];
            let next = match (0..self.columns()).find(|c| self.place(*c) == (path, step + 1)) {
                Some(next) if step < self.steps => &self.states[d * next..d * (next + 1)],
                _ => &self.ends[d * path..d * (path + 1)],
            };
            let (sigma, below) = pairs[step];
            let (mut score, mut v) = (vec![0.0; d], vec![0.0; process.error.kinds()]);
            process.model.score(&mut engine::Tape::new(), x, sigma, &mut score);
            process.error.variances(process.schedule, sigma, below, &mut v);
            for a in 0..d {
                let mean = x[a] + (sigma * sigma - below * below) * score[a];
                sums[path] -= 0.5 * (next[a] - mean).powi(2) / v[a % v.len()];
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use engine::Params;

    use super::*;
    use crate::diffusion::{DenoisingError, Schedule, ScoreModel};
    use crate::score::{MlpConfig, ScoreMlp, ScoreNetwork};
    use crate::target::Geometry;

    const SCHEDULE: Schedule = Schedule { sigma_min: 0.2, sigma_max: 5.0 };

    fn network(params: &mut Params<f64>) -> ScoreMlp<f64> {
        let config = MlpConfig {
            dim: 2,
            hidden: 7,
            layers: 2,
            time_features: 3,
            space_features: 4,
            sigma_data: 1.5,
            mode_scale: 0.5,
            sigma_range: (0.2, 5.0),
        };
        let network = ScoreMlp::new(config, params, 1);
        Stream::new(2, "params", 0, 0).fill_normal(params.values_mut());
        params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
        network
    }

    fn process<'a>(
        network: &'a ScoreMlp<f64>,
        params: &'a [f64],
        error: &'a DenoisingError,
    ) -> ReverseProcess<'a, f64> {
        let model = ScoreModel { network, params };
        ReverseProcess { model, schedule: SCHEDULE, prior_scale: 5f64.hypot(1.5), error }
    }

    #[test]
    fn recorded_paths_are_those_that_are_not() {
        let (mut params, n, steps) = (Params::new(), 150, 6);
        let network = network(&mut params);
        let mut error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 1.5);
        let shares = error.spacing().shares().iter().map(|s| s * s).collect::<Vec<_>>();
        assert!(error.restore_spacing(&shares));
        let process = process(&network, params.values(), &error);
        let (mut x, mut log_ratio) = (vec![0.0; 2 * n], vec![0.0; n]);
        process.paths(steps, (3, 4), &mut x, &mut log_ratio);
        let mut paths = RecordedPaths::new(n, steps, 2);
        for _ in 0..2 {
            paths.walk(&process, (3, 4));
            assert_eq!((paths.ends(), paths.log_ratio()), (&x[..], &log_ratio[..]));
        }
    }

    #[test]
    fn the_gradient_of_log_densities_of_paths_matches_finite_differences() {
        let (mut params, n, steps) = (Params::new(), 131, 4);
        let network = network(&mut params);
        let error = DenoisingError::gaussian(Geometry::Euclidean(2), SCHEDULE, 1.5);
        let mut paths = RecordedPaths::new(n, steps, 2);
        paths.walk(&process(&network, params.values(), &error), (3, 4));
        let mut by = vec![0.0; n];
        Stream::new(5, "by", 0, 0).fill_normal(&mut by);
        let value = |params: &[f64]| {
            let logs = paths.log_backward(&process(&network, params, &error));
            logs.iter().zip(&by).map(|(l, by)| by * l).sum::<f64>()
        };
        let mut gradient = vec![0.0; params.len()];
        let mut tape = engine::Tape::new();
        // In parts that do not end where rows do.
        for start in (0..paths.columns()).step_by(100) {
            let columns = start..(start + 100).min(paths.columns());
            let (x, sigma) = paths.batch(columns.clone());
            let mut rec = tape.record(params.values());
            let input = rec.constant(2, sigma.len(), x);
            let f = network.record(&mut rec, input, sigma);
            rec.backward_with(f, &mut gradient, |_, seed| paths.cotangent(columns, &by, seed));
        }
        let scale = gradient.iter().fold(0.0, |a: f64, g| a.max(g.abs()));
        for k in (0..params.len()).step_by(7) {
            let mut moved = params.values().to_vec();
            let mut at = |h: f64| {
                moved[k] = params.values()[k] + h;
                value(&moved)
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((gradient[k] - numeric).abs() < 1e-6 * scale, "{k}: {} and {numeric}", gradient[k]);
        }
    }
}
