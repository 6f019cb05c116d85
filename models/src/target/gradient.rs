//! Whether a gradient is that of its energy.
//!
//! At a point x and along a coordinate, u = e_a (projected onto the target's space), the derivative of E is compared
//! with central differences
//!
//! D(h) = (E(x + h u) - E(x - h u)) / 2 h = u . grad E + O(h^2)
//!
//! at steps h that fall by factors of eight. From one step to the next D changes by nearly all of the error of the longer
//! one, and the rounding of E adds eps |E| / h: the step at which both are least, and their sum there, give the
//! difference its own error (Ridders, Advances in Engineering Software 4, 1982). Only a mismatch of many such errors
//! counts, and only if most points have one in that coordinate, so that neither a stiff energy nor a kink gives an
//! alarm.

use std::fmt::Write;

use engine::Real;
use engine::rng::Stream;

use super::{Target, TargetError};

/// Coordinates that are compared; of more, as many evenly spaced ones.
const AXES: usize = 256;
/// Steps, at most.
const STEPS: usize = 7;
/// Errors of a difference that are forgiven.
const ERRORS: f64 = 20.0;
/// Share of the derivative that is forgiven.
const SHARE: f64 = 0.01;
/// Coordinates of a point that an error shows.
const SHOWN: usize = 4;

/// `n` draws of a Gaussian of standard deviation `scale` on the target's space, as columns: where a training begins.
pub fn pilot_states<T: Real>(target: &dyn Target<T>, scale: f64, n: usize) -> Vec<T> {
    let mut x = vec![T::ZERO; n * target.dim()];
    target.geometry().fill_normal(&mut Stream::new(0, "pilot states", 0, 0), &mut x);
    x.iter_mut().for_each(|x| *x *= T::of(scale));
    x
}

/// Compares the gradient of a target with differences of its energy at `states` (columns), a few of those that a
/// sampler meets ([`pilot_states`]). States of infinite energy are skipped, and what differences cannot resolve passes.
/// It takes 14 energies for each coordinate of a state (of more than 256
/// coordinates, as many evenly spaced ones); a sampler's count of evaluations does not include them.
///
/// ```
/// use models::target::{Pointwise, check_gradient, pilot_states};
/// // The score in place of the gradient.
/// let wrong = Pointwise::new(1, |x: &[f64], gradient: &mut [f64]| {
///     gradient[0] = -x[0];
///     0.5 * x[0] * x[0]
/// });
/// let said = check_gradient(&wrong, &pilot_states(&wrong, 2.0, 8)).unwrap_err().to_string();
/// assert!(said.contains("in coordinate 0") && said.contains("the sign is reversed"), "{said}");
/// ```
///
/// # Errors
/// [`TargetError::Gradient`] if at most of the states both differ by far, which names one, the coordinate and both
/// values; and where the target cannot be evaluated.
pub fn check_gradient<T: Real>(target: &dyn Target<T>, states: &[T]) -> Result<(), TargetError> {
    let d = target.dim();
    let n = states.len() / d.max(1);
    let (mut log_p, mut score) = (vec![T::ZERO; n], vec![T::ZERO; n * d]);
    target.evaluate(&states[..n * d], &mut log_p, &mut score)?;
    let inside: Vec<usize> = (0..n).filter(|&i| log_p[i].is_finite()).collect();
    let axes: Vec<usize> = (0..d.min(AXES)).map(|k| k * d / d.min(AXES)).collect();
    let line = |i: usize, axis: usize| {
        let mut u = vec![0.0; d];
        u[axis] = 1.0;
        target.geometry().project(&mut u);
        Line::new(&states[i * d..(i + 1) * d], &score[i * d..(i + 1) * d], &u)
    };
    let lines: Vec<Line<'_, T>> =
        inside.iter().flat_map(|&i| axes.iter().map(move |&a| (i, a))).map(|(i, a)| line(i, a)).collect();
    let verdicts = compare(target, states, &lines)?;
    // Of each coordinate, at how many points it is judged, and at how many it is wrong.
    let points: Vec<&[Verdict]> = verdicts.chunks(axes.len().max(1)).collect();
    let count = |k: usize, of: fn(&Verdict) -> bool| points.iter().filter(|point| of(&point[k])).count();
    let (judged, wrong) = (|k| count(k, |v| v.error.is_finite()), |k| count(k, |v| v.wrong));
    let bad: Vec<usize> = (0..axes.len()).filter(|&k| 2 * wrong(k) > judged(k)).collect();
    let Some((&i, point)) = inside.iter().zip(&points).find(|(_, point)| bad.iter().any(|&k| point[k].wrong))
    else {
        return Ok(());
    };
    // With particles a wrong coordinate shows in others too, through the mean that is taken away, and less.
    let size = |k: &usize| if point[*k].wrong { point[*k].mismatch } else { -1.0 };
    let k = bad.iter().copied().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(0);
    let (given, found) = (point[k].given, point[k].difference);
    let remedy = if (given + found).abs() < 0.1 * found.abs() {
        "the sign is reversed: write grad E, not the score -grad E"
    } else {
        "correct the gradient, or the energy"
    };
    Err(TargetError::Gradient(format!(
        "the gradient of the energy is {given:.6} in coordinate {} at x = {}, where differences of the energy give {found:.6} (so at {} of {} points): {remedy}",
        axes[k],
        shown(&states[i * d..(i + 1) * d]),
        wrong(k),
        judged(k)
    )))
}

/// A point, a direction of length one, and the derivative that the target gives along it.
struct Line<'a, T> {
    x: &'a [T],
    u: Vec<f64>,
    given: f64,
    /// Bound of the rounding of `given`.
    rounding: f64,
}

impl<'a, T: Real> Line<'a, T> {
    fn new(x: &'a [T], score: &[T], u: &[f64]) -> Self {
        let norm = u.iter().map(|u| u * u).sum::<f64>().sqrt();
        let u: Vec<f64> = u.iter().map(|u| u / norm).collect();
        let parts = || score.iter().zip(&u).map(|(s, u)| -s.f64() * u);
        let rounding = 100.0 * T::EPSILON.f64() * parts().map(f64::abs).sum::<f64>();
        Self { given: parts().sum(), rounding, x, u }
    }
}

/// A derivative beside its difference.
struct Verdict {
    given: f64,
    difference: f64,
    /// Of the difference; infinite if there is none.
    error: f64,
    mismatch: f64,
    wrong: bool,
}

impl Verdict {
    fn tolerance(&self) -> f64 {
        (ERRORS * self.error + SHARE * self.given.abs().max(self.difference.abs())).max(f64::MIN_POSITIVE)
    }
}

/// The differences along all lines, from one batch of energies.
fn compare<T: Real>(
    target: &dyn Target<T>,
    states: &[T],
    lines: &[Line<'_, T>],
) -> Result<Vec<Verdict>, TargetError> {
    let size = (states.iter().map(|x| x.f64().powi(2)).sum::<f64>() / states.len().max(1) as f64).sqrt();
    let size = if size > 0.0 && size.is_finite() { size } else { 1.0 };
    // Down to where rounding is all there is.
    let mut steps = vec![0.125 * size];
    while steps.len() < STEPS && steps[steps.len() - 1] > 16.0 * T::EPSILON.f64() * size {
        steps.push(0.125 * steps[steps.len() - 1]);
    }
    let mut x = Vec::with_capacity(lines.len() * steps.len() * 2 * target.dim());
    for line in lines {
        for h in steps.iter().flat_map(|h| [*h, -h]) {
            x.extend(line.x.iter().zip(&line.u).map(|(x, u)| T::of(x.f64() + h * u)));
        }
    }
    let mut log_p = vec![T::ZERO; lines.len() * steps.len() * 2];
    target.evaluate(&x, &mut log_p, &mut [])?;
    let d = target.dim();
    let verdicts = lines.iter().enumerate().map(|(i, line)| {
        // (D, its rounding) at each step.
        let differences: Vec<(f64, f64)> = (0..steps.len())
            .map(|k| {
                let at = (i * steps.len() + k) * 2;
                let (ahead, behind) = (-log_p[at].f64(), -log_p[at + 1].f64());
                // The way between both points as they were rounded.
                let (p, q) = (&x[at * d..(at + 1) * d], &x[(at + 1) * d..(at + 2) * d]);
                let way: f64 = p.iter().zip(q).zip(&line.u).map(|((p, q), u)| (p.f64() - q.f64()) * u).sum();
                let rounding = 4.0 * T::EPSILON.f64() * ahead.abs().max(behind.abs()) / way;
                // Equal energies have been rounded to one number, or know no slope.
                let known = ahead != behind && way > 0.0;
                if known { ((ahead - behind) / way, rounding) } else { (f64::NAN, f64::INFINITY) }
            })
            .collect();
        let (mut difference, mut error) = (f64::NAN, f64::INFINITY);
        for three in differences.windows(3) {
            let [(a, _), (b, _), (c, rounding)] = three else { continue };
            let change = (a - b).abs().max((b - c).abs()) + rounding;
            if change < error {
                (difference, error) = (*c, change);
            }
        }
        let error = error + line.rounding;
        let mut verdict = Verdict { given: line.given, difference, error, mismatch: 0.0, wrong: false };
        if error.is_finite() {
            verdict.mismatch = (line.given - difference).abs();
            verdict.wrong = verdict.mismatch > verdict.tolerance();
        }
        verdict
    });
    Ok(verdicts.collect())
}

/// The first coordinates of a point.
fn shown<T: Real>(x: &[T]) -> String {
    let mut text = String::new();
    for (a, x) in x.iter().take(SHOWN).enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{:.6}", if a == 0 { "" } else { ", " }, x.f64());
    }
    format!("({text}{})", if x.len() > SHOWN { ", ..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::super::{LennardJones, Pointwise, TargetConfig, registry};
    use super::*;

    #[test]
    fn every_target_passes_in_both_precisions_at_all_widths() {
        for name in registry::names() {
            let config = TargetConfig::of(name).unwrap();
            let (target, scale) = (config.build().unwrap(), config.scales().unwrap().unwrap()[0]);
            for width in [0.1, 0.5, 1.0, 3.0, 10.0] {
                let (single, double) = (target.single(), target.double());
                check_gradient(double, &pilot_states(double, width * scale, 8)).unwrap();
                check_gradient(single, &pilot_states(single, width * scale, 8)).unwrap();
            }
        }
    }

    /// A Lennard-Jones cluster with the gradient of coordinate 7 times a factor.
    struct Wrong(LennardJones, f64);

    impl Target<f64> for Wrong {
        fn geometry(&self) -> super::super::Geometry {
            Target::<f64>::geometry(&self.0)
        }

        fn log_density_block(
            &self,
            n: usize,
            x: &[f64],
            log_p: &mut [f64],
            score: &mut [f64],
            scratch: &mut Vec<f64>,
        ) -> Result<(), TargetError> {
            self.0.log_density_block(n, x, log_p, score, scratch)?;
            score.iter_mut().skip(7 * n).take(n).for_each(|s| *s *= self.1);
            Ok(())
        }
    }

    #[test]
    fn one_wrong_coordinate_of_many_is_found_and_named() {
        for factor in [-1.0, 0.5, 1.1] {
            let target = Wrong(LennardJones::lj13(), factor);
            let said = check_gradient(&target, &pilot_states(&target, 2.0, 8)).unwrap_err().to_string();
            assert!(said.contains("in coordinate 7"), "{said}");
        }
    }

    #[test]
    fn a_reversed_sign_is_found_in_single_precision_with_both_values_and_the_remedy() {
        let ring = |sign: f32| {
            Pointwise::new(2, move |x: &[f32], gradient: &mut [f32]| {
                let r = x[0].hypot(x[1]).max(1e-6);
                let slope = sign * 4.0 * (r - 3.0) / r;
                gradient.copy_from_slice(&[slope * x[0], slope * x[1]]);
                2.0 * (r - 3.0).powi(2)
            })
        };
        check_gradient(&ring(1.0), &pilot_states(&ring(1.0), 3.0, 8)).unwrap();
        let said = check_gradient(&ring(-1.0), &[1.0, 0.0, 2.0, 4.0]).unwrap_err().to_string();
        let want = "the gradient of the energy is 8.000000 in coordinate 0 at x = (1.000000, 0.000000), where differences of the energy give -";
        let remedy = "(so at 2 of 2 points): the sign is reversed: write grad E, not the score -grad E";
        assert!(said.starts_with(want) && said.ends_with(remedy), "{said}");
    }

    #[test]
    fn what_differences_cannot_resolve_passes() {
        // Outside, behind a wall; a kink; rounded away by an offset; noise.
        let wall = Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0;
            if x[0].abs() < 1e-12 { x[0] } else { f64::INFINITY }
        });
        check_gradient(&wall, &[0.0, 1.0]).unwrap();
        let kink = Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            g[0] = x[0].signum();
            x[0].abs()
        });
        check_gradient(&kink, &[0.0, 0.0, 1.0, -2.0]).unwrap();
        let offset = Pointwise::new(1, |x: &[f32], g: &mut [f32]| {
            g[0] = x[0];
            (1e8 + 0.5 * x[0] * x[0]) - 1e8
        });
        check_gradient(&offset, &pilot_states(&offset, 2.0, 8)).unwrap();
        let noise = Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            g[0] = x[0];
            0.5 * x[0] * x[0] + (1e9 * x[0]).sin()
        });
        check_gradient(&noise, &pilot_states(&noise, 2.0, 8)).unwrap();
        check_gradient(&noise, &[]).unwrap();
    }
}
