//! Checkpoints of a training run: a resumed run is bit-identical to an uninterrupted one.

use engine::Real;
use engine::checkpoint::{Checkpoint, CheckpointError};

use super::{Objective, Trainer};
use crate::sampler::{consistent, fingerprint};

/// Names of the buffer's states, energies and gradients.
const BUFFER: [&str; 3] = ["buffer", "buffer.log_p", "buffer.score"];

impl<T: Real> Trainer<'_, T> {
    /// The training state.
    pub fn checkpoint(&self) -> Checkpoint {
        let (s, mut c) = (&self.state, Checkpoint::new());
        for (name, id) in s.params.entries() {
            // Column-major here, row-major in the file: the transpose has the same bytes.
            c.put(&format!("params.{name}"), &[id.shape.cols, id.shape.rows], s.params.view(id).data);
        }
        c.put_vec("ema", s.ema.values());
        c.put_vec("adam.m", &s.adam.m);
        c.put_vec("adam.v", &s.adam.v);
        let (states, log_w, [len, next]) = s.proposal.buffer.contents();
        for (name, values) in BUFFER.iter().zip(states) {
            c.put_vec(name, values);
        }
        c.put_vec("buffer.log_w", log_w);
        s.error.put(&mut c);
        c.put_vec("covariances", &s.covariances);
        // The shortest decimal form reads back to the same bits.
        c.note("move_step", s.move_step);
        c.note("acceptance", s.acceptance);
        c.note("jumped", s.jumped);
        c.note("exponent", s.exponent);
        c.note("wall", s.wall);
        c.note("buffer.len", len);
        c.note("buffer.next", next);
        c.note("step", s.step);
        c.note("scales of the network", self.network_scales());
        fingerprint::put(&mut c, fingerprint::OWN, self.exact());
        c.note("adam.steps", s.adam.steps);
        c.note("ema.updates", s.ema.updates);
        c.note("energy_evaluations", s.energy_evaluations);
        c
    }

    fn network_scales(&self) -> String {
        let n = &self.config.network;
        format!("{}, {}, {}, {}", n.sigma_data, n.mode_scale, n.sigma_min, n.sigma_max)
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// If the checkpoint does not fit these settings, or its counters do not belong to one state. The state is then
    /// undefined: drop the trainer.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        fingerprint::check(c, fingerprint::OWN, self.exact())?;
        let scales = self.network_scales();
        // Checkpoints of earlier builds have no such note.
        let was = c.read_note("scales of the network").unwrap_or_else(|_| scales.clone());
        if was != scales {
            return Err(CheckpointError::Other(format!(
                "network.sigma_data, mode_scale, sigma_min, sigma_max were {was}, and are {scales}"
            )));
        }
        let (total, batch) = (self.config.train.steps, self.config.train.batch as u64);
        // Energies of draws, one of each path, or those of the first stored states.
        let each_step = self.draws_needed() || self.config.objective == Objective::LogVariance;
        let s = &mut self.state;
        let entries: Vec<_> = s.params.entries().map(|(name, id)| (name.to_string(), id)).collect();
        for (name, id) in entries {
            c.get(&format!("params.{name}"), &mut s.params.values_mut()[id.range()])?;
        }
        c.get("ema", s.ema.values_mut())?;
        c.get("adam.m", &mut s.adam.m)?;
        c.get("adam.v", &mut s.adam.v)?;
        let (states, log_w) = s.proposal.buffer.contents_mut();
        for (name, values) in BUFFER.iter().zip(states) {
            c.get(name, values)?;
        }
        c.get("buffer.log_w", log_w)?;
        let [len, next] = [c.read_note("buffer.len")?, c.read_note("buffer.next")?];
        if !s.proposal.buffer.set_place([len, next]) {
            return Err(CheckpointError::Contradiction(format!(
                "buffer.len = {len} and buffer.next = {next} are no place in its buffer"
            )));
        }
        s.error.get(c)?;
        if self.config.of_reference() {
            // A loss over paths knows of no covariance that depends on the network.
            s.error.uncorrelate();
        }
        c.get("covariances", &mut s.covariances)?;
        s.move_step = c.read_note("move_step")?;
        s.acceptance = c.read_note("acceptance")?;
        s.jumped = match c.read_note("jumped") {
            // Checkpoints of earlier builds know of no jumps.
            Err(CheckpointError::Missing { .. }) if !self.config.jumps() => f64::NAN,
            jumped => jumped?,
        };
        s.exponent = c.read_note("exponent")?;
        s.wall = c.read_note("wall")?;
        s.step = c.read_note("step")?;
        s.adam.steps = c.read_note("adam.steps")?;
        s.ema.updates = c.read_note("ema.updates")?;
        s.energy_evaluations = c.read_note("energy_evaluations")?;
        let least = if each_step { s.step.saturating_mul(batch) } else { s.step.min(1).saturating_mul(len) };
        let (step, adam, ema) = (s.step, s.adam.steps, s.ema.updates);
        consistent(&[
            (step <= total, format!("it is at step {step} of {total}")),
            (adam == step, format!("adam.steps = {adam} at step {step}")),
            (ema == step, format!("ema.updates = {ema} at step {step}")),
            (
                s.energy_evaluations >= least,
                format!("energy_evaluations = {} at step {step}", s.energy_evaluations),
            ),
            ((0.0..=1.0).contains(&s.exponent), format!("exponent = {}", s.exponent)),
            (s.move_step.is_finite() && s.move_step > 0.0, format!("move_step = {}", s.move_step)),
            ((0.0..=1.0).contains(&s.acceptance), format!("acceptance = {}", s.acceptance)),
            (s.jumped.is_nan() || (0.0..=1.0).contains(&s.jumped), format!("jumped = {}", s.jumped)),
        ])?;
        if self.config.weighs_states() && self.state.step > 0 {
            // The states are drawn by the weights of the last refresh, which are those that are stored.
            let clip = self.config.weights.clip;
            self.state.buffer_share = self.state.proposal.buffer.weigh(clip);
        }
        Ok(())
    }
}
