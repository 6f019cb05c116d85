//! [`Explored`] as a [`Sampler`].

use std::sync::Arc;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::Ranks;

use super::explored::{Explored, Stage};
use super::explorers;
use super::weight_report::WeightLevel;
use crate::diffusion::{DenoisingError, Flow, Populations};
use crate::sampler::{
    Coordinates, Diagnostics, Learned, Named, Sampler, SamplerError, consistent, fingerprint,
};
use crate::target::{Affine, TargetError};

/// Names of the stages in checkpoints and progress lines.
const STAGES: [&str; 3] = ["pilot", "exploration", "training"];

impl Explored<'_> {
    /// The stage's place, its steps done, and the energies it took.
    fn place(&self) -> (usize, u64, u64) {
        match &self.stage {
            Stage::Pilot(s) => (0, s.done(), s.evaluations),
            Stage::Explorer(s) => (1, s.done(), s.evaluations()),
            Stage::Training(s) => (2, s.done(), s.evaluations()),
        }
    }
}

impl Sampler for Explored<'_> {
    fn done(&self) -> u64 {
        let (stage, done, _) = self.place();
        self.totals[..stage].iter().sum::<u64>() + done
    }

    fn total(&self) -> u64 {
        self.totals.iter().sum()
    }

    fn share(&mut self, ranks: Arc<dyn Ranks>) {
        Explored::share(self, ranks);
    }

    fn step(&mut self) -> Result<(), SamplerError> {
        match &mut self.stage {
            Stage::Pilot(s) => s.advance(self.target.double())?,
            Stage::Explorer(s) => s.step()?,
            Stage::Training(s) => Sampler::step(&mut **s)?,
        }
        self.proceed()
    }

    /// Those of the training; NaN before.
    fn step_figures(&self) -> Vec<Named> {
        match self.trainer() {
            Some(trainer) => trainer.step_figures(),
            None => ["loss", "ess", "gradient_norm"].map(|name| (name, f64::NAN)).to_vec(),
        }
    }

    fn state_figures(&self) -> Vec<Named> {
        match self.trainer() {
            Some(trainer) => trainer.state_figures(),
            None => {
                let moves = self.config.shows_moves(self.target.single().geometry());
                let shown =
                    [("move_step", moves), ("acceptance", moves), ("jumps_accepted", self.config.jumps())];
                shown.iter().filter(|(_, shown)| *shown).map(|(name, _)| (*name, f64::NAN)).collect()
            }
        }
    }

    fn note(&self) -> String {
        match &self.stage {
            Stage::Pilot(s) => format!("round {} of {} of the pilot's chains", s.done(), s.total()),
            Stage::Explorer(s) => format!("{}: {}", explorers::name(&self.config), s.note()),
            Stage::Training(s) => s.note(),
        }
    }

    fn drawable(&self) -> bool {
        self.trainer().is_some()
    }

    fn draw(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        let (stage, done, _) = self.place();
        let Some(trainer) = self.trainer() else {
            return Err(SamplerError::Settings(format!(
                "there are no samples yet: the {} is at step {done} of {}",
                STAGES[stage], self.totals[stage]
            )));
        };
        Ok(self.outside(trainer.draw(n, steps, key)?))
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut c = match &self.stage {
            Stage::Pilot(s) => s.checkpoint(),
            Stage::Explorer(s) => s.checkpoint(),
            Stage::Training(s) => s.checkpoint(),
        };
        fingerprint::put(&mut c, fingerprint::OUTER, self.target.double());
        c.note("stage", STAGES[self.place().0]);
        if let Some(affine) = &self.affine {
            let (center, factor) = affine.parts();
            c.put_vec("affine.center", center);
            c.put_vec("affine.factor", factor);
        }
        let n = &self.network;
        c.put_vec("scales", &[n.sigma_data, n.mode_scale, n.sigma_min, n.sigma_max, self.offset]);
        c.note("pilot_evaluations", self.spent[0]);
        c.note("exploration_evaluations", self.spent[1]);
        c.note("exploration_failures", self.failures.join("\n"));
        c
    }

    fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        fingerprint::check(c, fingerprint::OUTER, self.target.double())?;
        let stage: String = c.read_note("stage")?;
        let stage = STAGES.iter().position(|s| *s == stage).unwrap_or(STAGES.len());
        let measured = self.config.network.measured();
        consistent(&[(stage < 3 && self.totals[stage] > 0, "its stage is none of these settings".into())])?;
        if measured && stage > 0 {
            let d = self.target.single().dim();
            let parts = (c.get_vec("affine.center", d)?, c.get_vec("affine.factor", d * d)?);
            self.affine = Affine::from_parts(parts.0, parts.1);
            consistent(&[(self.affine.is_some(), "affine.factor is no factor".into())])?;
        }
        let scales = c.get_vec::<f64>("scales", 5)?;
        consistent(&[(
            scales.iter().all(|s| s.is_finite()),
            "scales has numbers that are not finite".into(),
        )])?;
        let n = &mut self.network;
        (n.sigma_data, n.mode_scale, n.sigma_min, n.sigma_max) = (scales[0], scales[1], scales[2], scales[3]);
        self.offset = scales[4];
        self.spent = [c.read_note("pilot_evaluations")?, c.read_note("exploration_evaluations")?];
        let failures: String = c.read_note("exploration_failures")?;
        self.failures = failures.lines().map(String::from).collect();
        let wrong = |e: SamplerError| CheckpointError::Contradiction(e.to_string());
        match stage {
            0 => {}
            1 => self.stage = self.explorer().map_err(wrong)?,
            _ => self.stage = self.training(None).map_err(wrong)?,
        }
        match &mut self.stage {
            Stage::Pilot(s) => s.restore(c),
            Stage::Explorer(s) => s.restore(c),
            Stage::Training(s) => Sampler::restore(&mut **s, c),
        }
    }

    fn diagnostics(&self) -> Diagnostics {
        let mut out = self.trainer().map_or_else(Diagnostics::default, |t| t.diagnostics());
        let n = &self.network;
        for (name, value, shown) in [
            ("pilot_evaluations", self.spent[0] as f64, self.totals[0] > 0),
            ("exploration_evaluations", self.spent[1] as f64, self.totals[1] > 0),
            ("sigma_max", n.sigma_max, self.totals[0] > 0),
            ("mode_scale", n.mode_scale, self.totals[0] > 0),
            ("sigma_min", n.sigma_min, self.totals[0] > 0),
        ] {
            if shown {
                out.figures.push((name, value, None));
            }
        }
        if !self.failures.is_empty() {
            out.failures.extend(self.failures.iter().cloned());
            let also = "raise replay.explore_moves, or choose another replay.explore";
            out.remedy = if out.failures.len() == self.failures.len() {
                also.into()
            } else {
                format!("{}; {also}", out.remedy)
            };
        }
        out
    }

    fn evaluations(&self) -> u64 {
        let (stage, _, now) = self.place();
        self.spent[..stage.min(2)].iter().sum::<u64>() + now
    }

    fn gradients(&self) -> u64 {
        match &self.stage {
            Stage::Training(s) => self.spent.iter().sum::<u64>() + s.gradients(),
            _ => self.evaluations(),
        }
    }

    fn learned(&mut self) -> Option<&mut dyn Learned> {
        match &self.stage {
            Stage::Training(_) => Some(self),
            _ => None,
        }
    }
}

/// Only after the stages before the training: [`Sampler::learned`] gives no model before.
impl Learned for Explored<'_> {
    fn coordinates(&self) -> Option<Coordinates<'_>> {
        let n = &self.network;
        let scales = [n.sigma_data, n.mode_scale, n.sigma_min, n.sigma_max];
        Some(Coordinates { affine: self.affine.as_ref()?, scales, offset: self.offset })
    }

    fn flow(&self, steps: usize) -> Flow<'_, f32> {
        self.trained().flow(steps)
    }

    fn weighted(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<(Vec<f64>, Vec<f64>), TargetError> {
        let (z, mut log_w) = self.trained().weighted(n, steps, key)?;
        log_w.iter_mut().for_each(|w| *w += self.offset);
        Ok((self.outside(z), log_w))
    }

    fn of_least_variance(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, TargetError> {
        self.trained().of_least_variance(n, steps, key).map(|z| self.outside(z))
    }

    fn populations(
        &self,
        count_size: (usize, usize),
        steps: usize,
        key: (u64, u64),
    ) -> Result<Populations<f64>, TargetError> {
        let mut found = self.trained().populations(count_size, steps, key)?;
        found.states = self.outside(found.states);
        found.log_w.iter_mut().chain(&mut found.log_z).for_each(|w| *w += self.offset);
        Ok(found)
    }

    fn jump(&self, z: &mut [f64], steps: usize, key: (u64, u64)) -> Result<f64, TargetError> {
        self.trained().jump(z, steps, key)
    }

    fn tune(&mut self, n: usize, steps: usize, seed: u64) -> Result<u64, TargetError> {
        self.trained_mut().tune_exactly(n, steps, seed)
    }

    fn weight_levels(&mut self, levels: usize, n: usize) -> Result<Vec<WeightLevel>, TargetError> {
        self.trained_mut().weight_levels(levels, n)
    }

    fn mode_scale(&self) -> f64 {
        self.trained().mode_scale()
    }

    fn move_acceptance(&self) -> Option<f64> {
        self.trained().move_acceptance()
    }

    fn parameters(&self) -> &[f32] {
        self.trained().parameters()
    }

    fn set_parameters(&mut self) -> &mut [f32] {
        self.trained_mut().set_parameters()
    }

    fn denoising_error(&self) -> &DenoisingError {
        self.trained().denoising_error()
    }
}
