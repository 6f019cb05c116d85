//! The loss of a batch: weights, regression targets, and the update of the parameters.

use engine::rng::Stream;
use engine::{Real, parallel};

use super::buffer::Fresh;
use super::trainer::{BEYOND, LEVELS, STATES, TrainError, descend};
use super::weighting::normalise;
use super::{Identity, Objective, Trainer};
use crate::importance::{effective_share, exponent, raised, systematic};
use crate::target::TargetError;

/// Weight of a new state in the running covariances of its noise level.
const COVARIANCE_RATE: f64 = 0.002;

/// An error if all weights are 0.
fn some_weight(w: &[f64], step: u64) -> Result<(), TargetError> {
    let states = format_args!("noised states of step {step}");
    TargetError::unless_inside(w.iter().map(|w| w.ln()), states, BEYOND)
}

impl<T: Real> Trainer<'_, T> {
    /// Computes the weights of the loss and recycles draws; returns the weights' effective share.
    ///
    /// # Errors
    /// If no state has a weight, because energies are infinite at all that was drawn.
    pub(super) fn weigh(&mut self, stream: &mut Stream) -> Result<f64, TargetError> {
        let (batch, n) = (&mut self.batch, self.config.train.batch);
        let (weights, recycle) = (&self.config.weights, self.config.replay.recycle);
        let iwsm = self.config.objective == Objective::Iwsm;
        batch.picked.clear();
        batch.picked.extend(0..n);
        batch.w.fill(1.0);
        if self.config.weighs_states() {
            // States were drawn by their weights.
            return Ok(self.state.buffer_share);
        }
        if iwsm || recycle > 0 {
            let proposal = &self.state.proposal;
            proposal.log_density(&batch.x, &batch.sigma, weights, stream, &mut batch.log_w);
            for (i, l) in batch.log_w.iter_mut().enumerate() {
                *l = self.estimates.get(i).log_density - *l;
            }
        }
        if recycle > 0 {
            // Draws are properly weighted by the plain weights of the whole batch alone.
            let logs = batch.log_w.iter().map(|l| l.f64());
            let (beta, most) = exponent(logs.clone(), 1.0, 0.0);
            batch.w.iter_mut().zip(logs).for_each(|(w, l)| *w = raised(l, most, beta));
            let (estimates, proposal) = (&self.estimates, &mut self.state.proposal);
            systematic(&batch.w, recycle, stream, |i| {
                let x = estimates.get(i).draw;
                proposal.buffer.push(Fresh { x, log_w: &[], energies: (&[], &[]) });
            });
        }
        if !iwsm {
            // A state whose draws all have density 0 has no score.
            for (i, w) in batch.w.iter_mut().enumerate() {
                let known = match self.config.train.identity {
                    Identity::Stored => true,
                    Identity::Adjoint => self.stored.log_p[i].is_finite(),
                    _ => self.estimates.get(i).log_density.is_finite(),
                };
                *w = if known { 1.0 } else { 0.0 };
            }
            let ess = effective_share(&batch.w);
            return some_weight(&batch.w, self.state.step).map(|()| ess);
        }
        let ess = normalise(&batch.log_w, weights, &mut batch.w);
        some_weight(&batch.w, self.state.step)?;
        if weights.resample {
            batch.picked.clear();
            let picked = &mut batch.picked;
            systematic(&batch.w, n, stream, |i| picked.push(i));
            batch.w.fill(1.0);
        }
        Ok(ess)
    }

    /// The regression targets F*, from the identity with the least variance at each noise level; by denoising where a
    /// draw has met a wall.
    pub(super) fn score_targets(&mut self) {
        let (d, n) = (self.target.dim(), self.batch.sigma.len());
        let level = |i: usize| 3 * (i * LEVELS / n);
        let (identity, stored) = (self.config.train.identity, &self.stored);
        // Those of `adjoint` have been clipped.
        let clip = if identity == Identity::Adjoint { 0.0 } else { self.config.train.score_clip };
        let data2 = self.config.network.sigma_data.powi(2);
        for i in 0..n {
            let moments = if identity.stored() {
                stored.moments(d, i)
            } else {
                let e = self.estimates.get(i);
                if !e.log_density.is_finite() || e.outside {
                    continue;
                }
                e.covariance.map(|v| v.f64())
            };
            if moments.iter().all(|v| v.is_finite()) {
                for (running, v) in self.state.covariances[level(i)..].iter_mut().zip(moments) {
                    *running += COVARIANCE_RATE * (v - *running);
                }
            }
        }
        let mut targets = std::mem::take(&mut self.batch.target);
        let (estimates, batch, state, network) = (&self.estimates, &self.batch, &self.state, &*self.network);
        let score_target = |i: usize, score: &mut [T]| {
            let kappa = T::of(match identity {
                Identity::Target | Identity::Mixed if estimates.get(i).outside => 0.0,
                Identity::Target => 1.0,
                Identity::Denoising => 0.0,
                Identity::Adjoint => data2 / (data2 + batch.sigma[i].f64().powi(2)),
                Identity::Stored if state.wall => 0.0,
                Identity::Mixed | Identity::Stored => {
                    let [aa, ab, bb] = [0, 1, 2].map(|k| state.covariances[level(i) + k]);
                    let spread = aa - 2.0 * ab + bb;
                    if spread > 0.0 { ((bb - ab) / spread).clamp(0.0, 1.0) } else { 0.5 }
                }
            });
            let (by_target, by_denoising) = if identity.stored() {
                (&stored.target[i * d..(i + 1) * d], &stored.denoising[i * d..(i + 1) * d])
            } else {
                let e = estimates.get(i);
                (e.target, e.denoising)
            };
            let (a, b) = network.scaling(batch.sigma[i]);
            for ((score, target), denoising) in score.iter_mut().zip(by_target).zip(by_denoising) {
                *score = kappa * *target + (T::ONE - kappa) * *denoising;
            }
            let norm = score.iter().map(|s| s.f64().powi(2)).sum::<f64>().sqrt();
            if clip > 0.0 && norm > clip {
                score.iter_mut().for_each(|s| *s *= T::of(clip / norm));
            }
            for (score, x) in score.iter_mut().zip(&batch.x[i * d..(i + 1) * d]) {
                *score = (*score - a * *x) / b;
            }
        };
        parallel::for_chunks(&mut targets, STATES * d, |c, targets| {
            targets
                .chunks_exact_mut(d)
                .enumerate()
                .for_each(|(k, score)| score_target(c * STATES + k, score));
        });
        self.batch.target = targets;
    }

    /// Gradient and parameter update; returns loss and gradient norm.
    pub(super) fn update(&mut self) -> (f64, f64) {
        let batch = &mut self.batch;
        batch.picked_sigma.clear();
        batch.picked_sigma.extend(batch.picked.iter().map(|i| batch.sigma[*i]));
        let (d, network, batch) = (self.target.dim(), &*self.network, &self.batch);
        let n = batch.picked.len();
        let scale = 1.0 / n.max(1) as f64;
        let state = &mut self.state;
        let (loss, gradient) = self.shards.gradient(state.params.values(), n, |rec, range, gradient| {
            let (picked, sigma) = (&batch.picked[range.clone()], &batch.picked_sigma[range]);
            let column = |i: usize| i * d..(i + 1) * d;
            let x = rec.constant_with(d, picked.len(), |x| {
                for (x, i) in x.chunks_exact_mut(d).zip(picked) {
                    x.copy_from_slice(&batch.x[column(*i)]);
                }
            });
            let f = network.record(rec, x, sigma);
            rec.backward_with(f, gradient, |f, seed| {
                let mut loss = 0.0;
                for ((f, seed), i) in f.data.chunks_exact(d).zip(seed.chunks_exact_mut(d)).zip(picked) {
                    let w = batch.w[*i] * scale;
                    for ((f, s), target) in f.iter().zip(seed).zip(&batch.target[column(*i)]) {
                        let error = f.f64() - target.f64();
                        // A state of weight 0 may have no finite score.
                        loss += if w > 0.0 { w * error * error } else { 0.0 };
                        *s = if w > 0.0 { T::of(2.0 * w * error) } else { T::ZERO };
                    }
                }
                loss
            })
        });
        let norm = descend(state, &self.config.train, loss, gradient);
        (loss, norm)
    }

    pub(super) fn diverged(&self) -> TrainError {
        let d = self.target.dim();
        let bad = |i: &usize| {
            self.batch.target[i * d..(i + 1) * d].iter().any(|v| !v.is_finite()) && self.batch.w[*i] > 0.0
        };
        let step = self.state.step;
        match (0..self.batch.sigma.len()).find(bad) {
            Some(sample) => TrainError::Score { step, sigma: self.batch.sigma[sample].f64(), sample },
            None => TrainError::Diverged { step },
        }
    }
}
