//! Moves of the first rung by a trained model.

use super::ParallelTempering;
use super::block::GROUP;
use crate::target::TargetError;

/// A move of states (columns) by a model of the target that leaves exp(-E) invariant
/// ([`Learned::jump`](crate::sampler::Learned::jump)), with a key for its random numbers.
pub type Move<'a> = dyn Fn(&mut [f64], (u64, u64)) -> Result<Jumped, TargetError> + Send + Sync + 'a;

/// What came of a move.
#[derive(Clone, Copy, Debug)]
pub struct Jumped {
    /// The mean acceptance.
    pub acceptance: f64,
    /// Energies that it took to get the model ready, in the first move of a process.
    pub tuning: u64,
}

/// Moves by a model, and what they cost.
pub struct ModelMoves<'a> {
    /// The move.
    pub jump: Box<Move<'a>>,
    /// Energies that it evaluates for each state.
    pub each: usize,
}

/// What is known of the jumps since recording began.
#[derive(Clone, Copy, Default)]
pub(super) struct Jumps {
    /// The sum of their mean acceptances.
    pub acceptance: f64,
    /// How often all walkers have jumped.
    pub count: usize,
}

impl<'a> ParallelTempering<'a> {
    /// The same with moves by a model.
    pub fn with_moves(self, moves: ModelMoves<'a>) -> Self {
        Self { moves: Some(moves), ..self }
    }

    /// The mean acceptance of the model's moves since recording began; none without any.
    pub fn jump_acceptance(&self) -> Option<f64> {
        let Jumps { acceptance, count } = self.record.jumps;
        (count > 0).then(|| acceptance / count as f64)
    }

    /// Offers every state of the first rung one of the model's own, in every `jump_every`-th sweep.
    pub(super) fn jump_all(&mut self) -> Result<(), TargetError> {
        let Some(moves) = &self.moves else { return Ok(()) };
        if !self.sweep.is_multiple_of(self.config.jump_every) {
            return Ok(());
        }
        let (walkers, dim) = (self.config.walkers, self.target.dim());
        let first = &mut self.blocks[..walkers.div_ceil(GROUP)];
        let mut columns = vec![0.0; walkers * dim];
        let blocks = columns.chunks_mut(GROUP * dim).zip(first.iter());
        blocks.for_each(|(columns, block)| block.write_columns(columns));
        let jumped = (moves.jump)(&mut columns, (self.seed, self.sweep as u64))?;
        for (columns, block) in columns.chunks(GROUP * dim).zip(first) {
            let mut before = block.clone();
            block.read_columns(columns);
            block.evaluate(&*self.target)?;
            // Single precision, in which models move states, may have seen one inside that is not.
            let outside: Vec<usize> = (0..block.n).filter(|l| !block.log_p[*l].is_finite()).collect();
            outside.into_iter().for_each(|l| block.swap(&mut before, l));
        }
        self.evaluations += (walkers * (moves.each + 1)) as u64;
        if self.sweep == 0 {
            // A run that goes on gets the same model ready once more, which is no cost of the run.
            self.evaluations += jumped.tuning;
        }
        self.record.jumps.acceptance += jumped.acceptance;
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
            Ok(Jumped { acceptance: sum / n, tuning: 1000 })
        };
        ModelMoves { jump: Box::new(jump), each: 2 }
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
    fn a_state_that_the_model_takes_out_of_the_support_stays_where_it_was() {
        let half = Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            g[0] = x[0];
            if x[0] < 0.0 { f64::INFINITY } else { 0.5 * x[0] * x[0] }
        });
        let jump = |x: &mut [f64], _: (u64, u64)| {
            x.iter_mut().step_by(2).for_each(|x| *x = -*x);
            Ok(Jumped { acceptance: 1.0, tuning: 0 })
        };
        let moves = ModelMoves { jump: Box::new(jump), each: 2 };
        let config = Config { warm_up: 20, thin: 1, jump_every: 1, ..config() };
        let mut sampler = ParallelTempering::new(config, &half, 5).unwrap().with_moves(moves);
        (0..60).for_each(|_| sampler.sweep().unwrap());
        assert!(sampler.states().iter().all(|x| *x >= 0.0) && sampler.report().energy_mean.is_finite());
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
