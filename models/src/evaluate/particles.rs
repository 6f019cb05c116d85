//! Figures of a sampler of particles against reference samples, each with its floor: the same figure between two
//! halves of the reference.

use super::{EvaluationError, Figure};
use crate::metrics::{self, MetricError};
use crate::target::{ParticleSystem, Target, TargetError};

/// Upper bound of energies: an overlap in one sample must not make a distance infinite.
const LARGEST_ENERGY: f64 = 1e100;

/// Sizes of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Number of disjoint sets.
    pub sets: usize,
    /// Samples in a set.
    pub set_size: usize,
    /// Sets on which eq-W2 is taken: it costs an assignment and a rotation for each pair of states.
    pub eq_sets: usize,
}

impl Sizes {
    /// Reference states that are needed: a set to compare with, and another for the floor.
    pub fn reference(&self) -> usize {
        2 * self.sets * self.set_size
    }
}

/// The energies of states, at most 1e100.
///
/// # Errors
/// Where the target cannot be evaluated.
pub fn energies(target: &dyn Target<f64>, x: &[f64]) -> Result<Vec<f64>, TargetError> {
    let mut energies = super::energies(target, x)?;
    bound(&mut energies);
    Ok(energies)
}

/// Lowers energies to at most 1e100.
pub fn bound(energies: &mut [f64]) {
    energies.iter_mut().for_each(|e| *e = e.min(LARGEST_ENERGY));
}

/// x_w2, e_w2, eq_w2, d_tv, and mean and standard deviation of the energy; all states mean-free.
///
/// # Errors
/// Too few states, numbers that are not finite, or a target that cannot be evaluated.
pub fn particle_figures(
    target: &dyn Target<f64>,
    system: ParticleSystem,
    samples: &[f64],
    reference: &[f64],
    sizes: Sizes,
) -> Result<Vec<Figure>, EvaluationError> {
    let (d, size) = (system.dim(), sizes.set_size);
    let needed = [(samples, sizes.sets * size), (reference, sizes.reference())];
    for (x, needed) in needed {
        if x.len() / d < needed {
            return Err(MetricError::TooFew { needed, found: x.len() / d }.into());
        }
    }
    let (first, second) = reference.split_at(sizes.sets * size * d);
    let mut values: [(Vec<f64>, Vec<f64>); 4] = Default::default();
    let mut put = |k: usize, value: f64, floor: f64| {
        values[k].0.push(value);
        values[k].1.push(floor);
    };
    for set in 0..sizes.sets {
        let range = set * size * d..(set + 1) * size * d;
        let (x, r, o) = (&samples[range.clone()], &first[range.clone()], &second[range]);
        put(0, metrics::w2(x, r, d)?, metrics::w2(o, r, d)?);
        let e = |x| energies(target, x);
        put(1, metrics::w2_1d(&e(x)?, &e(r)?)?, metrics::w2_1d(&e(o)?, &e(r)?)?);
        if set < sizes.eq_sets.max(1) {
            let eq = |x| metrics::equivariant_w2(x, r, system);
            put(2, eq(x)?, eq(o)?);
        }
        let tv = |x| metrics::distance_tv(x, r, system);
        put(3, tv(x)?, tv(o)?);
    }
    let names = ["x_w2", "e_w2", "eq_w2", "d_tv"];
    let mut figures: Vec<Figure> =
        names.iter().zip(&values).map(|(name, (v, f))| Figure::over_sets(name, v, f)).collect();
    let (e, r) = (energies(target, samples)?, energies(target, reference)?);
    for (name, f) in [("energy_mean", metrics::mean as fn(&[f64]) -> f64), ("energy_sd", metrics::sd)] {
        figures.push(Figure { floor: Some(f(&r)), ..Figure::plain(name, f(&e)) });
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::DoubleWell;
    use engine::rng::Stream;

    #[test]
    fn a_reference_measured_against_itself_is_at_its_floor_and_a_wider_one_is_not() {
        let (energy, sizes) = (DoubleWell::dw4(), Sizes { sets: 2, set_size: 60, eq_sets: 1 });
        let system = ParticleSystem { particles: 4, space: 2 };
        let draw = |scale: f64, seed| {
            let mut x = vec![0.0; 8 * 240];
            system.fill_normal(&mut Stream::new(seed, "states", 0, 0), &mut x);
            x.iter_mut().for_each(|v| *v *= scale);
            x
        };
        let reference = draw(2.0, 0);
        // The second half of the reference as samples: exactly the floor.
        let figures = particle_figures(&energy, system, &reference[8 * 120..], &reference, sizes).unwrap();
        for f in &figures[..4] {
            assert_eq!(Some(f.value), f.floor, "{}", f.name);
        }
        let wide = particle_figures(&energy, system, &draw(4.0, 1), &reference, sizes).unwrap();
        assert!(wide[..4].iter().all(|f| f.value > 1.5 * f.floor.unwrap()), "{wide:?}");
        let few = particle_figures(&energy, system, &reference[..80], &reference, sizes);
        assert_eq!(few, Err(MetricError::TooFew { needed: 120, found: 10 }.into()));
    }
}
