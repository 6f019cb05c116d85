//! Which settings of a training can work, and together.

use engine::Real;

use super::jumps::PATHS_FOR_ONE;
use super::{Config, Explore, Form, Identity, Objective, symmetric};
use crate::memory;
use crate::range::{self, Range, Range::Between};
use crate::target::{Geometry, Target};

/// States at least that an explorer leaves.
const EXPLORED: usize = 100;

impl Config {
    /// The first setting that does not fit the target, if any: [`problem`](Self::problem), settings for particles
    /// alone, and settings whose product takes more memory than there is.
    pub fn problem_on<T: Real>(&self, target: &dyn Target<T>) -> Option<String> {
        if let Some(problem) = self.problem().or_else(|| target.geometry().problem()) {
            return Some(problem);
        }
        let particles = target.geometry().particles();
        if self.network.measured() && particles.is_some() {
            return Some(
                "network.sigma_data = 0 measures scales in R^d: give those of particles (scales = [...] in the file of a density of your own)"
                    .into(),
            );
        }
        if self.train.core > 0.0 && target.softened(self.train.core).is_none() {
            return Some(
                "train.core softens pairs of particles within a radius at which their energy is finite: set it to 0"
                    .into(),
            );
        }
        if self.network.kind.equivariant() && particles.is_none() {
            return Some("network.kind = pair and egnn are for particles: set it to mlp or residual".into());
        }
        if self.weights.symmetric && !particles.is_some_and(symmetric::applies) {
            return Some(format!(
                "weights.symmetric sums over all renumberings and angles of at most {} particles in the plane: set it to false",
                symmetric::MOST
            ));
        }
        memory::check(&self.memory(target)).err()
    }

    /// Whether the figures of a state include those of moves.
    pub(super) fn shows_moves(&self, geometry: Geometry) -> bool {
        self.replay.moves > 0 || (geometry.particles().is_some() && !self.of_reference())
    }

    /// Whether the reverse steps keep the variances of the Gaussian N(0, sigma_data^2 I) noised, as `dds` and `adjoint`
    /// have them, and there are no weights of noised states.
    pub(super) fn of_reference(&self) -> bool {
        self.objective == Objective::LogVariance || self.train.identity == Identity::Adjoint
    }

    /// Whether stored states carry weights, by which they are drawn.
    pub(super) fn weighs_states(&self) -> bool {
        self.objective == Objective::Iwsm && self.weights.form == Form::Trajectory
    }

    /// Whether states of an explorer are offered the ends of paths.
    pub(super) fn jumps(&self) -> bool {
        self.replay.jumps && self.replay.explore.by_chains()
    }

    /// Whether the buffer keeps energies and gradients of its states: for their scores or for their weights.
    pub(super) fn keeps_energies(&self) -> bool {
        self.train.identity.stored() || self.weights.form == Form::Trajectory
    }

    /// The first setting that is out of range, if any: one line with its key and its range.
    pub fn problem(&self) -> Option<String> {
        let (t, w, r, n) = (&self.train, &self.weights, &self.replay, &self.network);
        let count = |v: usize, most: f64| (v as f64, Between(1.0, most));
        let size = |v: usize, most: f64| (v as f64, Between(0.0, most));
        let positive = |v: f64| (v, Range::Positive);
        let share = |v: f64| (v, Between(0.0, 1.0));
        // Squares of lengths and their inverses stay within single precision.
        let length = |v: f64| match v {
            0.0 if n.measured() => (0.0, Range::NotNegative),
            v => (v, Between(1e-9, 1e9)),
        };
        let steps = |v: u64, least: f64| (v as f64, Between(least, 1e12));
        let ranges = [
            ("train.steps", steps(t.steps, 1.0)),
            ("train.batch", count(t.batch, 1e6)),
            ("train.shard", size(t.shard, 1e6)),
            ("train.draws", count(t.draws, 1e7)),
            ("train.learning_rate", positive(t.learning_rate)),
            ("train.warm_up", steps(t.warm_up, 0.0)),
            ("train.clip", positive(t.clip)),
            // Samples are drawn from the average.
            ("train.ema", (t.ema, Range::Below(0.0, 1.0))),
            ("train.score_clip", (t.score_clip, Range::NotNegative)),
            ("train.core", (t.core, Range::NotNegative)),
            ("train.focus_share", share(t.focus_share)),
            ("train.focus_sigma", (t.focus_sigma, Range::NotNegative)),
            ("weights.power", share(w.power)),
            ("weights.share", (w.share, Range::Below(0.0, 1.0))),
            ("weights.clip", positive(w.clip)),
            ("weights.bandwidth", (w.bandwidth, Range::NotNegative)),
            ("weights.denominator_samples", size(w.denominator_samples, r.capacity as f64)),
            ("replay.capacity", count(r.capacity, 6e7)),
            ("replay.refresh_every", steps(r.refresh_every, 1.0)),
            ("replay.refresh_samples", size(r.refresh_samples, 1e7)),
            ("replay.refresh_steps", count(r.refresh_steps, 1e6)),
            ("replay.defensive", share(r.defensive)),
            ("replay.explore_moves", count(r.explore_moves, 1e5)),
            ("replay.share", (r.share, Between(1e-3, 0.99))),
            ("replay.recycle", size(r.recycle, 1e6)),
            ("replay.moves", size(r.moves, 1e6)),
            ("replay.first_moves", size(r.first_moves, 1e6)),
            ("replay.leapfrog_steps", count(r.leapfrog_steps, 65_536.0)),
            ("network.hidden", count(n.hidden, 16_384.0)),
            ("network.layers", count(n.layers, 1024.0)),
            ("network.passes", count(n.passes, 64.0)),
            ("network.core", (n.core, Range::NotNegative)),
            ("network.time_features", size(n.time_features, 24.0)),
            ("network.space_features", size(n.space_features, 16_384.0)),
            ("network.radial_features", count(n.radial_features, 4096.0)),
            ("network.sigma_data", length(n.sigma_data)),
            ("network.mode_scale", length(n.mode_scale)),
            ("network.sigma_min", length(n.sigma_min)),
            ("network.sigma_max", length(n.sigma_max)),
        ];
        for (key, scale) in
            [("mode_scale", n.mode_scale), ("sigma_min", n.sigma_min), ("sigma_max", n.sigma_max)]
        {
            if scale == 0.0 && !n.measured() {
                return Some(format!(
                    "network.{key} = 0 is measured only together with network.sigma_data = 0: give its number"
                ));
            }
        }
        if let Err(problem) = range::check(&ranges.map(|(key, (v, range))| (key, v, range))) {
            return Some(problem);
        }
        if r.explore.by_chains() && r.capacity < EXPLORED {
            return Some(format!(
                "replay.capacity = {} must be at least {EXPLORED} where replay.explore = pt or smc fills it",
                r.capacity
            ));
        }
        // What is measured lies beyond.
        if n.measured() && n.sigma_max == 0.0 && n.sigma_min >= 1.0 {
            return Some(format!(
                "network.sigma_min = {} must be below 1, the width of the target where network.sigma_data = 0",
                n.sigma_min
            ));
        }
        if n.measured() && n.sigma_min == 0.0 && n.sigma_max != 0.0 && n.sigma_max < 1.0 {
            return Some(format!(
                "network.sigma_max = {} must be at least 1, the width of the target where network.sigma_data = 0",
                n.sigma_max
            ));
        }
        if w.form == Form::Trajectory && t.identity != Identity::Stored {
            return Some(
                "weights.form = trajectory belongs to stored states: set train.identity = stored".into(),
            );
        }
        if w.form == Form::Trajectory && self.objective != Objective::Iwsm {
            return Some("weights.form = trajectory weights the loss: use the method iwsm".into());
        }
        if w.form == Form::Trajectory && r.recycle > 0 {
            return Some(
                "replay.recycle needs the marginal weights: set it to 0, or weights.form = marginal".into(),
            );
        }
        if self.objective == Objective::Iwsm && w.form == Form::Marginal && t.identity == Identity::Stored {
            return Some(
                "weights.form = marginal weighs noised states, and cannot correct scores by stored ones: set it to trajectory, or train.identity = mixed".into(),
            );
        }
        if r.explore == Explore::Annealed && !self.weighs_states() && !self.of_reference() {
            return Some(
                "replay.explore = annealed needs weights of the stored states: use the method iwsm with weights.form = trajectory and train.identity = stored".into(),
            );
        }
        let paths = r.refresh_samples >= PATHS_FOR_ONE && w.form == Form::Trajectory;
        if self.jumps() && !(r.moves > 0 && paths) {
            return Some(format!(
                "replay.jumps offers ends of paths to moved states: set it to false, or replay.moves of at least 1, replay.refresh_samples of at least {PATHS_FOR_ONE} and weights.form = trajectory"
            ));
        }
        if r.explore == Explore::Annealed && (r.moves > 0 || r.first_moves > 0) {
            return Some(
                "replay.explore = annealed takes no moves: set replay.moves and replay.first_moves to 0"
                    .into(),
            );
        }
        if w.bandwidth > 0.0 && r.recycle > 0 {
            return Some(
                "replay.recycle needs the proposal's own density: set weights.bandwidth to 0".into(),
            );
        }
        if w.symmetric && !n.kind.equivariant() {
            return Some(
                "weights.symmetric belongs to an equivariant network: set network.kind = pair or egnn".into(),
            );
        }
        if w.symmetric && r.defensive > 0.0 {
            return Some("weights.symmetric and replay.defensive do not go together: set one to 0".into());
        }
        if r.defensive > 0.0 && t.identity == Identity::Stored {
            return Some(
                "train.identity = stored has no state behind the broad part of replay.defensive: set it to 0"
                    .into(),
            );
        }
        if n.sigma_max <= n.sigma_min && n.sigma_max > 0.0 {
            return Some(format!(
                "network.sigma_max = {} must exceed network.sigma_min = {}",
                n.sigma_max, n.sigma_min
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::iwsm::Trainer;
    use crate::target::Mixture;

    #[test]
    fn the_default_is_sound_and_bad_values_are_named() {
        assert_eq!(Config::default().problem(), None);
        let mut c = Config::default();
        c.train.batch = 0;
        assert_eq!(c.problem().unwrap(), "train.batch = 0 must lie between 1 and 1000000");
        c = Config::default();
        c.network.sigma_min = f64::NAN;
        assert!(c.problem().unwrap().starts_with("network.sigma_min"));
        c = Config::default();
        c.weights.power = 1.5;
        assert!(c.problem().unwrap().contains("between 0 and 1"));
        c = Config::default();
        (c.weights.form, c.train.identity) = (Form::Trajectory, Identity::Stored);
        assert_eq!(c.problem(), None);
        c.replay.recycle = 4;
        assert!(c.problem().unwrap().starts_with("replay.recycle"));
        c.objective = Objective::Idem;
        assert!(c.problem().unwrap().contains("use the method iwsm"));
        c = Config::default();
        (c.weights.bandwidth, c.replay.recycle) = (0.1, 4);
        assert!(c.problem().unwrap().contains("weights.bandwidth"));
    }

    #[test]
    fn a_trainer_is_not_built_with_settings_that_cannot_work() {
        let target = Mixture::gmm40();
        let refused = |change: fn(&mut Config)| {
            let mut c = Config::default();
            change(&mut c);
            Trainer::<f32>::new(c, &target, 0).err().map_or(String::new(), |e| e.to_string())
        };
        assert_eq!(refused(|_| {}), "");
        for (said, change) in [
            ("train.batch = 0", (|c| c.train.batch = 0) as fn(&mut Config)),
            ("replay.capacity = 0", |c| c.replay.capacity = 0),
            ("train.ema = 2", |c| c.train.ema = 2.0),
            ("network.sigma_max", |c| c.network.sigma_max = 0.5 * c.network.sigma_min),
            ("train.core softens pairs", |c| c.train.core = 0.5),
            ("network.kind", |c| c.network.kind = crate::sampler::iwsm::Kind::Egnn),
            ("weights.symmetric", |c| c.weights.symmetric = true),
        ] {
            assert!(refused(change).starts_with(said), "{said}: {}", refused(change));
        }
    }
}
