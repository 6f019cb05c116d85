//! Groups of nodes with like states, wherever they lie in the graph: k-means.

use engine::Real;
use engine::rng::Stream;

/// Beginnings, of which the one with the least sum of squared distances counts.
const BEGINNINGS: u64 = 10;
/// Most rounds of each.
const ROUNDS: usize = 100;

/// The group, below `k`, of each node of a state x (channels x nodes), by Lloyd's rounds from centres drawn as in
/// k-means++ (Arthur and Vassilvitskii 2007). With fewer different states than `k` some groups stay empty.
pub fn k_means<T: Real>(x: &[T], nodes: usize, k: usize, seed: u64) -> Vec<usize> {
    let rows = (x.len() / nodes.max(1)).max(1);
    let points: Vec<f64> = x.iter().map(|v| v.f64()).collect();
    let points: Vec<&[f64]> = points.chunks_exact(rows).collect();
    if points.is_empty() || k < 2 {
        return vec![0; nodes];
    }
    let mut best = (f64::INFINITY, vec![0; nodes]);
    for beginning in 0..BEGINNINGS {
        let mut centres = first_centres(&points, k, &mut Stream::new(seed, "k-means", beginning, 0));
        let mut groups = assign(&points, &centres);
        for _ in 0..ROUNDS {
            move_centres(&points, &groups.1, &mut centres);
            let next = assign(&points, &centres);
            let settled = next.1 == groups.1;
            groups = next;
            if settled {
                break;
            }
        }
        if groups.0 < best.0 {
            best = groups;
        }
    }
    best.1
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// One node at random, then nodes drawn by their squared distance from the nearest centre so far.
fn first_centres(points: &[&[f64]], k: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
    let mut centres = vec![points[stream.index(points.len())].to_vec()];
    let mut nearest = vec![f64::INFINITY; points.len()];
    while centres.len() < k {
        let last = &centres[centres.len() - 1];
        nearest.iter_mut().zip(points).for_each(|(near, p)| *near = near.min(squared_distance(p, last)));
        let mut left = stream.uniform() * nearest.iter().sum::<f64>();
        let drawn = nearest.iter().position(|near| {
            left -= near;
            left < 0.0
        });
        centres.push(points[drawn.unwrap_or(0)].to_vec());
    }
    centres
}

/// The sum of squared distances from the nearest centres, and which these are; of equally near ones the first.
fn assign(points: &[&[f64]], centres: &[Vec<f64>]) -> (f64, Vec<usize>) {
    let mut sum = 0.0;
    let nearest = |p: &&[f64]| {
        let mut best = (f64::INFINITY, 0);
        for (c, centre) in centres.iter().enumerate() {
            let d = squared_distance(p, centre);
            if d < best.0 {
                best = (d, c);
            }
        }
        sum += best.0;
        best.1
    };
    let groups = points.iter().map(nearest).collect();
    (sum, groups)
}

/// Centres to the means of their groups; that of an empty one stays.
fn move_centres(points: &[&[f64]], groups: &[usize], centres: &mut [Vec<f64>]) {
    let mut sums = vec![vec![0.0; points[0].len()]; centres.len()];
    let mut counts = vec![0.0; centres.len()];
    for (p, group) in points.iter().zip(groups) {
        counts[*group] += 1.0;
        sums[*group].iter_mut().zip(*p).for_each(|(s, v)| *s += v);
    }
    for ((centre, sum), count) in centres.iter_mut().zip(sums).zip(counts).filter(|(_, count)| *count > 0.0) {
        *centre = sum.into_iter().map(|s| s / count).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::clusters::agreement;
    use super::*;

    #[test]
    fn well_parted_groups_are_found() {
        let mut noise = vec![0.0; 2 * 90];
        Stream::new(1, "noise", 0, 0).fill_normal::<f64>(&mut noise);
        let centre = |i: usize| [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]][i % 3];
        let x: Vec<f64> = noise.iter().enumerate().map(|(e, v)| centre(e / 2)[e % 2] + v).collect();
        let groups = k_means(&x, 90, 3, 0);
        assert_eq!(agreement(groups.iter().enumerate().map(|(i, g)| (i % 3, *g))).ari, 1.0);
        assert_eq!(groups, k_means(&x, 90, 3, 0));
    }

    #[test]
    fn the_sum_of_squares_is_that_of_the_best_partition() {
        // Of the partitions of 0, 1, 5, 6, 20 into three: {0, 1}, {5, 6}, {20}.
        let groups = k_means(&[0.0, 1.0, 5.0, 6.0, 20.0], 5, 3, 0);
        let together = |a: usize, b: usize| groups[a] == groups[b];
        assert!(together(0, 1) && together(2, 3) && !together(1, 2) && !together(3, 4), "{groups:?}");
    }

    #[test]
    fn little_is_no_trouble() {
        assert_eq!(k_means::<f64>(&[], 0, 3, 0), Vec::<usize>::new());
        assert_eq!(k_means(&[1.0, 2.0], 2, 1, 0), [0, 0]);
        assert_eq!(k_means(&[1.0; 4], 4, 3, 0).len(), 4);
        assert_eq!(k_means(&[f64::NAN; 4], 4, 2, 0).len(), 4);
    }
}
