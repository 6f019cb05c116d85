//! What must hold of the metrics for any clouds and any weights.

use engine::rng::Stream;
use models::importance::{log_mean_exp, log_sum_exp, log_z, normalised_ess, pareto_k_hat, pareto_smooth};
use models::metrics::{
    Modes, assigned_cost, assignment, disjoint_sets, mode_report, select, squared_distances, tv_1d, tv_2d,
    w2, w2_1d,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases::cases;

/// Two clouds of equal size in one to four dimensions; half of them on a coarse grid, where points
/// coincide and costs tie.
fn clouds(count: usize) -> impl Strategy<Value = (Vec<Vec<f64>>, usize)> {
    (1..=4usize, 1..=40usize, any::<bool>()).prop_flat_map(move |(d, n, coarse)| {
        let coordinate = if coarse { (-3..=3i8).prop_map(f64::from).boxed() } else { (-10.0..10.0).boxed() };
        (vec(vec(coordinate, n * d), count), Just(d))
    })
}

/// Log-weights of a cloud of samples, some of them -inf.
fn log_weights() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![9 => -20.0..5.0, 1 => Just(f64::NEG_INFINITY)], 1..400)
}

fn permuted(x: &[f64], d: usize, seed: u64) -> Vec<f64> {
    let n = x.len() / d;
    let order = disjoint_sets(n, 1, n, &mut Stream::new(seed, "permute", 0, 0)).unwrap();
    select(x, d, &order[0])
}

/// The least cost over all permutations, by trying each: row i takes every column not yet `used`.
fn brute_force(cost: &[f64], n: usize, i: usize, used: u32) -> f64 {
    if i == n {
        return 0.0;
    }
    let open = (0..n).filter(|j| used >> j & 1 == 0);
    open.map(|j| cost[i * n + j] + brute_force(cost, n, i + 1, used | 1 << j)).fold(f64::INFINITY, f64::min)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn transport_is_a_distance((c, d) in clouds(3)) {
        let w = |a: usize, b: usize| w2(&c[a], &c[b], d).unwrap();
        prop_assert!(close(w(0, 1), w(1, 0), 1e-12));
        prop_assert_eq!(w(0, 0), 0.0);
        prop_assert!(w(0, 2) <= w(0, 1) + w(1, 2) + 1e-9);
    }

    #[test]
    fn transport_is_zero_only_between_equal_sets((c, d) in clouds(2), seed: u64) {
        prop_assert_eq!(w2(&c[0], &permuted(&c[0], d, seed), d).unwrap(), 0.0);
        let sorted = |x: &[f64]| {
            let mut points: Vec<Vec<f64>> = x.chunks(d).map(<[f64]>::to_vec).collect();
            points.sort_by(|a, b| a.partial_cmp(b).unwrap());
            points
        };
        prop_assert_eq!(w2(&c[0], &c[1], d).unwrap() == 0.0, sorted(&c[0]) == sorted(&c[1]));
    }

    #[test]
    fn transport_does_not_see_the_order_of_points((c, d) in clouds(2), seed: u64) {
        let shuffled = w2(&permuted(&c[0], d, seed), &permuted(&c[1], d, seed ^ 1), d).unwrap();
        prop_assert!(close(w2(&c[0], &c[1], d).unwrap(), shuffled, 1e-12));
    }

    #[test]
    fn transport_costs_no_more_than_any_permutation((c, d) in clouds(2), seed: u64) {
        let n = c[0].len() / d;
        let cost = squared_distances(&c[0], &c[1], d).unwrap();
        let best = assigned_cost(&cost, &assignment(&cost, n).unwrap());
        prop_assert!(close(w2(&c[0], &c[1], d).unwrap(), (best / n as f64).sqrt(), 1e-12));
        let mut stream = Stream::new(seed, "rivals", 0, 0);
        for _ in 0..20 {
            let rival = disjoint_sets(n, 1, n, &mut stream).unwrap();
            prop_assert!(best <= assigned_cost(&cost, &rival[0]) * (1.0 + 1e-12));
        }
    }

    #[test]
    fn shifting_one_cloud_adds_the_shift_and_the_means((c, d) in clouds(2), shift in vec(-5.0..5.0, 4)) {
        // W2^2(x, y + s) = W2^2(x, y) + |s|^2 + 2 s . (mean y - mean x).
        let n = c[0].len() / d;
        let moved: Vec<f64> = c[1].iter().enumerate().map(|(i, v)| v + shift[i % d]).collect();
        let cross: f64 = (0..n * d).map(|i| shift[i % d] * (c[1][i] - c[0][i])).sum::<f64>() / n as f64;
        let length: f64 = shift[..d].iter().map(|s| s * s).sum();
        let expected = w2(&c[0], &c[1], d).unwrap().powi(2) + length + 2.0 * cross;
        prop_assert!(close(w2(&c[0], &moved, d).unwrap().powi(2), expected, 1e-10));
        let itself: Vec<f64> = c[0].iter().enumerate().map(|(i, v)| v + shift[i % d]).collect();
        prop_assert!(close(w2(&c[0], &itself, d).unwrap(), length.sqrt(), 1e-10));
    }

    #[test]
    fn assignments_agree_with_lapjv_and_brute_force(
        (cost, n) in (1..=40usize, any::<bool>()).prop_flat_map(|(n, coarse)| {
            let entry = if coarse { (-2..=2i8).prop_map(f64::from).boxed() } else { (-1e3..1e3).boxed() };
            (vec(entry, n * n), Just(n))
        }),
    ) {
        let ours = assigned_cost(&cost, &assignment(&cost, n).unwrap());
        let matrix = lapjv::Matrix::from_shape_vec((n, n), cost.clone()).unwrap();
        let theirs = lapjv::cost(&matrix, &lapjv::lapjv(&matrix).unwrap().0);
        prop_assert!(close(ours, theirs, 1e-11), "{} against lapjv's {}", ours, theirs);
        if n <= 7 {
            prop_assert!(close(ours, brute_force(&cost, n, 0, 0), 1e-12));
        }
    }

    #[test]
    fn assignments_of_small_matrices_are_the_best_of_all(
        (cost, n) in (1..=7usize).prop_flat_map(|n| (vec(0..5u8, n * n), Just(n))),
    ) {
        let cost: Vec<f64> = cost.into_iter().map(f64::from).collect();
        let ours = assignment(&cost, n).unwrap();
        prop_assert_eq!(assigned_cost(&cost, &ours), brute_force(&cost, n, 0, 0));
    }

    #[test]
    fn on_the_line_sorting_is_transport(x in vec(-9.0..9.0, 30), y in vec(-9.0..9.0, 30)) {
        prop_assert!(close(w2_1d(&x, &y).unwrap(), w2(&x, &y, 1).unwrap(), 1e-12));
    }

    #[test]
    fn unequal_sizes_on_the_line_are_transport_of_copies(
        x in vec(-9.0..9.0, 1..8), y in vec(-9.0..9.0, 1..8),
    ) {
        let copies = |x: &[f64], times| [x].repeat(times).concat();
        let equal = w2(&copies(&x, y.len()), &copies(&y, x.len()), 1).unwrap();
        prop_assert!(close(w2_1d(&x, &y).unwrap(), equal, 1e-12));
        prop_assert_eq!(w2_1d(&x, &y), w2_1d(&y, &x));
    }

    #[test]
    fn total_variation_is_a_distance_below_one(
        c in vec(vec(-6.0..6.0, 2..80), 3), bins in 1..12usize,
    ) {
        let plane = |x: &[f64]| x[..x.len() / 2 * 2].to_vec();
        let distances: [&dyn Fn(usize, usize) -> f64; 2] = [
            &|a, b| tv_1d(&c[a], &c[b], -5.0, 5.0, bins).unwrap(),
            &|a, b| tv_2d(&plane(&c[a]), &plane(&c[b]), -5.0, 5.0, bins).unwrap(),
        ];
        for tv in distances {
            prop_assert!((0.0..=1.0).contains(&tv(0, 1)));
            prop_assert_eq!(tv(0, 1), tv(1, 0));
            prop_assert_eq!(tv(0, 0), 0.0);
            prop_assert!(tv(0, 2) <= tv(0, 1) + tv(1, 2) + 1e-15);
        }
    }

    #[test]
    fn mode_frequencies_are_a_probability_and_their_divergences_positive(
        x in vec(-20.0..20.0, 2..60), means in vec(-10.0..10.0, 6),
        scales in vec(0.5..3.0, 3), weights in vec(0.01..1.0, 3),
    ) {
        let modes = Modes { d: 2, means: &means, scales: &scales, weights: &weights };
        let report = mode_report(&x[..x.len() / 2 * 2], &modes, 3.0).unwrap();
        prop_assert!(close(report.frequencies.iter().sum(), 1.0, 1e-12));
        prop_assert!(report.frequencies.iter().all(|f| *f >= 0.0));
        prop_assert!(report.kl >= 0.0 && report.chi2 >= 0.0);
        // KL <= log(1 + chi2 / n): Gibbs and Su (2002), theorem 5.
        let n = (x.len() / 2) as f64;
        prop_assert!(report.kl <= (report.chi2 / n).ln_1p() + 1e-12);
        prop_assert!((0.0..=1.0).contains(&report.in_mode) && report.found <= 3);
        prop_assert_eq!(report.in_mode > 0.0, report.found > 0);
    }

    #[test]
    fn effective_sample_sizes_lie_between_one_and_all(log_w in log_weights()) {
        let ess = normalised_ess(&log_w);
        if log_w.iter().any(|l| *l > f64::NEG_INFINITY) {
            let n = log_w.len() as f64;
            prop_assert!(ess >= (1.0 - 1e-12) / n && ess <= 1.0 + 1e-12, "{}", ess);
            // n se^2 = (1 / ESS - 1) n / (n - 1).
            let (_, error) = log_z(&log_w);
            prop_assert!(n < 2.0 || close((n - 1.0) * error * error, 1.0 / ess - 1.0, 1e-9));
        } else {
            prop_assert!(ess.is_nan());
        }
    }

    #[test]
    fn a_factor_common_to_all_weights_moves_only_log_z(log_w in log_weights(), shift in -300.0..300.0) {
        let moved: Vec<f64> = log_w.iter().map(|l| l + shift).collect();
        prop_assume!(log_w.iter().any(|l| *l > f64::NEG_INFINITY));
        prop_assert!(close(log_sum_exp(&moved), log_sum_exp(&log_w) + shift, 1e-13));
        prop_assert!(close(log_mean_exp(&moved), log_mean_exp(&log_w) + shift, 1e-13));
        prop_assert!(close(normalised_ess(&moved), normalised_ess(&log_w), 1e-11));
        let ((a, error_a), (b, error_b)) = (log_z(&moved), log_z(&log_w));
        prop_assert!(close(a, b + shift, 1e-13));
        prop_assert!(close(error_a, error_b, 1e-10) || log_w.len() < 2);
    }

    #[test]
    fn a_factor_common_to_all_weights_leaves_the_shape_of_their_tail(
        log_w in vec(-20.0..5.0, 25..400), shift in -300.0..300.0,
    ) {
        let moved: Vec<f64> = log_w.iter().map(|l: &f64| *l + shift).collect();
        let ((smooth, k), (smooth_moved, k_moved)) = (pareto_smooth(&log_w), pareto_smooth(&moved));
        prop_assert_eq!(k, pareto_k_hat(&log_w));
        prop_assert!(close(k, k_moved, 1e-6), "{} and {}", k, k_moved);
        for (a, b) in smooth.iter().zip(&smooth_moved) {
            prop_assert!(close(a + shift, *b, 1e-6), "{} and {}", a + shift, b);
        }
    }

    #[test]
    fn smoothing_keeps_the_largest_weight_the_largest(log_w in log_weights()) {
        let (smooth, _) = pareto_smooth(&log_w);
        let top = log_w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(smooth.iter().all(|l| *l <= top + 1e-12));
        prop_assert!(smooth.iter().zip(&log_w).all(|(s, l)| s.is_finite() == l.is_finite()));
    }
}
