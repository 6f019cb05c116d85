//! Evaluations that several ranks share.

use engine::Real;
use engine::ranks::{Ranks, RanksError, Told, for_parts};

use super::{BLOCK, Target, TargetError};

/// [`Target::evaluate`] with the columns shared out over ranks, in blocks of [`BLOCK`]; all ranks have all results. An
/// error names the point by its place in the part of its rank.
///
/// # Errors
/// As [`Target::evaluate`], the same on all ranks; and failures of ranks.
///
/// # Panics
/// If the lengths do not fit.
pub fn evaluate_over<T: Real>(
    ranks: &dyn Ranks,
    target: &dyn Target<T>,
    x: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<(), TargetError> {
    let part = BLOCK * target.dim();
    for_parts(ranks, (log_p, BLOCK), (score, part), |first, log_p, score| {
        let x = &x[first * part..first * part + log_p.len() * target.dim()];
        target.evaluate(x, log_p, score)
    })
}

/// The kinds of errors, as they are told to other ranks.
const KINDS: [fn(String) -> TargetError; 6] = [
    TargetError::Unknown,
    TargetError::Parameter,
    TargetError::Evaluation,
    TargetError::Broken,
    TargetError::Gradient,
    TargetError::Outside,
];

impl Told for TargetError {
    fn tell(&self) -> String {
        let (kind, text) = match self {
            Self::Unknown(text) => (0, text.clone()),
            Self::Parameter(text) => (1, text.clone()),
            Self::Evaluation(text) => (2, text.clone()),
            Self::Broken(text) => (3, text.clone()),
            Self::Gradient(text) => (4, text.clone()),
            Self::Outside(text) => (5, text.clone()),
            Self::Ranks(error) => (6, error.to_string()),
        };
        format!("{kind}{text}")
    }

    fn heard(text: &str) -> Self {
        let kind = text.bytes().next().map_or(usize::MAX, |kind| usize::from(kind.wrapping_sub(b'0')));
        let rest = text.get(1..).unwrap_or_default().to_string();
        match KINDS.get(kind) {
            Some(of) => of(rest),
            None => Self::Ranks(RanksError::Engine(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::ranks::{Solo, Threads};

    use super::*;
    use crate::target::Pointwise;

    #[test]
    fn all_kinds_of_errors_are_heard_as_they_are_told() {
        let kinds = KINDS.iter().map(|of| of("at point 1".into()));
        for error in kinds.chain([TargetError::Ranks(RanksError::Engine("broken pipe".into()))]) {
            assert_eq!(TargetError::heard(&error.tell()), error);
        }
    }

    #[test]
    fn ranks_share_an_evaluation_and_its_errors() {
        let well = Pointwise::new(3, |x: &[f64], g: &mut [f64]| {
            g.iter_mut().zip(x).for_each(|(g, x)| *g = x.powi(3));
            if x[2] < 0.0 { f64::NAN } else { 0.25 * x.iter().map(|x| x.powi(4)).sum::<f64>() }
        });
        let n = 5 * BLOCK + 17;
        let mut x: Vec<f64> = (0..3 * n).map(|k| (k as f64).sin().abs()).collect();
        let evaluated = |ranks: &dyn Ranks, x: &[f64]| {
            let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; 3 * n]);
            evaluate_over(ranks, &well, x, &mut log_p, &mut score)?;
            evaluate_over(ranks, &well, x, &mut log_p, &mut []).map(|()| (log_p, score))
        };
        let want = evaluated(&Solo, &x);
        assert!(want.is_ok());
        for size in 2..=4 {
            assert!(Threads::run(size, 2, |ranks| evaluated(&*ranks, &x)).iter().all(|found| *found == want));
        }
        x[3 * 300 + 2] = -1.0;
        let found = Threads::run(3, 1, |ranks| evaluated(&*ranks, &x));
        assert!(matches!(&found[0], Err(TargetError::Broken(what)) if what.contains("the energy is NaN")));
        assert!(found.iter().all(|other| *other == found[0]));
    }
}
