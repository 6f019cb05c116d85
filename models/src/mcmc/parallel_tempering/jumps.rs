//! Moves of the first rung by a trained model.

use super::ParallelTempering;
use crate::target::TargetError;

/// A move of states (columns) by a model of the target that leaves exp(-E) invariant
/// ([`Learned::jump`](crate::sampler::Learned::jump)): with a key for its random numbers; returns the mean acceptance.
pub type Move<'a> = dyn Fn(&mut [f64], (u64, u64)) -> Result<f64, TargetError> + Send + Sync + 'a;

/// Moves by a model, and what they cost.
pub struct ModelMoves<'a> {
    /// The move.
    pub jump: Box<Move<'a>>,
    /// Energies that it evaluates for each state.
    pub each: usize,
    /// Energies that it took to get ready.
    pub before: u64,
}

/// What is known of the jumps since recording began.
#[derive(Clone, Copy, Default)]
pub(super) struct Jumps {
    /// The sum of their mean acceptances.
    pub acceptance: f64,
    /// How often all walkers have jumped.
    pub count: usize,
}

impl ParallelTempering<'_> {
    /// Offers every state of the first rung one of the model's own, in every `jump_every`-th sweep.
    pub(super) fn jump_all(&mut self) -> Result<(), TargetError> {
        let Some(moves) = &self.moves else { return Ok(()) };
        if !self.sweep.is_multiple_of(self.config.jump_every) {
            return Ok(());
        }
        let (walkers, dim) = (self.config.walkers, self.target.dim());
        let first = &mut self.blocks[..walkers.div_ceil(super::block::GROUP)];
        let mut columns = vec![0.0; walkers * dim];
        let mut rest = &mut columns[..];
        for block in first.iter() {
            let (own, others) = rest.split_at_mut(block.n * dim);
            block.write_columns(own);
            rest = others;
        }
        let acceptance = (moves.jump)(&mut columns, (self.seed, self.sweep as u64))?;
        let mut rest = &columns[..];
        for block in first {
            let (own, others) = rest.split_at(block.n * dim);
            block.read_columns(own);
            block.evaluate(&*self.target)?;
            rest = others;
        }
        self.evaluations += (walkers * (moves.each + 1)) as u64;
        self.record.jumps.acceptance += acceptance;
        self.record.jumps.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::super::{Config, ParallelTempering};
    use super::*;
    use crate::target::Pointwise;
    use engine::rng::Stream;

    /// Two narrow wells at -3 and 3, the right one of three times the weight.
    fn wells() -> Pointwise<impl Fn(&[f64], &mut [f64]) -> f64> {
        Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            let parts = [(-3.0, 0.25_f64), (3.0, 0.75)].map(|(m, w)| (x[0] - m, w));
            let terms = parts.map(|(d, w)| w.ln() - 50.0 * d * d);
            let most = terms[0].max(terms[1]);
            let sum: f64 = terms.iter().map(|t| (t - most).exp()).sum();
            g[0] = parts.iter().zip(terms).map(|((d, _), t)| 100.0 * d * (t - most).exp() / sum).sum();
            -(most + sum.ln())
        })
    }

    /// Independence Metropolis-Hastings by a model that has the wells right but their weights wrong.
    fn moves() -> ModelMoves<'static> {
        let jump = |x: &mut [f64], (seed, at): (u64, u64)| {
            let mut stream = Stream::new(seed, "a model", at, 0);
            let (n, mut sum) = (x.len() as f64, 0.0);
            for x in x.iter_mut() {
                let mut noise = [0.0];
                let well = if stream.uniform() < 0.5 { -3.0 } else { 3.0 };
                stream.fill_normal(&mut noise);
                let weight = |x: f64| if x < 0.0 { 0.25 } else { 0.75 };
                let chance = f64::min(1.0, weight(well) / weight(*x));
                sum += chance;
                if stream.uniform() < chance {
                    *x = well + 0.1 * noise[0];
                }
            }
            Ok(sum / n)
        };
        ModelMoves { jump: Box::new(jump), each: 2, before: 1000 }
    }

    #[test]
    fn a_model_carries_states_between_wells_where_the_ladder_does_not() {
        let target = wells();
        // Two rungs only, whose swaps are never accepted: the Gaussian hardly ever ends in a well.
        let config = Config { rungs: 2, scale: 600.0, warm_up: 200, thin: 2, jump_every: 2, ..config() };
        let share = |sampler: &mut ParallelTempering| {
            while sampler.recorded() < 8000 {
                sampler.sweep().unwrap();
            }
            sampler.states().iter().filter(|x| **x > 0.0).count() as f64 / sampler.recorded() as f64
        };
        let mut plain = ParallelTempering::new(config.clone(), &target, 3).unwrap();
        let mut guided = ParallelTempering::new(config, &target, 3).unwrap().with_moves(moves());
        // 40 walkers that stay on their side, against states that are new every second sweep.
        let (without, with) = (share(&mut plain), share(&mut guided));
        assert!((with - 0.75).abs() < 0.03, "{with}");
        assert!((without - 0.75).abs() > 0.1, "{without}");
        assert!(guided.evaluations() > plain.evaluations() + 1000);
        // Half of the proposals go to either well: all are accepted to the right, a third of those back.
        let acceptance = guided.jump_acceptance().unwrap();
        assert!((acceptance - 0.75).abs() < 0.03, "{acceptance}");
        assert_eq!(plain.jump_acceptance(), None);
    }

    #[test]
    fn jumps_go_on_where_they_were() {
        let target = wells();
        let config = Config { warm_up: 10, thin: 1, jump_every: 3, ..config() };
        let new = || ParallelTempering::new(config.clone(), &target, 4).unwrap().with_moves(moves());
        let mut unbroken = new();
        (0..20).for_each(|_| unbroken.sweep().unwrap());
        let mut resumed = new();
        resumed.restore(&unbroken.checkpoint()).unwrap();
        for sampler in [&mut unbroken, &mut resumed] {
            (0..15).for_each(|_| sampler.sweep().unwrap());
        }
        assert_eq!(unbroken.states(), resumed.states());
        assert_eq!(unbroken.jump_acceptance(), resumed.jump_acceptance());
        assert_eq!(unbroken.evaluations(), resumed.evaluations());
    }
}
