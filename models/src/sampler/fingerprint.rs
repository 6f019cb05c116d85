//! What a checkpoint remembers of the energy it belongs to.

use engine::Real;
use engine::checkpoint::{Checkpoint, CheckpointError};

use crate::target::{Target, pilot_states};

/// States whose energies are remembered, of each of these scales: particles overlap at small ones, and a trap is felt at
/// large ones.
const STATES: usize = 2;
const SCALES: [f64; 3] = [0.3, 1.0, 3.0];
/// The note of a sampler's own target.
pub(crate) const OWN: &str = "energies of pilot states";
/// That of a sampler around another one, in other coordinates.
pub(crate) const OUTER: &str = "energies of pilot states, outer coordinates";
/// Relative difference that is forgiven: energies of other programs may be sums in any order.
const FORGIVEN: f64 = 1e-3;

/// log p at a few fixed states; NaN where it cannot be evaluated. Not counted among a sampler's evaluations.
fn energies<T: Real>(target: &dyn Target<T>) -> Vec<f64> {
    let states: Vec<T> = SCALES.iter().flat_map(|scale| pilot_states(target, *scale, STATES)).collect();
    let mut log_p = vec![T::ZERO; STATES * SCALES.len()];
    let known = target.evaluate(&states, &mut log_p, &mut []).is_ok();
    log_p.iter().map(|l| if known { l.f64() } else { f64::NAN }).collect()
}

/// Notes the energy of `target`.
pub(crate) fn put<T: Real>(checkpoint: &mut Checkpoint, note: &str, target: &dyn Target<T>) {
    let texts: Vec<String> = energies(target).iter().map(f64::to_string).collect();
    checkpoint.note(note, texts.join(" "));
}

/// An error if the checkpoint is one of another energy. Checkpoints of earlier builds have no note, and pass.
///
/// # Errors
/// [`CheckpointError::Contradiction`], with both values.
pub(crate) fn check<T: Real>(
    checkpoint: &Checkpoint,
    note: &str,
    target: &dyn Target<T>,
) -> Result<(), CheckpointError> {
    let Ok(text) = checkpoint.read_note::<String>(note) else { return Ok(()) };
    let now = energies(target);
    let differ = |a: f64, b: f64| a != b && (a - b).abs() > FORGIVEN * (1.0 + a.abs().min(b.abs()));
    let was = text.split(' ').map(|v| v.parse().unwrap_or(f64::NAN));
    match was.zip(&now).find(|(was, now)| differ(*was, **now)) {
        Some((was, now)) => Err(CheckpointError::Other(format!(
            "the energy is another (target.* or its data): log p of a fixed state was {was:.6}, and is {now:.6}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Mixture, Pointwise};

    #[test]
    fn another_energy_is_told_from_the_same_and_from_rounding() {
        let of = |weight: f64| {
            Pointwise::new(2, move |x: &[f64], g: &mut [f64]| {
                (g[0], g[1]) = (weight * x[0], weight * x[1]);
                0.5 * weight * (x[0] * x[0] + x[1] * x[1])
            })
        };
        let mut c = Checkpoint::new();
        // What an earlier build wrote.
        check(&c, OWN, &of(1.0)).unwrap();
        put(&mut c, OWN, &of(1.0));
        check(&c, OWN, &of(1.0)).unwrap();
        check(&c, OWN, &of(1.0 + 1e-5)).unwrap();
        let said = check(&c, OWN, &of(1.1)).unwrap_err().to_string();
        assert!(
            said.contains("the energy is another (target.* or its data): log p of a fixed state was -"),
            "{said}"
        );
        let other = Mixture::new(2, vec![0.0; 2], vec![1.0], vec![1.0]).unwrap();
        assert!(check::<f64>(&c, OWN, &other).is_err(), "another constant");
        // Outside the support then and now, and a broken energy.
        let wall = Pointwise::new(1, |_: &[f64], g: &mut [f64]| {
            g[0] = 0.0;
            f64::INFINITY
        });
        let broken = Pointwise::new(1, |_: &[f64], _: &mut [f64]| f64::NAN);
        put(&mut c, OWN, &wall);
        check(&c, OWN, &wall).unwrap();
        check(&c, OWN, &broken).unwrap();
    }

    #[test]
    fn every_method_refuses_the_checkpoint_of_another_energy_and_other_scales() {
        use crate::sampler::Method;
        use crate::target::{AnyTarget, TargetConfig};
        let target = |separation: f64| {
            let mut config = TargetConfig::of("two-wells").unwrap();
            for (key, value) in [("dim", 3.0), ("separation", separation)] {
                let old = config.parameters[key].clone();
                config.parameters.insert(key.into(), old.like(value));
            }
            config.build().unwrap()
        };
        let (own, other) = (target(4.0), target(5.0));
        fn refused(method: &Method, from: &dyn AnyTarget, to: &dyn AnyTarget) -> String {
            let checkpoint = method.config().build(from, 100, 0).unwrap().checkpoint();
            let mut restored = method.config().build(to, 100, 0).unwrap();
            restored.restore(&checkpoint).map_or_else(|e| e.to_string(), |()| "nothing".into())
        }
        for (name, _) in Method::NAMES {
            let method = Method::named(name, None).unwrap();
            assert_eq!(refused(&method, &*own, &*own), "nothing", "{name}");
            let said = refused(&method, &*own, &*other);
            assert!(said.contains("the energy is another"), "{name}: {said}");
        }
        let scaled = |sigma: f64| Method::named("idem", Some([sigma, 0.2])).unwrap();
        let checkpoint = scaled(1.0).config().build(&*own, 100, 0).unwrap().checkpoint();
        let method = scaled(2.0);
        let said =
            method.config().build(&*own, 100, 0).unwrap().restore(&checkpoint).unwrap_err().to_string();
        assert!(said.contains("sigma_data"), "{said}");
    }
}
