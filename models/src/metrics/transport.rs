//! Exact optimal transport between two sets of equally many points: [`w2`] and the [`assignment`] under it.

use engine::parallel;

use super::{MetricError, count, finite, mean, sd};

/// Marks a row or a column without a partner.
const FREE: usize = usize::MAX;
/// Largest cost: prices are sums of a multiple of n of them, and stay finite.
const LARGEST: f64 = 1e290;
const OVERFLOW: MetricError = MetricError::Parameter("costs must lie within +-1e290");

/// The 2-Wasserstein distance of uniform measures on two sets of n points in R^d, exactly.
///
/// Some optimal plan is a permutation (Birkhoff 1946), so
///
/// W2(x, y)^2 = min over permutations p of (1/n) sum_i |x_i - y_p(i)|^2.
///
/// # Errors
/// If an input is empty, not finite or no multiple of `d`, the sizes differ, or a squared distance exceeds
/// 1e290.
pub fn w2(x: &[f64], y: &[f64], d: usize) -> Result<f64, MetricError> {
    let (n, m) = (count(x, d)?, count(y, d)?);
    if n != m {
        return Err(MetricError::Sizes { left: n, right: m });
    }
    let (u, v) = on_one_scale(x, y, d);
    let pairs = assignment(&squared_distances(&u, &v, d)?, n)?;
    let matched = x.chunks_exact(d).zip(&pairs).map(|(x_i, &j)| square(x_i, &y[j * d..(j + 1) * d]));
    let total: f64 = matched.sum();
    if total.is_finite() { Ok((total / n as f64).sqrt()) } else { Err(OVERFLOW) }
}

/// Both sets centred, and each axis of x multiplied, of y divided, by sqrt(sd(y) / sd(x)).
///
/// A shift, and a factor f of this kind, change |x_i - y_j|^2 by a term in i and a term in j alone:
/// (f x - y / f)^2 = (f x)^2 + (y / f)^2 - 2 x y. The optimal permutation is the same, but near neighbours
/// become likely partners, which saves most of the work if one set has collapsed.
fn on_one_scale(x: &[f64], y: &[f64], d: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut u, mut v) = (x.to_vec(), y.to_vec());
    for k in 0..d {
        let axis = |x: &[f64]| x.iter().skip(k).step_by(d).copied().collect::<Vec<_>>();
        let (x, y) = (axis(x), axis(y));
        let ratio = (sd(&y) / sd(&x)).sqrt();
        let factor = if ratio.is_normal() { ratio } else { 1.0 };
        let (centre_x, centre_y) = (mean(&x), mean(&y));
        u.iter_mut().skip(k).step_by(d).for_each(|a| *a = (*a - centre_x) * factor);
        v.iter_mut().skip(k).step_by(d).for_each(|b| *b = (*b - centre_y) / factor);
    }
    (u, v)
}

/// |x - y|^2.
fn square(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// c_ij = |x_i - y_j|^2 at `[i * n + j]`, for two sets of `n` points each.
///
/// # Errors
/// If an input is empty, not finite or no multiple of `d`, or the sizes differ.
pub fn squared_distances(x: &[f64], y: &[f64], d: usize) -> Result<Vec<f64>, MetricError> {
    /// Rows of the cost matrix that make one task.
    const ROWS: usize = 32;
    let (n, m) = (count(x, d)?, count(y, d)?);
    if n != m {
        return Err(MetricError::Sizes { left: n, right: m });
    }
    let mut cost = vec![0.0; n * n];
    parallel::for_chunks(&mut cost, ROWS * n, |chunk, rows| {
        for (x_i, row) in x[chunk * ROWS * d..].chunks_exact(d).zip(rows.chunks_exact_mut(n)) {
            for (c, y_j) in row.iter_mut().zip(y.chunks_exact(d)) {
                *c = square(x_i, y_j);
            }
        }
    });
    Ok(cost)
}

/// sum_i c_(i, p(i)).
///
/// # Panics
/// If `pairs` is not a permutation of the matrix's columns.
pub fn assigned_cost(cost: &[f64], pairs: &[usize]) -> f64 {
    let n = pairs.len();
    assert_eq!(cost.len(), n * n, "cost must be a square matrix with a row for each pair");
    pairs.iter().enumerate().map(|(i, &j)| cost[i * n + j]).sum()
}

/// The permutation p that minimises sum_i c_(i, p(i)); `cost` is n x n with c_ij at `[i * n + j]`, of any
/// sign.
///
/// Algorithm of Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
/// assignment problems" (Computing 38, 1987). Prices v_j of the columns, with u_i = min_j (c_ij - v_j),
/// satisfy throughout
///
/// c_ij - u_i - v_j >= 0, with equality on matched pairs,
///
/// which proves a full matching optimal. Three phases of O(n^2) match most rows; each remaining row is
/// matched along a shortest alternating path in the reduced costs (Dijkstra, O(n^2)). With ties several
/// permutations are optimal, and one of them is returned.
///
/// # Errors
/// If `cost` does not have n^2 entries, or one is not finite or exceeds 1e290 in magnitude.
pub fn assignment(cost: &[f64], n: usize) -> Result<Vec<usize>, MetricError> {
    if n.checked_mul(n) != Some(cost.len()) {
        return Err(MetricError::Sizes { left: cost.len(), right: n.saturating_mul(n) });
    }
    finite(cost)?;
    if cost.iter().any(|c| c.abs() > LARGEST) {
        return Err(OVERFLOW);
    }
    if n <= 1 {
        return Ok((0..n).collect());
    }
    let mut matching = Matching::of_columns_with_their_cheapest_row(cost, n);
    matching.transfer_reductions();
    let mut free: Vec<usize> = (0..n).filter(|&i| matching.column_of[i] == FREE).collect();
    for _ in 0..2 {
        free = matching.bid(free);
    }
    matching.augment(&free);
    Ok(matching.column_of)
}

/// A partial matching and the prices that prove it optimal for its rows; see [`assignment`].
struct Matching<'a> {
    n: usize,
    cost: &'a [f64],
    column_of: Vec<usize>,
    row_of: Vec<usize>,
    v: Vec<f64>,
}

impl Matching<'_> {
    /// Column reduction: v_j = min_i c_ij; a column takes its cheapest row unless that is taken.
    fn of_columns_with_their_cheapest_row(cost: &[f64], n: usize) -> Matching<'_> {
        let mut v = cost[..n].to_vec();
        let mut cheapest = vec![0; n];
        for (i, row) in cost.chunks_exact(n).enumerate().skip(1) {
            for j in 0..n {
                if row[j] < v[j] {
                    (v[j], cheapest[j]) = (row[j], i);
                }
            }
        }
        let mut matching = Matching { n, cost, column_of: vec![FREE; n], row_of: vec![FREE; n], v };
        for (j, &i) in cheapest.iter().enumerate() {
            if matching.column_of[i] == FREE {
                matching.pair(i, j);
            }
        }
        matching
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.cost[i * self.n..(i + 1) * self.n]
    }

    fn pair(&mut self, i: usize, j: usize) {
        (self.column_of[i], self.row_of[j]) = (j, i);
    }

    /// Reduction transfer: lowers the price of each matched column as far as its row allows, so that
    /// other columns become attractive to the rows without one.
    fn transfer_reductions(&mut self) {
        for i in 0..self.n {
            let own = self.column_of[i];
            if own != FREE {
                let slack = |j: usize| self.cost[i * self.n + j] - self.v[j];
                let next = (0..self.n).filter(|&j| j != own).map(slack).fold(f64::INFINITY, f64::min);
                self.v[own] -= next - slack(own);
            }
        }
    }

    /// Augmenting row reduction, an auction: each free row takes its best column at a price lowered
    /// until the second best is as good, and the row that had that column bids next. Returns the rows
    /// that end up free. A budget bounds auctions whose price steps are tiny.
    fn bid(&mut self, free: Vec<usize>) -> Vec<usize> {
        let mut budget = 4 * self.n;
        let mut losers = Vec::new();
        for start in free {
            let mut bidder = Some(start);
            while let Some(i) = bidder.take() {
                let ((u1, j1), (u2, j2)) = two_least(self.row(i), &self.v);
                let price = self.v[j1] - (u2 - u1);
                let lower = price < self.v[j1];
                let j = if lower || self.row_of[j1] == FREE { j1 } else { j2 };
                if lower {
                    self.v[j1] = price;
                }
                let loser = self.row_of[j];
                self.pair(i, j);
                if loser != FREE {
                    self.column_of[loser] = FREE;
                    if lower && budget > 0 {
                        budget -= 1;
                        bidder = Some(loser);
                    } else {
                        losers.push(loser);
                    }
                }
            }
        }
        losers
    }

    /// Matches each free row along a shortest alternating path to a free column.
    fn augment(&mut self, free: &[usize]) {
        let n = self.n;
        let mut free_columns: Vec<usize> = (0..n).filter(|&j| self.row_of[j] == FREE).collect();
        let mut distance = vec![0.0; n];
        let mut before = vec![0; n];
        let mut done: Vec<(usize, f64)> = Vec::with_capacity(n);
        // Prices, with -inf for columns whose distance is final, which excludes them.
        let mut open = self.v.clone();
        for &start in free {
            distance.fill(f64::INFINITY);
            let (mut i, mut offset) = (start, 0.0);
            let end = loop {
                relax(self.row(i), &open, offset, i, &mut distance, &mut before);
                let nearest = least(&distance);
                // Among ties a free column ends the search at once.
                if let Some(k) = free_columns.iter().position(|&j| distance[j] == nearest) {
                    break free_columns.swap_remove(k);
                }
                let Some(j) = distance.iter().position(|&t| t == nearest) else {
                    unreachable!("finite costs have a least distance")
                };
                done.push((j, nearest));
                open[j] = f64::NEG_INFINITY;
                i = self.row_of[j];
                offset = self.row(i)[j] - self.v[j] - nearest;
                // The next relaxation cannot lower it: c_ij - (-inf) = inf.
                distance[j] = f64::INFINITY;
            };
            let length = distance[end];
            for (j, t) in done.drain(..) {
                self.v[j] += t - length;
                open[j] = self.v[j];
            }
            let mut j = end;
            loop {
                let i = before[j];
                let previous = self.column_of[i];
                self.pair(i, j);
                if i == start {
                    break;
                }
                j = previous;
            }
        }
    }
}

/// The least and the second least of c_j - v_j with their columns; there are at least two columns.
fn two_least(row: &[f64], v: &[f64]) -> ((f64, usize), (f64, usize)) {
    let (mut first, mut second) = ((f64::INFINITY, 0), (f64::INFINITY, 1));
    for (j, (c, v)) in row.iter().zip(v).enumerate() {
        let u = c - v;
        if u < second.0 {
            if u < first.0 {
                (second, first) = (first, (u, j));
            } else {
                second = (u, j);
            }
        }
    }
    (first, second)
}

/// distance_j = min(distance_j, c_j - v_j - offset), with `i` as predecessor where that is less.
fn relax(row: &[f64], v: &[f64], offset: f64, i: usize, distance: &mut [f64], before: &mut [usize]) {
    for (((c, v), t), b) in row.iter().zip(v).zip(distance).zip(before) {
        let through = c - v - offset;
        let shorter = through < *t;
        *t = if shorter { through } else { *t };
        *b = if shorter { i } else { *b };
    }
}

/// The minimum, in 16 lanes so that it vectorises.
fn least(x: &[f64]) -> f64 {
    let less = |a: f64, b: f64| if a < b { a } else { b };
    let (blocks, rest) = x.as_chunks::<16>();
    let mut lanes = [f64::INFINITY; 16];
    for block in blocks {
        for l in 0..16 {
            lanes[l] = less(lanes[l], block[l]);
        }
    }
    lanes.iter().chain(rest).copied().fold(f64::INFINITY, less)
}

#[cfg(test)]
mod tests;
