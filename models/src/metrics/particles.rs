//! Distances between sets of particle states, up to the symmetries of the states.

use engine::parallel;
use faer::Mat;

use super::{MetricError, assigned_cost, assignment, count, tv_1d};
use crate::target::ParticleSystem;

/// Distances above this are counted in one further bin of D-TV.
const LARGEST_DISTANCE: f64 = 7.0;
/// Bins of D-TV.
const BINS: usize = 200;

/// eq-W2 of two sets of equally many states: exact optimal transport with the cost
///
/// c(x, y) = min over rotations R of sum_i |R x_i - y_p(i)|^2,  p = argmin_p sum_i |x_i - y_p(i)|^2
///
/// of centred states; the square root of the mean cost under the optimal plan. *First* the best
/// permutation (exact assignment), *then* the best rotation without reflection (Kabsch, Acta
/// Crystallographica A32, 1976), as in Klein, Kraemer and Noe (2023, "Equivariant flow matching"). This is
/// an upper bound of the joint minimum. It is 0 for a permuted copy, and for a rotated copy if the
/// rotation does not change the best permutation.
///
/// # Errors
/// If the system has fewer than 2 particles or not 1 to 3 dimensions, an input is empty, not finite or not
/// a whole number of states, or the numbers of states differ.
pub fn equivariant_w2(x: &[f64], y: &[f64], system: ParticleSystem) -> Result<f64, MetricError> {
    let (n, m) = (states(x, system)?, states(y, system)?);
    if n != m {
        return Err(MetricError::Sizes { left: n, right: m });
    }
    let (mut x, mut y) = (x.to_vec(), y.to_vec());
    system.center(&mut x);
    system.center(&mut y);
    let d = system.dim();
    let rows = parallel::map(n, |i| {
        let x = &x[i * d..(i + 1) * d];
        y.chunks_exact(d).map(|y| cost(x, y, system)).collect::<Result<Vec<_>, _>>()
    });
    let costs = rows.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    Ok((assigned_cost(&costs, &assignment(&costs, n)?) / n as f64).max(0.0).sqrt())
}

/// The distances |x_i - x_j| of all pairs of particles, state by state.
///
/// # Errors
/// As [`equivariant_w2`], for one set.
pub fn pair_distances(x: &[f64], system: ParticleSystem) -> Result<Vec<f64>, MetricError> {
    states(x, system)?;
    let space = system.space;
    let mut distances = Vec::with_capacity(x.len() / space * system.particles / 2);
    for state in x.chunks_exact(system.dim()) {
        for i in 0..system.particles {
            for j in 0..i {
                let (a, b) = (&state[i * space..(i + 1) * space], &state[j * space..(j + 1) * space]);
                distances.push(a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt());
            }
        }
    }
    Ok(distances)
}

/// D-TV: total variation ([`tv_1d`]) between the histograms of all pair distances of two sets of states,
/// 200 bins on [0, 7] and one above. Invariant under rotations, reflections and permutations.
///
/// # Errors
/// As [`equivariant_w2`], but the numbers of states may differ.
pub fn distance_tv(x: &[f64], y: &[f64], system: ParticleSystem) -> Result<f64, MetricError> {
    tv_1d(&pair_distances(x, system)?, &pair_distances(y, system)?, 0.0, LARGEST_DISTANCE, BINS)
}

/// The number of states in `x`.
fn states(x: &[f64], system: ParticleSystem) -> Result<usize, MetricError> {
    if system.particles < 2 || !(1..=3).contains(&system.space) {
        return Err(MetricError::Parameter("a particle system has 2 particles or more in 1 to 3 dimensions"));
    }
    count(x, system.dim())
}

/// c(x, y) of centred states.
fn cost(x: &[f64], y: &[f64], system: ParticleSystem) -> Result<f64, MetricError> {
    let (n, space) = (system.particles, system.space);
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let between: Vec<f64> =
        x.chunks_exact(space).flat_map(|a| y.chunks_exact(space).map(move |b| square(a, b))).collect();
    let partners = assignment(&between, n)?;
    let pairs = || x.chunks_exact(space).zip(&partners).map(|(a, &j)| (a, &y[j * space..(j + 1) * space]));
    // h[k][l] = sum_i x_ik y_il.
    let mut h = [[0.0; 3]; 3];
    for (a, b) in pairs() {
        for k in 0..space {
            for l in 0..space {
                h[k][l] += a[k] * b[l];
            }
        }
    }
    let turn = match space {
        2 => planar_rotation(&h),
        3 => spatial_rotation(&h),
        _ => IDENTITY,
    };
    // The residual itself: |x|^2 + |y|^2 - 2 tr would cancel near 0.
    let residual = |(a, b): (&[f64], &[f64])| {
        (0..space).map(|l| ((0..space).map(|k| turn[l][k] * a[k]).sum::<f64>() - b[l]).powi(2)).sum::<f64>()
    };
    Ok(pairs().map(residual).sum())
}

const IDENTITY: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// The best rotation in the plane: its angle is that of the vector (sum x . y, sum x cross y).
fn planar_rotation(h: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let (along, across) = (h[0][0] + h[1][1], h[0][1] - h[1][0]);
    let norm = along.hypot(across);
    if !(norm > 0.0 && norm.is_finite()) {
        return IDENTITY; // all angles are equally good
    }
    let (cos, sin) = (along / norm, across / norm);
    [[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]
}

/// The best rotation in space: H = U S V^T, R = V diag(1, 1, det V U^T) U^T (Kabsch).
fn spatial_rotation(h: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let h = Mat::from_fn(3, 3, |i, j| h[i][j]);
    // If the SVD does not converge, no rotation: still an upper bound.
    let Ok(svd) = h.svd() else { return IDENTITY };
    let (u, v) = (svd.U(), svd.V());
    let rotation = |sign: f64| {
        let entry =
            |i: usize, j: usize| v[(i, 0)] * u[(j, 0)] + v[(i, 1)] * u[(j, 1)] + sign * v[(i, 2)] * u[(j, 2)];
        std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
    };
    let proper: [[f64; 3]; 3] = rotation(1.0);
    if determinant(&proper) > 0.0 { proper } else { rotation(-1.0) }
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
    m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;
    use crate::metrics::disjoint_sets;

    const PLANE: ParticleSystem = ParticleSystem { particles: 4, space: 2 };
    const CLUSTER: ParticleSystem = ParticleSystem { particles: 13, space: 3 };

    /// States of particles on a jittered grid: turns by less than `ANGLE` do not confuse their numbers.
    fn spread(system: ParticleSystem, count: usize, seed: u64) -> Vec<f64> {
        let stream = &mut Stream::new(seed, "aligned", 0, 0);
        let site = |a: usize| (a / system.space) / 3usize.pow((a % system.space) as u32) % 3;
        let sites = (0..count * system.dim()).map(|at| 4.0 * site(at % system.dim()) as f64);
        sites.map(|s| s + 0.5 * stream.uniform()).collect()
    }
    const ANGLE: f64 = 0.15;

    /// Each state turned about axis 2, shifted and renumbered, another way for each.
    fn moved(x: &[f64], system: ParticleSystem, seed: u64) -> Vec<f64> {
        let stream = &mut Stream::new(seed, "moved", 0, 0);
        let mut out = Vec::new();
        for state in x.chunks_exact(system.dim()) {
            let (sin, cos) = (ANGLE * (2.0 * stream.uniform() - 1.0)).sin_cos();
            for i in &disjoint_sets(system.particles, 1, system.particles, stream).unwrap()[0] {
                let p = &state[i * system.space..(i + 1) * system.space];
                out.extend([cos * p[0] - sin * p[1] + 3.0, sin * p[0] + cos * p[1]]);
                out.extend(&p[2..]);
            }
        }
        out
    }

    /// The cost c(x, y) of one pair of states: the square of W2 between them.
    fn aligned_square(x: &[f64], y: &[f64], system: ParticleSystem) -> f64 {
        equivariant_w2(x, y, system).unwrap().powi(2)
    }

    #[test]
    fn a_pair_worked_out_by_hand() {
        // Two particles 2 apart against two 5 apart: 2 (2.5 - 1)^2 however they are turned.
        let pair = ParticleSystem { particles: 2, space: 2 };
        let at = |angle: f64| [1.0, 1.0, 1.0 + 5.0 * angle.cos(), 1.0 + 5.0 * angle.sin()];
        for angle in [0.0, 0.3, 1.0, 3.0, 5.0] {
            let c = aligned_square(&[-1.0, 0.0, 1.0, 0.0], &at(angle), pair);
            assert!((c - 4.5).abs() < 1e-13, "{angle}: {c}");
        }
        let spatial = ParticleSystem { particles: 2, space: 3 };
        let c = aligned_square(&[-1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 0.0, 3.0, 4.0], spatial);
        assert!((c - 4.5).abs() < 1e-13);
        let line = ParticleSystem { particles: 2, space: 1 };
        assert!((aligned_square(&[0.0, 2.0], &[5.0, 0.0], line) - 4.5).abs() < 1e-13);
    }

    #[test]
    fn turned_shifted_and_renumbered_copies_coincide() {
        for system in [PLANE, CLUSTER] {
            let x = spread(system, 30, 1);
            let y = moved(&x, system, 2);
            let w = equivariant_w2(&x, &y, system).unwrap();
            assert!(w < 1e-12, "{w}");
            assert!(distance_tv(&x, &y, system).unwrap() < 1e-3);
        }
    }

    #[test]
    fn a_mirror_image_does_not_coincide() {
        // A chiral cloud: no rotation takes it to its mirror image.
        let system = ParticleSystem { particles: 4, space: 3 };
        let x = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0];
        let mirrored: Vec<f64> =
            x.iter().enumerate().map(|(a, v)| if a % 3 == 2 { -v } else { *v }).collect();
        assert!(aligned_square(&x, &mirrored, system) > 0.1);
        // The best proper rotation still does not lose to none.
        let plain: f64 = x.iter().zip(&mirrored).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(aligned_square(&x, &mirrored, system) <= plain);
    }

    #[test]
    fn the_spatial_rotation_is_at_least_as_good_as_any_other() {
        let stream = &mut Stream::new(0, "rotations", 0, 0);
        for _ in 0..50 {
            let mut flat = [0.0; 9];
            stream.fill_normal(&mut flat);
            let h: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| flat[3 * i + j]));
            let gain = |r: &[[f64; 3]; 3]| (0..9).map(|a| r[a % 3][a / 3] * h[a / 3][a % 3]).sum::<f64>();
            let best = spatial_rotation(&h);
            assert!((determinant(&best) - 1.0).abs() < 1e-12);
            for _ in 0..200 {
                // A rotation from a random quaternion.
                let mut q = [0.0; 4];
                stream.fill_normal(&mut q);
                let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
                let [w, x, y, z] = q.map(|v| v / norm);
                let other = [
                    [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
                    [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
                    [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
                ];
                assert!(gain(&other) <= gain(&best) + 1e-12);
            }
        }
    }

    #[test]
    fn distances_and_their_total_variation_worked_out_by_hand() {
        let three = ParticleSystem { particles: 3, space: 2 };
        let x = [0.0, 0.0, 3.0, 4.0, 0.0, 1.0];
        assert_eq!(pair_distances(&x, three), Ok(vec![5.0, 1.0, 18f64.sqrt()]));
        // 5 stays; 1 and sqrt 18 become 11.3 and 13: beyond the histogram.
        let y = [0.0, 0.0, 3.0, 4.0, 8.0, -8.0];
        assert_eq!(distance_tv(&x, &y, three), Ok(2.0 / 3.0));
        assert_eq!(distance_tv(&x, &x, three), Ok(0.0));
    }

    #[test]
    fn malformed_states_are_errors() {
        assert_eq!(
            equivariant_w2(&[0.0; 8], &[0.0; 16], PLANE),
            Err(MetricError::Sizes { left: 1, right: 2 })
        );
        assert_eq!(equivariant_w2(&[0.0; 7], &[0.0; 7], PLANE), Err(MetricError::Ragged { length: 7, d: 8 }));
        assert_eq!(pair_distances(&[f64::NAN; 8], PLANE), Err(MetricError::NotFinite(0)));
        let wrong = ParticleSystem { particles: 2, space: 4 };
        assert!(matches!(distance_tv(&[0.0; 8], &[0.0; 8], wrong), Err(MetricError::Parameter(_))));
        // Coinciding particles: any rotation will do.
        assert_eq!(equivariant_w2(&[0.0; 8], &[0.0; 8], PLANE), Ok(0.0));
        assert_eq!(equivariant_w2(&[0.0; 39], &[1.0; 39], CLUSTER), Ok(0.0));
    }
}
