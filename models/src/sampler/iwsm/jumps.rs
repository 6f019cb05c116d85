//! Jumps of the states that Markov chains have left in the buffer.
//!
//! Their moves do not cross between modes, so that the shares that an explorer has given to modes would stay for the
//! whole training. Ends of fresh paths, one in two, are offered to them in turn, and taken by the weights of both paths
//! ([`ReverseProcess::jump`](crate::diffusion::ReverseProcess::jump)), which leaves exp(-E) invariant for any model that
//! does not depend on the state. This one was trained on it, denoises it too well, and so lets it go a little too often;
//! moves between (`replay.moves`) make that small. Weights of samples do not see it. No energy is evaluated anew: those
//! of the ends are known, and so are those of stored states. The ends are stored beside the kept states too, so that
//! there may be two copies of one.

use engine::Real;
use engine::rng::Stream;

use super::Trainer;
use super::buffer::Fresh;
use crate::diffusion::accepted;

/// One in so many fresh paths is offered: on one process a path that noises a stored state costs as much as one of the
/// model. Ranks repeat it.
pub(super) const PATHS_FOR_ONE: usize = 2;
/// States at most, whose paths are in memory together.
const MOST: usize = 4096;
/// There are no jumps in the first of so many parts of the training: hardly an end would be taken. Whether there are
/// must not depend on the weights of a refresh, which would bias the choice.
const PARTS: u64 = 4;

impl<T: Real> Trainer<'_, T> {
    /// Offers ends of paths to kept states, whose turn it is.
    pub(super) fn jump_kept(&mut self, ends: Fresh<'_, T>) {
        let kept = self.state.proposal.buffer.kept();
        let offered = (ends.log_w.len() / PATHS_FOR_ONE).min(kept).min(MOST);
        let (d, step) = (self.target.dim(), self.state.step);
        if offered == 0 || step < self.config.train.steps / PARTS {
            return;
        }
        let refresh = step / self.config.replay.refresh_every;
        let turn = |k: usize| ((refresh as u128 * offered as u128 + k as u128) % kept as u128) as usize;
        let buffer = &self.state.proposal.buffer;
        let mut old = vec![T::ZERO; offered * d];
        old.chunks_exact_mut(d).enumerate().for_each(|(k, x)| buffer.state(turn(k), x));
        let steps = self.config.replay.refresh_steps;
        let mut log_w = self.reverse().noised_ratios(&old, steps, (self.seed, step));
        log_w.iter_mut().enumerate().for_each(|(k, w)| *w += buffer.energy(turn(k)).0.f64());
        let mut stream = Stream::new(self.seed, "jumps", step, 0);
        let (taken, acceptance) = accepted(&ends.log_w[..offered], &log_w, &mut stream);
        let (log_p, score) = ends.energies;
        let buffer = &mut self.state.proposal.buffer;
        for k in taken {
            let column = k * d..(k + 1) * d;
            buffer.replace_one(turn(k), &ends.x[column.clone()], (log_p[k], &score[column]));
        }
        self.state.jumped = acceptance;
    }
}
