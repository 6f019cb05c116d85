//! Checkpoints of a sampling run: a resumed run is bit-identical to an uninterrupted one.

use engine::checkpoint::{Checkpoint, CheckpointError};

use super::block::Block;
use super::jumps::Jumps;
use super::sampler::{ParallelTempering, Record};
use crate::sampler::{consistent, fingerprint};

impl ParallelTempering<'_> {
    /// The state between two sweeps.
    pub fn checkpoint(&self) -> Checkpoint {
        let (r, mut c) = (&self.record, Checkpoint::new());
        fingerprint::put(&mut c, fingerprint::OWN, &*self.target);
        c.put_vec("ladder", self.ladder.rungs());
        c.put_vec("steps", &self.steps);
        let of_blocks = |part: fn(&Block) -> &[f64]| self.blocks.iter().flat_map(part).copied().collect();
        let (x, log_p, score): (Vec<f64>, Vec<f64>, Vec<f64>) =
            (of_blocks(|b| &b.x), of_blocks(|b| &b.log_p), of_blocks(|b| &b.score));
        c.put_vec("x", &x);
        c.put_vec("log_p", &log_p);
        c.put_vec("score", &score);
        let from_hot: Vec<f64> = self.from_hot.iter().map(|hot| f64::from(u8::from(*hot))).collect();
        c.put_vec("from_hot", &from_hot);
        c.put_vec("record.energy", &r.energy.concat());
        c.put_vec("record.spread", &r.spread.concat());
        c.put_vec("record.swaps", &r.swaps);
        c.put_vec("record.offers", &r.offers);
        c.put_vec("record.moves", &r.moves);
        c.put_vec("record.excess", &r.excess.concat().concat());
        c.put_vec("record.states", &r.states);
        if self.moves.is_some() {
            c.put_vec("record.jumps", &[r.jumps.acceptance, r.jumps.count as f64]);
        }
        c.note("sweep", self.sweep);
        c.note("evaluations", self.evaluations);
        c.note("settled", self.settled);
        c.note("record.sweeps", r.sweeps);
        c.note("record.round_trips", r.round_trips);
        c
    }

    /// Restores a saved state of a sampler with the same settings.
    ///
    /// # Errors
    /// If the checkpoint does not fit these settings, or its counters do not belong to one state. The sampler is then
    /// in an undefined state: drop it.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        fingerprint::check(c, fingerprint::OWN, &*self.target)?;
        let (walkers, rungs) = (self.config.walkers, self.config.rungs);
        let read = |name: &str, len: usize| c.get_vec::<f64>(name, len);
        self.sweep = c.read_note("sweep")?;
        self.evaluations = c.read_note("evaluations")?;
        self.settled = c.read_note("settled")?;
        let sweeps: usize = c.read_note("record.sweeps")?;
        let round_trips: usize = c.read_note("record.round_trips")?;
        let (sweep, warm_up, settled) = (self.sweep, self.config.warm_up, self.settled);
        let ladder = read("ladder", rungs)?;
        let least = (rungs as u64).saturating_mul(walkers as u64).saturating_mul(sweep as u64);
        consistent(&[
            (
                sweeps == sweep.saturating_sub(warm_up),
                format!("record.sweeps = {sweeps} after {sweep} sweeps, {warm_up} of them the warm-up"),
            ),
            (settled <= sweep.min(warm_up), format!("settled = {settled} after {sweep} sweeps")),
            (
                round_trips <= sweep.saturating_mul(walkers),
                format!("record.round_trips = {round_trips} after {sweep} sweeps"),
            ),
            (self.evaluations > least, format!("evaluations = {} after {sweep} sweeps", self.evaluations)),
            (
                ladder[0] == 1.0 && ladder[rungs - 1] == 0.0 && ladder.is_sorted_by(|a, b| a >= b),
                "its ladder does not lead from 1 down to 0".into(),
            ),
        ])?;
        self.ladder.restore(&ladder);
        self.steps = read("steps", rungs)?;
        let step = self.steps.iter().find(|s| !(s.is_finite() && **s > 0.0));
        consistent(&[(step.is_none(), format!("it has a step size of {}", step.unwrap_or(&0.0)))])?;
        let dim = self.dim();
        self.deal(&read("x", rungs * walkers * dim)?, |b| &mut b.x);
        self.deal(&read("log_p", rungs * walkers)?, |b| &mut b.log_p);
        self.deal(&read("score", rungs * walkers * dim)?, |b| &mut b.score);
        self.from_hot = read("from_hot", rungs * walkers)?.iter().map(|hot| *hot != 0.0).collect();
        let kept = sweeps / self.config.thin;
        let jumps = if self.moves.is_some() { read("record.jumps", 2)? } else { vec![0.0; 2] };
        let rows = |values: Vec<f64>, len: usize, count: usize| -> Vec<Vec<f64>> {
            (0..count).map(|w| values[w * len..(w + 1) * len].to_vec()).collect()
        };
        let product = |factors: [usize; 3]| factors.into_iter().fold(1, usize::saturating_mul);
        let excess = read("record.excess", product([rungs, walkers, kept]))?;
        let excess = rows(excess, kept, rungs * walkers);
        self.record = Record {
            sweeps,
            energy: rows(read("record.energy", product([walkers, sweeps, 1]))?, sweeps, walkers),
            spread: rows(read("record.spread", product([walkers, sweeps, 1]))?, sweeps, walkers),
            swaps: read("record.swaps", rungs - 1)?,
            offers: read("record.offers", rungs - 1)?,
            moves: read("record.moves", rungs)?,
            jumps: Jumps { acceptance: jumps[0], count: jumps[1] as usize },
            round_trips,
            excess: excess.chunks_exact(walkers).map(<[_]>::to_vec).collect(),
            states: read("record.states", product([kept, walkers, dim]))?,
        };
        Ok(())
    }

    /// Copies to each block its part of `values`, in order.
    fn deal(&mut self, mut values: &[f64], part: fn(&mut Block) -> &mut Vec<f64>) {
        for block in &mut self.blocks {
            let target = part(block);
            let (own, others) = values.split_at(target.len());
            target.copy_from_slice(own);
            values = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ParallelTempering};
    use super::*;
    use crate::target::LennardJones;

    /// Two groups of walkers, the second not full.
    fn sampler<'a>(cluster: &'a LennardJones) -> ParallelTempering<'a> {
        let config = Config {
            walkers: 34,
            rungs: 5,
            least_lambda: 1e-3,
            scale: 1.0,
            leapfrog_steps: 4,
            acceptance: 0.8,
            warm_up: 40,
            thin: 3,
            ..Config::default()
        };
        ParallelTempering::new(config, cluster, 5).unwrap()
    }

    #[test]
    fn a_resumed_run_repeats_an_unbroken_one() {
        let cluster = LennardJones::new(4).unwrap();
        let mut unbroken = sampler(&cluster);
        (0..70).for_each(|_| unbroken.sweep().unwrap());
        // In the warm-up, between two recorded states, and at one.
        for stop in [0, 17, 40, 54, 55] {
            let mut first = sampler(&cluster);
            (0..stop).for_each(|_| first.sweep().unwrap());
            let bytes = first.checkpoint().encode().unwrap();
            let mut second = sampler(&cluster);
            second.sweep().unwrap();
            second.restore(&Checkpoint::decode(&bytes).unwrap()).unwrap();
            (stop..70).for_each(|_| second.sweep().unwrap());
            assert_eq!(unbroken.checkpoint(), second.checkpoint(), "{stop}");
            assert_eq!(format!("{:?}", unbroken.report()), format!("{:?}", second.report()), "{stop}");
        }
    }

    #[test]
    fn the_state_of_another_sampler_is_refused() {
        let (four, five) = (LennardJones::new(4).unwrap(), LennardJones::new(5).unwrap());
        let checkpoint = sampler(&four).checkpoint();
        let mut other = ParallelTempering::new(sampler(&four).config.clone(), &five, 5).unwrap();
        let said = other.restore(&checkpoint).unwrap_err().to_string();
        assert!(said.contains("the energy is another"), "{said}");
        // The same energy, another number of walkers.
        let config = Config { walkers: sampler(&four).config.walkers + 8, ..sampler(&four).config.clone() };
        let mut other = ParallelTempering::new(config, &four, 5).unwrap();
        let said = other.restore(&checkpoint).unwrap_err().to_string();
        assert!(said.contains("` holds"), "{said}");
    }
}
