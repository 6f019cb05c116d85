//! What may come of an evaluation, and what may not. With log_p = -E and score = -grad E at a point:
//!
//! | log_p | score | meaning |
//! |---|---|---|
//! | finite | finite | a state of the target, however large the numbers |
//! | -inf | anything | outside the support: E = +inf, density 0. The score is not looked at, and set to 0 |
//! | NaN, or +inf | anything | [`TargetError::Broken`], which names the point |
//! | finite | not finite | [`TargetError::Broken`], which names the point and the coordinate |
//!
//! Far out the numbers of a sound energy overflow too, and trajectories that fly apart get there. A point with a
//! coordinate that is not finite, or whose square is not (above 1.8e19 in single precision, 1.3e154 in double), is
//! outside the support wherever log_p or score is not finite.

use std::fmt::Write;

use engine::{Real, simd_fn};

use super::TargetError;

/// Coordinates of a point that an error shows.
const SHOWN: usize = 4;
/// Partial sums.
const WIDTH: usize = 32;

/// Where coordinate a of point l lies: at l * `point` + a * `coordinate`.
#[derive(Clone, Copy)]
struct Layout {
    point: usize,
    coordinate: usize,
}

/// Checks an evaluation at the columns of `x`; `score` may be empty.
pub(super) fn columns<T: Real>(
    dim: usize,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<(), TargetError> {
    check(dim, Layout { point: dim, coordinate: 1 }, x, log_p, score)
}

/// Checks an evaluation of a block, coordinate by coordinate.
pub(super) fn block<T: Real>(x: &[T], log_p: &mut [T], score: &mut [T]) -> Result<(), TargetError> {
    let n = log_p.len();
    check(x.len() / n.max(1), Layout { point: 1, coordinate: n }, x, log_p, score)
}

fn check<T: Real>(
    dim: usize,
    layout: Layout,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<(), TargetError> {
    if all_finite(log_p) && all_finite(score) {
        return Ok(());
    }
    let n = log_p.len();
    for (l, log_p) in log_p.iter_mut().enumerate() {
        let at = |a: usize| l * layout.point + a * layout.coordinate;
        let bad = (0..dim).find(|a| score.get(at(*a)).is_some_and(|s| !s.is_finite()));
        if log_p.is_finite() && bad.is_none() {
            continue;
        }
        let point = || (0..dim).map(|a| x[at(a)]);
        if *log_p == T::NEG_INFINITY || point().any(|x| !(x * x).is_finite()) {
            *log_p = T::NEG_INFINITY;
            (0..dim).for_each(|a| score.get_mut(at(a)).into_iter().for_each(|s| *s = T::ZERO));
            continue;
        }
        let place = format!("at point {l} of {n}, x = {}", shown(point()));
        return Err(TargetError::Broken(match bad {
            Some(a) if log_p.is_finite() => format!(
                "the gradient of the energy is {:?} in coordinate {a} {place}, where the energy is {:?}: it must be finite wherever the energy is",
                -score[at(a)],
                -*log_p
            ),
            _ => format!(
                "the energy is {:?} {place}: it must be a number, or +inf outside the support",
                -*log_p
            ),
        }));
    }
    Ok(())
}

/// The first coordinates of a point, in digits that read back to the same numbers.
fn shown<T: Real>(x: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for (a, x) in x.enumerate() {
        if a == SHOWN {
            text.push_str(", ...");
            break;
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{}{x:?}", if a == 0 { "" } else { ", " });
    }
    format!("({text})")
}

simd_fn! {
    /// Whether no number is NaN or infinite: x - x is 0, or NaN.
    #[allow(clippy::eq_op)]
    pub(crate) fn all_finite<T: Real>(x: &[T]) -> bool {
        let mut sums = [T::ZERO; WIDTH];
        for x in x.chunks(WIDTH) {
            for (x, sum) in x.iter().zip(&mut sums) {
                *sum += *x - *x;
            }
        }
        let mut total = T::ZERO;
        for sum in sums {
            total += sum;
        }
        total == T::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pointwise, Target};
    use super::*;

    const INF: f64 = f64::INFINITY;

    /// The outcome at the points -1, 0, 1 of an energy and a gradient that are `energy` and `gradient` at 1, and 2
    /// and 3 elsewhere.
    fn outcome(energy: f64, gradient: f64) -> Result<([f64; 3], [f64; 3]), String> {
        let target = Pointwise::new(1, move |x: &[f64], g: &mut [f64]| {
            g[0] = if x[0] == 1.0 { gradient } else { 3.0 };
            if x[0] == 1.0 { energy } else { 2.0 }
        });
        let (x, mut log_p, mut score) = ([-1.0, 0.0, 1.0], [0.0; 3], [0.0; 3]);
        let whole = target.evaluate(&x, &mut log_p, &mut score).map(|()| (log_p, score));
        let part =
            target.evaluate_block(3, &x, &mut log_p, &mut score, &mut Vec::new()).map(|()| (log_p, score));
        assert_eq!(whole, part);
        whole.map_err(|e| e.to_string())
    }

    #[test]
    fn every_value_has_the_stated_meaning() {
        assert_eq!(outcome(5.0, -1e30), Ok(([-2.0, -2.0, -5.0], [-3.0, -3.0, 1e30])));
        for unseen in [0.0, INF, f64::NAN] {
            assert_eq!(outcome(INF, unseen), Ok(([-2.0, -2.0, -INF], [-3.0, -3.0, 0.0])));
        }
        for (energy, said) in [(f64::NAN, "NaN"), (-INF, "-inf")] {
            for gradient in [1.0, f64::NAN] {
                assert_eq!(
                    outcome(energy, gradient),
                    Err(format!(
                        "the energy is {said} at point 2 of 3, x = (1.0): it must be a number, or +inf outside the support"
                    ))
                );
            }
        }
        for (gradient, said) in [(f64::NAN, "NaN"), (-INF, "-inf"), (INF, "inf")] {
            assert_eq!(
                outcome(0.25, gradient),
                Err(format!(
                    "the gradient of the energy is {said} in coordinate 0 at point 2 of 3, x = (1.0), where the energy is 0.25: it must be finite wherever the energy is"
                ))
            );
        }
    }

    #[test]
    fn what_cannot_be_computed_far_out_lies_outside_the_support() {
        // E = x^4 - x^2 is inf - inf where the squares overflow.
        let well = Pointwise::new(1, |x: &[f32], g: &mut [f32]| {
            let square = x[0] * x[0];
            g[0] = 4.0 * square * x[0] - 2.0 * x[0];
            square * square - square
        });
        let x = [1.0, 1e25, f32::NAN, f32::INFINITY];
        let (mut log_p, mut score) = ([0.0; 4], [0.0; 4]);
        well.evaluate(&x, &mut log_p, &mut score).unwrap();
        let outside = f32::NEG_INFINITY;
        assert_eq!((log_p, score), ([0.0, outside, outside, outside], [-2.0, 0.0, 0.0, 0.0]));
        // A wall that is steeper than the type can say.
        let wall = Pointwise::new(1, |x: &[f32], g: &mut [f32]| {
            g[0] = f32::INFINITY;
            x[0]
        });
        assert!(wall.evaluate(&[1e19], &mut [0.0], &mut [0.0]).is_err());
        wall.evaluate(&[2e19], &mut [0.0], &mut [0.0]).unwrap();
    }

    #[test]
    fn an_error_shows_the_point_and_energies_alone_need_no_gradient() {
        let broken = Pointwise::new(6, |_: &[f32], g: &mut [f32]| {
            g[..5].fill(0.0);
            g[5] = f32::NAN;
            1.5
        });
        let x: Vec<f32> = (0..12).map(|k| 0.25 * k as f32).collect();
        broken.evaluate(&x, &mut [0.0; 2], &mut []).unwrap();
        let error = broken.evaluate(&x, &mut [0.0; 2], &mut [0.0; 12]).unwrap_err().to_string();
        let want =
            "in coordinate 5 at point 0 of 2, x = (0.0, 0.25, 0.5, 0.75, ...), where the energy is 1.5";
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn all_lengths_are_looked_at() {
        for n in 0..70 {
            let mut x = vec![1e38_f32; n];
            assert!(all_finite(&x));
            for k in 0..n {
                x[k] = if k % 2 == 0 { f32::NAN } else { f32::NEG_INFINITY };
                assert!(!all_finite(&x), "{n} {k}");
                x[k] = 0.0;
            }
        }
    }
}
