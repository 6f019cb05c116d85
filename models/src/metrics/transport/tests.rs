use engine::rng::Stream;

use super::*;

fn normals(seed: u64, n: usize) -> Vec<f64> {
    let mut x = vec![0.0; n];
    Stream::new(seed, "transport", 0, 0).fill_normal(&mut x);
    x
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let insert = |p: &Vec<usize>, at: usize| [&p[..at], &[n - 1], &p[at..]].concat();
    permutations(n - 1).iter().flat_map(|p| (0..n).map(move |at| insert(p, at))).collect()
}

fn brute_force(cost: &[f64], n: usize) -> f64 {
    permutations(n).iter().map(|p| assigned_cost(cost, p)).fold(f64::INFINITY, f64::min)
}

fn is_permutation(p: &[usize]) -> bool {
    let mut sorted = p.to_vec();
    sorted.sort_unstable();
    sorted.iter().enumerate().all(|(i, j)| i == *j)
}

/// Checks an assignment against the crate `lapjv`; returns it.
fn agrees_with_lapjv(cost: &[f64], n: usize) -> Vec<usize> {
    let ours = assignment(cost, n).unwrap();
    assert!(is_permutation(&ours));
    let matrix = lapjv::Matrix::from_shape_vec((n, n), cost.to_vec()).unwrap();
    let theirs = lapjv::cost(&matrix, &lapjv::lapjv(&matrix).unwrap().0);
    let cost = assigned_cost(cost, &ours);
    assert!((cost - theirs).abs() <= 1e-10 * theirs.abs().max(1.0), "{cost} against {theirs}");
    ours
}

#[test]
fn a_small_assignment_worked_out_by_hand() {
    // Greedy takes 1 (row 0, column 0) and is left with 7 + 3; the best is 2 + 4 + 3.
    let cost = [1.0, 2.0, 8.0, 4.0, 7.0, 9.0, 6.0, 5.0, 3.0];
    assert_eq!(assignment(&cost, 3), Ok(vec![1, 0, 2]));
    let negative = cost.map(|c| c - 10.0);
    assert_eq!(assignment(&negative, 3), Ok(vec![1, 0, 2]));
}

#[test]
fn a_distance_worked_out_by_hand() {
    // (0,0)-(0,1) costs 1, (3,0)-(5,0) costs 4: W2 = sqrt(5/2).
    let w = w2(&[0.0, 0.0, 3.0, 0.0], &[5.0, 0.0, 0.0, 1.0], 2).unwrap();
    assert_eq!(w, 2.5f64.sqrt());
}

#[test]
fn agrees_with_all_permutations() {
    for n in 1..=7 {
        for seed in 0..40 {
            let cost = normals(seed, n * n);
            let best = brute_force(&cost, n);
            let ours = assigned_cost(&cost, &assignment(&cost, n).unwrap());
            assert!((ours - best).abs() < 1e-12, "n {n} seed {seed}: {ours} against {best}");
        }
    }
}

#[test]
fn agrees_with_all_permutations_under_ties() {
    for n in 2..=7 {
        for seed in 0..60 {
            let mut stream = Stream::new(seed, "ties", n as u64, 0);
            let cost: Vec<f64> = (0..n * n).map(|_| stream.index(3) as f64).collect();
            let ours = assigned_cost(&cost, &assignment(&cost, n).unwrap());
            assert_eq!(ours, brute_force(&cost, n));
        }
    }
}

#[test]
fn agrees_with_lapjv_on_clouds() {
    for (n, d) in [(2, 1), (10, 2), (100, 1), (200, 2), (300, 39)] {
        let (x, y) = (normals(1, n * d), normals(2, n * d));
        agrees_with_lapjv(&squared_distances(&x, &y, d).unwrap(), n);
    }
}

#[test]
fn agrees_with_lapjv_on_clouds_of_duplicates() {
    for kinds in [1, 2, 5, 30] {
        let mut stream = Stream::new(kinds as u64, "duplicates", 0, 0);
        let mut cloud = || (0..400).map(|_| stream.index(kinds) as f64 * 0.1).collect::<Vec<_>>();
        let (x, y) = (cloud(), cloud());
        agrees_with_lapjv(&squared_distances(&x, &y, 2).unwrap(), 200);
    }
}

#[test]
fn costs_of_very_different_sizes_are_solved() {
    let cost: Vec<f64> = normals(5, 150 * 150).iter().map(|z| (8.0 * z).exp()).collect();
    agrees_with_lapjv(&cost, 150);
}

#[test]
fn collapsed_modes_are_solved() {
    // All of one cloud sits in one of 40 modes of the other: the hardest case met in training.
    let n = 300;
    let x: Vec<f64> = normals(3, 2 * n).iter().map(|z| 0.01 * z).collect();
    let mut y = normals(4, 2 * n);
    y.iter_mut().enumerate().for_each(|(i, v)| *v += ((i / 2 % 40) * (i % 2 * 13 + 7) % 80) as f64);
    agrees_with_lapjv(&squared_distances(&x, &y, 2).unwrap(), n);
}

#[test]
fn centring_and_scaling_keep_the_best_permutation() {
    let n = 120;
    for (shift, scale) in [(0.0, 1.0), (1e4, 1.0), (-30.0, 1e-3), (5.0, 0.0)] {
        let x: Vec<f64> = normals(13, 3 * n).iter().map(|z| shift + scale * z).collect();
        let y: Vec<f64> = normals(14, 3 * n).iter().map(|z| z * z * z).collect();
        let pairs = agrees_with_lapjv(&squared_distances(&x, &y, 3).unwrap(), n);
        let direct = assigned_cost(&squared_distances(&x, &y, 3).unwrap(), &pairs) / n as f64;
        let w = w2(&x, &y, 3).unwrap();
        assert!((w - direct.sqrt()).abs() <= 1e-12 * w, "shift {shift} scale {scale}: {w}");
    }
}

#[test]
fn a_cloud_is_at_distance_zero_from_its_shuffle() {
    let x = normals(7, 300);
    let shuffled: Vec<f64> = x.rchunks_exact(3).flatten().copied().collect();
    assert_eq!(w2(&x, &shuffled, 3), Ok(0.0));
}

#[test]
fn a_shift_moves_a_cloud_by_its_length() {
    let x = normals(8, 400);
    let y: Vec<f64> = x.iter().enumerate().map(|(i, v)| v + [3.0, -4.0][i % 2]).collect();
    assert!((w2(&x, &y, 2).unwrap() - 5.0).abs() < 1e-12);
}

#[test]
fn in_one_dimension_sorted_points_are_paired() {
    let (mut x, mut y) = (normals(9, 500), normals(10, 500));
    let w = w2(&x, &y, 1).unwrap();
    x.sort_by(f64::total_cmp);
    y.sort_by(f64::total_cmp);
    let sorted: f64 = x.iter().zip(&y).map(|(a, b)| (a - b) * (a - b)).sum();
    assert!((w - (sorted / 500.0).sqrt()).abs() < 1e-13);
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let (x, y) = (normals(11, 1000), normals(12, 1000));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| w2(&x, &y, 2).unwrap().to_bits())
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn the_smallest_inputs() {
    assert_eq!(assignment(&[], 0), Ok(vec![]));
    assert_eq!(assignment(&[-2.0], 1), Ok(vec![0]));
    assert_eq!(w2(&[1.0, 1.0], &[4.0, 5.0], 2), Ok(5.0));
    assert_eq!(w2(&[], &[], 2), Err(MetricError::Empty));
}

#[test]
fn malformed_inputs_are_errors() {
    assert_eq!(w2(&[0.0; 3], &[0.0; 4], 2), Err(MetricError::Ragged { length: 3, d: 2 }));
    assert_eq!(w2(&[0.0; 2], &[0.0; 2], 0), Err(MetricError::Ragged { length: 2, d: 0 }));
    assert_eq!(w2(&[0.0; 4], &[0.0; 6], 2), Err(MetricError::Sizes { left: 2, right: 3 }));
    assert_eq!(w2(&[0.0, f64::NAN], &[0.0; 2], 1), Err(MetricError::NotFinite(1)));
    assert_eq!(w2(&[1e200], &[-1e200], 1), Err(OVERFLOW));
    assert!(w2(&[f64::MAX; 4], &[-f64::MAX; 4], 2).is_err());
    assert!(w2(&[1e200, 0.0], &[0.0, 1e-200], 1).is_err());
    assert_eq!(assignment(&[1.0; 5], 2), Err(MetricError::Sizes { left: 5, right: 4 }));
    assert_eq!(assignment(&[f64::INFINITY; 4], 2), Err(MetricError::NotFinite(0)));
    assert_eq!(assignment(&[1e300; 4], 2), Err(OVERFLOW));
}
