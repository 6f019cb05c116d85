//! The log-variance loss of paths (Richter and Berner 2024, "Improved sampling via learned diffusions", ICLR).
//!
//! A path x_T, ..., x_0 of the reverse SDE has the weight w = exp(-E(x_0)) forward / backward
//! ([`ReverseProcess::paths`]). If the model is exact all weights are Z, so that
//!
//! L = (1 / (n - 1)) sum_i (l_i - mean(l))^2,  l_i = log w_i,
//!
//! has its minimum 0 there, whatever law the paths were drawn from. They are drawn from the current model and then stay
//! as they are: only backward depends on the parameters, and no gradient passes through the SDE or through the energy,
//!
//! dL/dtheta = -(2 / (n - 1)) sum_i (l_i - mean(l)) d log backward_i / dtheta,
//!
//! a backward pass over all states of all paths ([`RecordedPaths`]). It is the trajectory balance of generative flow
//! networks with log Z by the batch. One energy for each path, without its gradient.
//!
//! Where it is annealed (`train.share`), the target of a step is exp(-b E) N(0, S^2 I)^(1 - b), S = `network.sigma_data`,
//! with the largest b up to 1 at which the weights of its paths have that effective share, and never less than before:
//! from the law of an untrained model to exp(-E) as fast as the model can follow. A model that has to learn all at once
//! is moved by the energies of its worst paths, and loses modes by chance before even one is learnt.

use engine::Real;

use super::buffer_refresh::next_exponent;
use super::trainer::{StepReport, TrainError, descend};
use super::{Explore, Trainer};
use crate::diffusion::{RecordedPaths, ReverseProcess, ScoreModel};
use crate::importance::{log_mean_exp, normalised_ess};
use crate::target::{TargetError, evaluate_over};

/// What to do where no path ends in the support.
const ASTRAY: &str = "bring network.sigma_data to the scale of the target, or check the energy";

/// Paths whose weight is smaller than the mean by more than this factor's logarithm, or 0, count as if it were not: they
/// are to be rare, and it does not matter how bad they are. Even weights are far above.
const FLOOR: f64 = 10.0;

/// Paths of a step and their weights.
pub(super) struct Paths<T: Real> {
    recorded: RecordedPaths<T>,
    log_p: Vec<T>,
    /// log(exp(-E) / N) of their ends, N the Gaussian of the reference.
    excess: Vec<f64>,
    /// log(N forward / backward), then log w.
    log_w: Vec<f64>,
    /// Of the loss, -dL / d log backward of each path.
    pull: Vec<f64>,
}

impl<T: Real> Paths<T> {
    pub fn new(count: usize, steps: usize, dim: usize) -> Self {
        Self {
            recorded: RecordedPaths::new(count, steps, dim),
            log_p: vec![T::ZERO; count],
            excess: vec![0.0; count],
            log_w: vec![0.0; count],
            pull: vec![0.0; count],
        }
    }
}

impl<T: Real> Trainer<'_, T> {
    /// One step on the log-variance loss.
    pub(super) fn path_step(&mut self) -> Result<StepReport, TrainError> {
        let (step, schedule, prior_scale) = (self.state.step, self.schedule(), self.prior_scale());
        let (count, steps, d) =
            (self.config.train.batch, self.config.replay.refresh_steps, self.target.dim());
        let paths = self.paths.get_or_insert_with(|| Paths::new(count, steps, d));
        let model = ScoreModel { network: &*self.network, params: self.state.params.values() };
        let process = ReverseProcess { model, schedule, prior_scale, error: &self.state.error };
        paths.recorded.walk(&process, (self.seed, step));
        if !paths.recorded.log_ratio().iter().all(|r| r.is_finite()) {
            return Err(TrainError::Paths { step });
        }
        evaluate_over(&*self.ranks, &*self.target, paths.recorded.ends(), &mut paths.log_p, &mut [])?;
        self.state.energy_evaluations += count as u64;
        TargetError::unless_inside(
            paths.log_p.iter().map(|p| p.f64()),
            format_args!("ends of paths of step {step}"),
            ASTRAY,
        )?;
        let known = paths.recorded.ends().chunks_exact(d).zip(paths.recorded.log_ratio()).zip(&paths.log_p);
        for (((x, ratio), p), (w, excess)) in known.zip(paths.log_w.iter_mut().zip(&mut paths.excess)) {
            let gaussian = self.state.proposal.log_flat(x);
            (*w, *excess) = (ratio + gaussian, p.f64() - gaussian);
        }
        if self.config.replay.explore == Explore::Annealed {
            let logs = (&paths.log_w[..], &paths.excess[..]);
            self.state.exponent = next_exponent(self.state.exponent, self.config.replay.share, logs);
        }
        for (w, excess) in paths.log_w.iter_mut().zip(&paths.excess) {
            let inside = *excess > f64::NEG_INFINITY;
            *w = if inside { *w + self.state.exponent * excess } else { f64::NEG_INFINITY };
        }
        let ess = normalised_ess(&paths.log_w);
        let floor = log_mean_exp(&paths.log_w) - FLOOR;
        paths.log_w.iter_mut().for_each(|w| *w = w.max(floor));
        let mean = paths.log_w.iter().sum::<f64>() / count as f64;
        let scale = 1.0 / (count - 1) as f64;
        let loss = paths.log_w.iter().map(|w| scale * (w - mean).powi(2)).sum::<f64>();
        for (pull, w) in paths.pull.iter_mut().zip(&paths.log_w) {
            *pull = -2.0 * scale * (w - mean);
        }
        let (network, paths) = (&*self.network, &*paths);
        let columns = paths.recorded.columns();
        let (_, gradient) =
            self.shards.gradient(self.state.params.values(), columns, |rec, range, gradient| {
                let (x, sigma) = paths.recorded.batch(range.clone());
                let x = rec.constant(d, sigma.len(), x);
                let f = network.record(rec, x, sigma);
                rec.backward_with(f, gradient, |_, seed| {
                    paths.recorded.cotangent(range, &paths.pull, seed);
                    0.0
                })
            });
        let gradient_norm = descend(&mut self.state, &self.config.train, loss, gradient);
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainError::Paths { step });
        }
        self.state.step += 1;
        Ok(StepReport { loss, ess, gradient_norm })
    }
}

#[cfg(test)]
mod tests {
    use engine::Params;
    use engine::rng::Stream;

    use super::*;
    use crate::sampler::iwsm::{Config, Objective};
    use crate::target::Mixture;

    fn config() -> Config {
        let mut config = Config { objective: Objective::LogVariance, ..Config::default() };
        (config.train.batch, config.train.steps, config.replay.refresh_steps) = (140, 50, 5);
        (config.replay.capacity, config.network.hidden, config.network.layers) = (1, 6, 1);
        (config.network.time_features, config.network.space_features) = (2, 3);
        (config.network.sigma_data, config.network.mode_scale) = (1.5, 0.7);
        (config.network.sigma_min, config.network.sigma_max) = (0.2, 6.0);
        config
    }

    #[test]
    fn a_step_goes_down_the_gradient_of_the_variance_by_finite_differences() {
        let target = Mixture::new(2, vec![0.5, 0.0, -0.5, 0.5], vec![1.1, 1.3], vec![0.3, 0.7]).unwrap();
        let mut trainer = Trainer::<f64>::new(config(), &target, 1).unwrap();
        let values = trainer.state.params.values_mut();
        Stream::new(2, "params", 0, 0).fill_normal(values);
        values.iter_mut().for_each(|p| *p *= 0.3);
        let params: Params<f64> = trainer.state.params.clone();
        let mut paths = RecordedPaths::new(140, 5, 2);
        paths.walk(&with(&trainer, params.values()), (1, 0));
        let mut log_p = vec![0.0; 140];
        crate::target::Target::evaluate(&target, paths.ends(), &mut log_p, &mut []).unwrap();
        let log_w: Vec<f64> = log_p.iter().zip(paths.log_ratio()).map(|(p, r)| p + r).collect();
        assert!(log_w.iter().all(|w| *w > log_mean_exp(&log_w) - FLOOR), "no weight is raised here");
        let mean = log_w.iter().sum::<f64>() / 140.0;
        let variance = log_w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / 139.0;
        let report = trainer.path_step().unwrap();
        assert!((report.loss / variance - 1.0).abs() < 1e-9, "{} {variance}", report.loss);
        // Clipping scales the gradient; Adam's first moment is a tenth of it.
        let gradient: Vec<f64> = trainer.state.adam.m.iter().map(|m| 10.0 * m).collect();
        let scale = report.gradient_norm.max(1.0);
        // The variance of log p - log backward along paths that stay as they are, its parts of the first order in the
        // change of parameters: d log backward by a difference of scores.
        let change = |params: &[f64]| -> Vec<f64> { paths.log_backward(&with(&trainer, params)) };
        for k in (0..params.len()).step_by(5) {
            let h = 1e-5;
            let variance = |by: f64| {
                let mut moved = params.values().to_vec();
                moved[k] += by;
                let before = change(params.values());
                let l: Vec<f64> =
                    log_w.iter().zip(change(&moved)).zip(before).map(|((w, b), a)| w - (b - a)).collect();
                let mean = l.iter().sum::<f64>() / 140.0;
                l.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 139.0
            };
            let numeric = (variance(h) - variance(-h)) / (2.0 * h);
            let found = gradient[k] * scale;
            assert!((found - numeric).abs() < 1e-5 * report.gradient_norm, "{k}: {found} and {numeric}");
        }
    }

    fn with<'a>(trainer: &'a Trainer<'_, f64>, params: &'a [f64]) -> ReverseProcess<'a, f64> {
        let model = ScoreModel { network: &*trainer.network, params };
        ReverseProcess {
            model,
            schedule: trainer.schedule(),
            prior_scale: trainer.prior_scale(),
            error: &trainer.state.error,
        }
    }
}
