//! How alike the states of nodes have become: Dirichlet energies, mean average distance, clusters; and
//! plateaus of a quantity over time.

use std::collections::VecDeque;

use engine::Real;

use super::clusters::{clusters, spread};
use crate::gnn::Dataset;

/// Measures of a state x (channels x nodes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothness {
    /// sum over edges of |x_i / sqrt(1 + d_i) - x_j / sqrt(1 + d_j)|^2.
    pub energy: f64,
    /// sum over edges of |x_i - x_j|^2.
    pub plain_energy: f64,
    /// Mean over nodes with neighbours of the mean over neighbours of 1 - cos(x_i, x_j) (Chen et al. 2020).
    pub mad: f64,
    /// The plain energy over the sum of squared distances of the states from their mean: how rough states are whatever
    /// their scale; NaN where all are equal.
    pub relative_energy: f64,
    /// Number of [`clusters`].
    pub clusters: usize,
}

/// Measures a state.
pub fn smoothness<T: Real>(data: &Dataset, x: &[T]) -> Smoothness {
    let n = data.nodes();
    let rows = x.len() / n.max(1);
    let column = |i: u32| &x[i as usize * rows..(i as usize + 1) * rows];
    let degrees = data.degrees();
    let scale: Vec<f64> = degrees.iter().map(|d| 1.0 / (1.0 + *d as f64).sqrt()).collect();
    let directions: Vec<Vec<f64>> = x.chunks(rows.max(1)).map(direction).collect();
    let (mut energy, mut plain) = (0.0, 0.0);
    let mut distance = vec![0.0; n];
    for (u, v) in &data.edges {
        let (a, b) = (column(*u), column(*v));
        let (s, t) = (scale[*u as usize], scale[*v as usize]);
        let (mut scaled, mut bare) = (0.0, 0.0);
        for (p, q) in a.iter().zip(b) {
            let (p, q) = (p.f64(), q.f64());
            scaled += (s * p - t * q).powi(2);
            bare += (p - q).powi(2);
        }
        // Each edge is stored twice.
        energy += 0.5 * scaled;
        plain += 0.5 * bare;
        distance[*u as usize] += turn(&directions[*u as usize], &directions[*v as usize]);
    }
    let with: Vec<usize> = (0..n).filter(|i| degrees[*i] > 0).collect();
    let mad = with.iter().map(|i| distance[*i] / degrees[*i] as f64).sum::<f64>() / with.len().max(1) as f64;
    let relative_energy = plain / spread(x, n);
    Smoothness { energy, plain_energy: plain, mad, relative_energy, clusters: clusters(data, x).1 }
}

/// c at unit length, nothing of a zero vector. First the largest entry is made 1: the squares of a state that
/// has shrunk below 1e-154 are no longer numbers of full precision.
fn direction<T: Real>(c: &[T]) -> Vec<f64> {
    let largest = c.iter().fold(0.0_f64, |m, v| m.max(v.f64().abs()));
    if largest < f64::MIN_POSITIVE {
        return Vec::new();
    }
    let length = c.iter().map(|v| (v.f64() / largest).powi(2)).sum::<f64>().sqrt();
    c.iter().map(|v| v.f64() / largest / length).collect()
}

/// 1 - cos of two directions, 0 where one is missing: half the square of their difference, which stays exact
/// where they nearly agree.
fn turn(a: &[f64], b: &[f64]) -> f64 {
    0.5 * a.iter().zip(b).map(|(p, q)| (p - q).powi(2)).sum::<f64>()
}

/// The longest stretch t1..t2, by t2 / t1, over which `values` (positive, at increasing positive times) stay
/// within a factor of `within` of each other.
pub fn plateau(series: &[(f64, f64)], within: f64) -> Option<(f64, f64)> {
    let value = |i: &usize| series[*i].1;
    // Places in the stretch of values that no later one is below, and above: the first is its least, its greatest.
    let (mut lows, mut highs) = (VecDeque::new(), VecDeque::new());
    let mut best: Option<(f64, f64)> = None;
    let mut first = 0;
    for (last, (t2, v)) in series.iter().enumerate() {
        while lows.back().is_some_and(|i| value(i) >= *v) {
            lows.pop_back();
        }
        while highs.back().is_some_and(|i| value(i) <= *v) {
            highs.pop_back();
        }
        // What is not a number bounds nothing.
        if !v.is_nan() {
            lows.push_back(last);
            highs.push_back(last);
        }
        let too_wide = |lows: &VecDeque<usize>, highs: &VecDeque<usize>| {
            highs.front().map_or(0.0, value).max(0.0) > within * lows.front().map_or(f64::INFINITY, value)
        };
        while first < last && too_wide(&lows, &highs) {
            for places in [&mut lows, &mut highs] {
                if places.front() == Some(&first) {
                    places.pop_front();
                }
            }
            first += 1;
        }
        let t1 = series[first].0;
        if last > first && t1 > 0.0 && best.is_none_or(|(a, b)| t2 / t1 > b / a) {
            best = Some((t1, *t2));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;
    use crate::gnn::data::synthetic::from_edges;

    #[test]
    fn a_path_by_hand() {
        let data = from_edges("path", 3, &[(0, 1), (1, 2)], vec![0; 3], 1);
        let s = smoothness(&data, &[1.0, 0.0, 1.0, 0.0, 0.0, 2.0]);
        let (a, b) = (0.5_f64.sqrt(), (1.0_f64 / 3.0).sqrt());
        let want = (a - b).powi(2) + b * b + 4.0 * a * a;
        assert!((s.energy - want).abs() < 1e-14, "{}", s.energy);
        assert_eq!(s.plain_energy, 5.0);
        // Squared distances from the mean (2/3, 2/3): 5/9, 5/9 and 20/9.
        assert!((s.relative_energy - 1.5).abs() < 1e-14);
        // Node 0: 0; node 1: (0 + 1) / 2; node 2: 1.
        assert!((s.mad - 0.5).abs() < 1e-15);
        assert_eq!(s.clusters, 2);
    }

    #[test]
    fn the_mean_average_distance_does_not_depend_on_the_scale() {
        let data = from_edges("path", 3, &[(0, 1), (1, 2)], vec![0; 3], 1);
        let x = [1.0, 0.3, 1.0, -0.2, 0.1, 2.0];
        let want = smoothness(&data, &x).mad;
        for scale in [1e-200, 1e-300, 1e200] {
            let got = smoothness(&data, &x.map(|v| v * scale)).mad;
            assert!((got - want).abs() < 1e-13 * want, "{scale}: {got}, not {want}");
        }
        assert_eq!(smoothness(&data, &[0.0; 6]).mad, 0.0);
    }

    #[test]
    fn a_plateau_is_found() {
        let series: Vec<(f64, f64)> = (1..=1000)
            .map(f64::from)
            .map(|t| {
                (
                    t,
                    if t < 20.0 {
                        1.0 / t
                    } else if t < 500.0 {
                        0.05
                    } else {
                        1e-6
                    },
                )
            })
            .collect();
        let (a, b) = plateau(&series, 1.05).unwrap();
        assert!((19.0..=20.0).contains(&a) && b == 499.0, "{a} {b}");
        assert_eq!(plateau(&[(1.0, 1.0)], 2.0), None);
    }

    /// The rule as it reads: every stretch that begins where the one before did or later.
    fn plain_plateau(series: &[(f64, f64)], within: f64) -> Option<(f64, f64)> {
        let mut best: Option<(f64, f64)> = None;
        let mut first = 0;
        for last in 0..series.len() {
            let wide = |from: usize| {
                let stretch = series[from..=last].iter().map(|p| p.1);
                let (low, high) = stretch.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
                high > within * low
            };
            while first < last && wide(first) {
                first += 1;
            }
            let (t1, t2) = (series[first].0, series[last].0);
            if last > first && t1 > 0.0 && best.is_none_or(|(a, b)| t2 / t1 > b / a) {
                best = Some((t1, t2));
            }
        }
        best
    }

    #[test]
    fn plateaus_are_those_of_the_plain_rule() {
        let mut random = Stream::new(0, "plateau", 0, 0);
        for trial in 0..300 {
            let mut level = 1.0;
            let series: Vec<(f64, f64)> = (0..=120)
                .map(|t| {
                    // Slow drift, jumps, equal values, and now and then what has no logarithm.
                    level *= match random.index(8) {
                        0 => 3.0 * random.uniform(),
                        1..=3 => 1.0,
                        _ => 0.97 + 0.06 * random.uniform(),
                    };
                    let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0].get(random.index(100));
                    (f64::from(t), odd.copied().unwrap_or(level))
                })
                .collect();
            for within in [1.0, 1.1, 2.0] {
                assert_eq!(plateau(&series, within), plain_plateau(&series, within), "{trial} {within}");
            }
        }
    }

    #[test]
    fn a_long_series_takes_linear_time() {
        // By the plain rule this would be 10^11 steps.
        let series: Vec<(f64, f64)> = (1..=400_000).map(|t| (f64::from(t), 1.0)).collect();
        assert_eq!(plateau(&series, 1.1), Some((1.0, 400_000.0)));
    }
}
