//! Mean and standard deviation of repeated measurements, and random sets of samples for them.

use engine::rng::Stream;

use super::MetricError;

/// The arithmetic mean; NaN for no numbers.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// The standard deviation with n - 1 in the denominator; NaN for fewer than two numbers.
pub fn sd(x: &[f64]) -> f64 {
    if x.len() < 2 {
        return f64::NAN;
    }
    let centre = mean(x);
    (x.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0)).sqrt()
}

/// How much wider an interval of 95 % is around a mean of `n` numbers whose deviation is taken from them than
/// around one whose deviation is known: the ratio of the 0.975-quantiles of Student's t with n - 1 degrees of freedom
/// and of the Gaussian. 1.21 for eight numbers; infinite for fewer than two.
pub fn student_factor(n: usize) -> f64 {
    let z: f64 = 1.959_964;
    let f = n.saturating_sub(1) as f64;
    let t = match n {
        0 | 1 => return f64::INFINITY,
        2 => 12.706_205,
        3 => 4.302_653,
        // Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
        _ => {
            z + (z.powi(3) + z) / (4.0 * f)
                + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * f.powi(2))
                + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * f.powi(3))
        }
    };
    t / z
}

/// `sets` disjoint sets of `size` distinct indices below `n`. Metrics of the sets are independent if the
/// samples are.
///
/// # Errors
/// If `size` is 0, or there are fewer than `sets * size` indices.
pub fn disjoint_sets(
    n: usize,
    sets: usize,
    size: usize,
    stream: &mut Stream,
) -> Result<Vec<Vec<usize>>, MetricError> {
    let needed = sets.saturating_mul(size);
    if size == 0 {
        return Err(MetricError::Empty);
    }
    let drawn = without_replacement(n, needed, stream)?;
    Ok(drawn.chunks_exact(size).map(<[usize]>::to_vec).collect())
}

/// `sets` sets of `size` different indices below `n`, each drawn afresh: sets share indices, so the
/// standard deviation over them is too small by about sqrt(1 - size / n).
pub fn resampled_sets(
    n: usize,
    sets: usize,
    size: usize,
    stream: &mut Stream,
) -> Result<Vec<Vec<usize>>, MetricError> {
    if size == 0 {
        return Err(MetricError::Empty);
    }
    (0..sets).map(|_| without_replacement(n, size, stream)).collect()
}

/// The points of a cloud in R^d that a set of indices names, in its order.
///
/// # Panics
/// If an index is beyond the cloud.
pub fn select(x: &[f64], d: usize, set: &[usize]) -> Vec<f64> {
    set.iter().flat_map(|&i| &x[i * d..(i + 1) * d]).copied().collect()
}

/// The first `needed` places of a shuffle (Fisher and Yates 1938) of the indices below `n`.
fn without_replacement(n: usize, needed: usize, stream: &mut Stream) -> Result<Vec<usize>, MetricError> {
    if needed > n {
        return Err(MetricError::TooFew { needed, found: n });
    }
    let mut indices: Vec<usize> = (0..n).collect();
    for i in 0..needed {
        indices.swap(i, i + stream.index(n - i));
    }
    indices.truncate(needed);
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream::new(1, "sets", 0, 0)
    }

    #[test]
    fn few_numbers_have_the_quantiles_of_a_table() {
        for (n, t) in [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (8, 2.365), (16, 2.131), (31, 2.042)]
        {
            assert!((student_factor(n) * 1.959_964 / t - 1.0).abs() < 0.01, "{n}: {}", student_factor(n));
        }
        assert!(student_factor(1).is_infinite() && student_factor(100_000) - 1.0 < 1e-4);
    }

    #[test]
    fn summaries_worked_out_by_hand() {
        let x = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&x), 5.0);
        assert!((sd(&x) - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(sd(&[1.0, 1.0]), 0.0);
    }

    #[test]
    fn summaries_of_too_little_are_nan() {
        assert!(mean(&[]).is_nan() && sd(&[]).is_nan() && sd(&[1.0]).is_nan());
    }

    #[test]
    fn disjoint_sets_share_no_index() {
        let sets = disjoint_sets(5500, 5, 1000, &mut stream()).unwrap();
        assert!(sets.len() == 5 && sets.iter().all(|s| s.len() == 1000));
        let mut all = sets.concat();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() == 5000 && all[4999] < 5500);
    }

    #[test]
    fn disjoint_sets_may_use_up_all_samples_but_no_more() {
        assert_eq!(disjoint_sets(6, 3, 2, &mut stream()).unwrap().concat().len(), 6);
        let too_few = |needed, found| Err(MetricError::TooFew { needed, found });
        assert_eq!(disjoint_sets(4999, 5, 1000, &mut stream()), too_few(5000, 4999));
        assert_eq!(disjoint_sets(9, usize::MAX, 3, &mut stream()), too_few(usize::MAX, 9));
        assert_eq!(disjoint_sets(9, 3, 0, &mut stream()), Err(MetricError::Empty));
    }

    #[test]
    fn resampled_sets_repeat_no_index_within_a_set() {
        for mut set in resampled_sets(12, 20, 10, &mut stream()).unwrap() {
            set.sort_unstable();
            set.dedup();
            assert!(set.len() == 10 && set[9] < 12);
        }
        assert_eq!(
            resampled_sets(9, 2, 10, &mut stream()),
            Err(MetricError::TooFew { needed: 10, found: 9 })
        );
    }

    #[test]
    fn every_index_is_as_likely_in_every_place() {
        let mut counts = [[0.0; 4]; 2];
        let mut stream = stream();
        for _ in 0..10_000 {
            let set = &disjoint_sets(4, 1, 2, &mut stream).unwrap()[0];
            (0..2).for_each(|place| counts[place][set[place]] += 1.0);
        }
        // Standard deviation sqrt(10000 * 3/16) = 43.
        assert!(counts.as_flattened().iter().all(|c: &f64| (c - 2500.0).abs() < 200.0), "{counts:?}");
    }

    #[test]
    fn selected_points_keep_their_coordinates_together() {
        assert_eq!(select(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0], 2, &[2, 0]), [20.0, 21.0, 0.0, 1.0]);
    }
}
