//! Samples as other programs read them: samples.npz for NumPy and ArviZ, samples.extxyz for viewers of molecules.

use std::fmt::Write;

use models::target::ParticleSystem;

use crate::datasets::npz::Writer;
use crate::run::error::CliError;
use crate::table::shortest;

/// Lines of particles in samples.extxyz, at most: some 40 MB. samples.npz has all states.
const MOST_LINES: usize = 1_000_000;

/// The samples of a run.
pub(super) struct Drawn<'a> {
    /// The length of a state.
    pub dim: usize,
    /// States, columns.
    pub x: &'a [f64],
    /// The energies E of states, +inf outside the support.
    pub energies: &'a [f64],
    /// Logarithms of weights; none for states of equal weight.
    pub log_w: &'a [f64],
    /// Of states of so many Markov chains in turn.
    pub chains: Option<usize>,
}

impl Drawn<'_> {
    fn log_weight(&self, k: usize) -> f64 {
        self.log_w.get(k).copied().unwrap_or(0.0)
    }

    /// samples.npz: x [n, d], energy [n], log_weight [n], and where Markov chains made them chain [n] and draw [n].
    pub fn npz(&self) -> Result<Vec<u8>, CliError> {
        let n = self.energies.len();
        let mut w = Writer::default();
        w.doubles("x", &[n, self.dim], self.x)?;
        w.doubles("energy", &[n], self.energies)?;
        w.doubles("log_weight", &[n], &(0..n).map(|k| self.log_weight(k)).collect::<Vec<_>>())?;
        if let Some(chains) = self.chains {
            // There are ten million samples at most.
            let number = |of: fn(usize, usize) -> usize| -> Vec<i32> {
                (0..n).map(|k| of(k, chains.max(1)) as i32).collect()
            };
            w.integers("chain", &[n], &number(|k, m| k % m))?;
            w.integers("draw", &[n], &number(|k, m| k / m))?;
        }
        w.finish()
    }

    /// samples.extxyz: of each state the number of particles, a line of its properties, and a line for each particle.
    /// Positions are those of samples.npy, in single precision; where space has fewer than three dimensions, the others
    /// are 0. As many states as fit into a million lines of particles.
    pub fn extxyz(&self, system: ParticleSystem) -> Vec<u8> {
        let states = (MOST_LINES / system.particles.max(1)).max(1);
        let mut out = String::new();
        for (k, (x, energy)) in self.x.chunks_exact(self.dim).zip(self.energies).take(states).enumerate() {
            // Writing to a string does not fail.
            let _ = write!(
                out,
                "{}\nProperties=species:S:1:pos:R:3 energy={} log_weight={} pbc=\"F F F\"\n",
                system.particles,
                shortest(*energy),
                shortest(self.log_weight(k))
            );
            for particle in x.chunks_exact(system.space) {
                out.push('X');
                for a in 0..3 {
                    let _ = write!(out, " {:?}", particle.get(a).copied().unwrap_or(0.0) as f32);
                }
                out.push('\n');
            }
        }
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::datasets::npz::Npz;

    #[test]
    fn an_archive_reads_back_with_chains_and_draws() {
        let x: Vec<f64> = (0..10).map(|k| 0.5 * f64::from(k)).collect();
        let energies = [1.0, 2.0, 3.0, 4.0, 5.0];
        let drawn = Drawn { dim: 2, x: &x, energies: &energies, log_w: &[], chains: Some(2) };
        let bytes = drawn.npz().unwrap();
        assert_eq!(bytes, drawn.npz().unwrap(), "the same samples are the same bytes");
        let npz = Npz::new(Path::new("samples.npz"), bytes).unwrap();
        let single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        assert_eq!(npz.floats("x").unwrap(), (vec![5, 2], single));
        assert_eq!(npz.floats("energy").unwrap(), (vec![5], vec![1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(npz.floats("log_weight").unwrap(), (vec![5], vec![0.0; 5]));
        assert_eq!(npz.integers("chain").unwrap(), (vec![5], vec![0, 1, 0, 1, 0]));
        assert_eq!(npz.integers("draw").unwrap(), (vec![5], vec![0, 0, 1, 1, 2]));
        let weighted = Drawn { log_w: &[0.0, -1.0, -2.0, -3.0, -4.0], chains: None, ..drawn };
        let npz = Npz::new(Path::new("samples.npz"), weighted.npz().unwrap()).unwrap();
        assert_eq!(npz.floats("log_weight").unwrap().1[4], -4.0);
        assert!(!npz.has("chain") && !npz.has("draw"));
    }

    /// Energies, logarithms of weights and positions, as a reader of the format finds them.
    fn read(text: &str, particles: usize) -> Vec<(f64, f64, Vec<f32>)> {
        let mut lines = text.lines();
        let mut all = Vec::new();
        while let Some(count) = lines.next() {
            assert_eq!(count.parse::<usize>().unwrap(), particles);
            let comment = lines.next().unwrap();
            assert!(
                comment.starts_with("Properties=species:S:1:pos:R:3 ") && comment.ends_with(" pbc=\"F F F\"")
            );
            let value = |key: &str| {
                let rest = comment.split_once(key).unwrap().1;
                rest.split(' ').next().unwrap().parse::<f64>().unwrap()
            };
            let position = |line: &str| {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!((words.len(), words[0]), (4, "X"));
                words[1..].iter().map(|w| w.parse::<f32>().unwrap()).collect::<Vec<_>>()
            };
            let positions = lines.by_ref().take(particles).flat_map(position).collect();
            all.push((value(" energy="), value(" log_weight="), positions));
        }
        all
    }

    #[test]
    fn states_of_particles_read_back() {
        let system = ParticleSystem { particles: 2, space: 2 };
        let x = [0.1, -2.5e-9, 1e3 / 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let energies = [-44.326_801_234_567_89, f64::INFINITY];
        let drawn =
            Drawn { dim: 4, x: &x, energies: &energies, log_w: &[0.25, f64::NEG_INFINITY], chains: None };
        let text = String::from_utf8(drawn.extxyz(system)).unwrap();
        let found = read(&text, 2);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1), (energies[0], 0.25));
        assert_eq!(found[0].2, [0.1_f32, -2.5e-9, 0.0, (1e3_f64 / 3.0) as f32, 4.0, 0.0]);
        assert_eq!((found[1].0, found[1].1), (f64::INFINITY, f64::NEG_INFINITY));
    }

    #[test]
    fn a_file_of_states_has_a_million_lines_of_particles_at_most() {
        let system = ParticleSystem { particles: 400, space: 1 };
        let x = vec![0.5; 400 * 2600];
        let energies = vec![0.0; 2600];
        let drawn = Drawn { dim: 400, x: &x, energies: &energies, log_w: &[], chains: None };
        let text = String::from_utf8(drawn.extxyz(system)).unwrap();
        assert_eq!(text.lines().count(), 2500 * 402);
    }
}
