//! What is known of a registered target with its default parameters: log Z with its error, values to check a program
//! by, where the target comes from, and what has gone wrong with it elsewhere.

use super::{Geometry, ParticleSystem};

/// A target's page in the book of references; all of it is of the default parameters.
pub struct Page {
    /// log Z and its standard error, which is 0 where log Z is exact. None where nobody knows it.
    pub log_z: Option<(f64, f64)>,
    /// How log Z is known.
    pub how: &'static str,
    /// log p = -E at states, computed by other programs. None are given where the target is drawn by this program.
    pub values: &'static [(At, f64)],
    /// Where the target comes from.
    pub source: &'static str,
    /// What to mind, in comparing with others above all.
    pub traps: &'static [&'static str],
}

/// A state at which log p is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// All coordinates have this value.
    All(f64),
    /// Particle i lies at (i mod 4, i / 4 mod 4, i / 16) times this spacing (in the plane without the third), and the
    /// mean is taken away.
    Lattice(f64),
}

impl At {
    /// The state as a column.
    pub fn state(self, geometry: Geometry) -> Vec<f64> {
        match (self, geometry) {
            (Self::All(v), _) => vec![v; geometry.dim()],
            (Self::Lattice(spacing), Geometry::Particles(ParticleSystem { particles, space })) => {
                let place = |i: usize| [i % 4, i / 4 % 4, i / 16];
                let mut x: Vec<f64> = (0..particles)
                    .flat_map(|i| place(i)[..space].to_vec())
                    .map(|k| spacing * k as f64)
                    .collect();
                geometry.project(&mut x);
                x
            }
            (Self::Lattice(_), Geometry::Euclidean(_)) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::target::TargetConfig;
    use crate::target::registry::entries;

    #[test]
    fn every_value_of_the_book_is_met() {
        let mut met = 0;
        for entry in entries() {
            let target = TargetConfig::of(entry.name).unwrap().build().unwrap();
            let target = target.double();
            for (at, want) in entry.page.values {
                let x = at.state(target.geometry());
                let mut log_p = [0.0];
                target.evaluate(&x, &mut log_p, &mut []).unwrap();
                // The last digit that is given.
                let met_here = log_p[0] == *want || (log_p[0] - want).abs() < 1e-6 * want.abs().max(1.0);
                assert!(met_here, "{} {at:?} {}", entry.name, log_p[0]);
                met += 1;
            }
            // What a target says itself is what its page says.
            if let (Some(own), Some((page, error))) = (target.log_z(), entry.page.log_z) {
                assert!((own - page).abs() <= 5.0 * error + 1e-12, "{} {own} {page}", entry.name);
            }
            assert!(target.log_z().is_none() || entry.page.log_z.is_some(), "{}", entry.name);
            assert!(!entry.page.how.is_empty() && !entry.page.source.is_empty(), "{}", entry.name);
        }
        assert!(met >= 12, "{met}");
    }
}
