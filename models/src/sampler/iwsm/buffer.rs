//! The replay buffer: a ring of states with their weights and, where the training needs them, their energies.

use engine::Real;
use engine::rng::Stream;

use crate::importance::{effective_share, tempered};

/// States that enter the buffer.
#[derive(Clone, Copy)]
pub struct Fresh<'a, T> {
    /// The states (columns).
    pub x: &'a [T],
    /// log of their weights; empty for weights of one.
    pub log_w: &'a [f64],
    /// -E and -grad E (columns); empty for a buffer that keeps none.
    pub energies: (&'a [T], &'a [T]),
}

/// A ring of states (coordinate-major), each with a weight.
///
/// Weights are absolute: states of any origin with E w = Z weight exp(-E) together, whatever model has made them.
pub struct Buffer<T> {
    dim: usize,
    capacity: usize,
    len: usize,
    next: usize,
    /// The first states, which no new one pushes out.
    kept: usize,
    coordinates: Vec<T>,
    log_w: Vec<f64>,
    /// -E of each, and -grad E (columns); empty unless kept.
    log_p: Vec<T>,
    score: Vec<T>,
    /// Sums of the weights up to each state, as [`weigh`](Self::weigh) left them; empty for equal weights.
    below: Vec<f64>,
}

impl<T: Real> Buffer<T> {
    /// An empty buffer for `capacity` states of `dim` numbers, which keeps energies and gradients if told so.
    pub fn new(dim: usize, capacity: usize, keeps_energies: bool) -> Self {
        let kept = if keeps_energies { capacity } else { 0 };
        Self {
            dim,
            capacity,
            len: 0,
            next: 0,
            kept: 0,
            coordinates: vec![T::ZERO; dim * capacity],
            log_w: vec![0.0; capacity],
            log_p: vec![T::ZERO; kept],
            score: vec![T::ZERO; dim * kept],
            below: Vec::new(),
        }
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of places.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether energies and gradients are kept.
    pub fn keeps_energies(&self) -> bool {
        !self.log_p.is_empty()
    }

    /// Keeps the first `kept` states of a full buffer, fewer than it has places, from being replaced by new ones.
    pub fn keep(&mut self, kept: usize) {
        debug_assert!(kept < self.capacity && self.len == self.capacity);
        (self.kept, self.next) = (kept, kept);
    }

    /// How many of the first states [`push`](Self::push) leaves alone.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Adds states, which replace the oldest ones if the buffer is full. Those that are not finite are skipped.
    pub fn push(&mut self, fresh: Fresh<'_, T>) {
        let d = self.dim;
        for (k, x) in fresh.x.chunks_exact(d).enumerate() {
            let log_w = fresh.log_w.get(k).copied().unwrap_or(0.0);
            if log_w.is_nan() || !x.iter().all(|v| v.is_finite()) {
                continue;
            }
            let at = self.next;
            for (a, v) in x.iter().enumerate() {
                self.coordinates[a * self.capacity + at] = *v;
            }
            self.log_w[at] = log_w;
            if self.keeps_energies() {
                self.log_p[at] = fresh.energies.0[k];
                self.score[at * d..(at + 1) * d].copy_from_slice(&fresh.energies.1[k * d..(k + 1) * d]);
            }
            self.next = if at + 1 == self.capacity { self.kept } else { at + 1 };
            self.len = (self.len + 1).min(self.capacity);
        }
    }

    /// The values of one coordinate of the states at `range`.
    pub(super) fn coordinate(&self, a: usize, range: std::ops::Range<usize>) -> &[T] {
        &self.coordinates[a * self.capacity + range.start..a * self.capacity + range.end]
    }

    /// Writes state l to `x`.
    pub fn state(&self, l: usize, x: &mut [T]) {
        x.iter_mut().enumerate().for_each(|(a, v)| *v = self.coordinates[a * self.capacity + l]);
    }

    /// All states as columns.
    pub fn states(&self) -> Vec<T> {
        let mut x = vec![T::ZERO; self.len * self.dim];
        x.chunks_exact_mut(self.dim).enumerate().for_each(|(l, x)| self.state(l, x));
        x
    }

    /// -E and -grad E of state l, if they are kept.
    pub fn energy(&self, l: usize) -> (T, &[T]) {
        (self.log_p[l], &self.score[l * self.dim..(l + 1) * self.dim])
    }

    /// Whether a state lies outside the support, as far as energies are kept.
    pub fn meets_wall(&self) -> bool {
        self.keeps_energies() && !crate::target::all_finite(&self.log_p[..self.len])
    }

    /// Replaces all states; positions and weights stay.
    ///
    /// # Panics
    /// If there is not one column for each state.
    pub fn replace(&mut self, columns: &[T]) {
        assert_eq!(columns.len(), self.len * self.dim, "one column for each stored state");
        for (l, x) in columns.chunks_exact(self.dim).enumerate() {
            x.iter().enumerate().for_each(|(a, v)| self.coordinates[a * self.capacity + l] = *v);
        }
    }

    /// Replaces state l, with its -E and -grad E where they are kept; its weight stays.
    pub fn replace_one(&mut self, l: usize, x: &[T], energy: (T, &[T])) {
        x.iter().enumerate().for_each(|(a, v)| self.coordinates[a * self.capacity + l] = *v);
        if self.keeps_energies() {
            self.log_p[l] = energy.0;
            self.score[l * self.dim..(l + 1) * self.dim].copy_from_slice(energy.1);
        }
    }

    /// Replaces the energies and gradients of all states, where they are kept.
    pub fn replace_energies(&mut self, log_p: &[T], score: &[T]) {
        if self.keeps_energies() {
            self.log_p[..log_p.len()].copy_from_slice(log_p);
            self.score[..score.len()].copy_from_slice(score);
        }
    }

    /// log of each place's weight.
    pub fn log_weights(&self) -> &[f64] {
        &self.log_w
    }

    /// Adds `change` of each state to the logarithm of its weight.
    pub fn reweigh(&mut self, change: impl Fn(usize) -> f64) {
        self.log_w[..self.len].iter_mut().enumerate().for_each(|(l, w)| *w += change(l));
    }

    /// Makes [`pick`](Self::pick) draw by the weights as they are now, truncated at `clip` times their mean (Ionides
    /// 2008: truncation leaves estimates consistent if it recedes with their number); returns their effective share.
    pub fn weigh(&mut self, clip: f64) -> f64 {
        let mut w = tempered(&self.log_w[..self.len], 1.0, 0.0);
        let most = clip * w.iter().sum::<f64>() / self.len.max(1) as f64;
        w.iter_mut().for_each(|w| *w = w.min(most));
        let share = effective_share(&w);
        let mut sum = 0.0;
        self.below = w
            .iter()
            .map(|w| {
                sum += w;
                sum
            })
            .collect();
        share
    }

    /// The place of a random state: by the weights after [`weigh`](Self::weigh), otherwise each equally likely.
    pub fn pick(&self, stream: &mut Stream) -> usize {
        match self.below.last() {
            None => stream.index(self.len),
            Some(total) => {
                let u = stream.uniform() * total;
                self.below.partition_point(|below| *below <= u).min(self.len - 1)
            }
        }
    }

    /// What a checkpoint keeps: coordinates, weights, energies, gradients; number of states and next place.
    pub fn contents(&self) -> ([&[T]; 3], &[f64], [u64; 2]) {
        ([&self.coordinates, &self.log_p, &self.score], &self.log_w, [self.len as u64, self.next as u64])
    }

    /// The same, to be replaced by [`contents`](Self::contents) of a checkpoint.
    pub(super) fn contents_mut(&mut self) -> ([&mut Vec<T>; 3], &mut Vec<f64>) {
        ([&mut self.coordinates, &mut self.log_p, &mut self.score], &mut self.log_w)
    }

    /// Sets the number of states and the next place; false if they are no place in this buffer.
    pub(super) fn set_place(&mut self, [len, next]: [u64; 2]) -> bool {
        // A ring that is not full goes on where it ends.
        let capacity = self.capacity as u64;
        let fits = (1..=capacity).contains(&len)
            && (self.kept as u64..capacity).contains(&next)
            && (len == capacity || next == len);
        if fits {
            (self.len, self.next) = (len as usize, next as usize);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(buffer: &mut Buffer<f64>, x: &[f64], log_w: &[f64]) {
        buffer.push(Fresh { x, log_w, energies: (x, x) });
    }

    #[test]
    fn a_full_ring_forgets_its_oldest_states() {
        let mut buffer = Buffer::new(1, 3, true);
        pushed(&mut buffer, &[1.0, f64::NAN, 2.0, 3.0, 4.0], &[]);
        assert_eq!((buffer.len(), buffer.states()), (3, vec![4.0, 2.0, 3.0]));
        assert_eq!(buffer.energy(0), (4.0, &[4.0][..]));
        buffer.keep(1);
        pushed(&mut buffer, &[5.0, 6.0, 7.0], &[]);
        assert_eq!(buffer.states(), vec![4.0, 7.0, 6.0]);
        assert!(!buffer.set_place([3, 0]) && buffer.set_place([3, 1]));
        buffer.replace_one(0, &[8.0], (9.0, &[10.0]));
        assert_eq!((buffer.states(), buffer.energy(0)), (vec![8.0, 7.0, 6.0], (9.0, &[10.0][..])));
    }

    #[test]
    fn states_are_picked_by_their_weights() {
        let mut buffer = Buffer::new(1, 4, false);
        pushed(&mut buffer, &[0.0, 1.0, 2.0, 3.0], &[0.0, f64::NEG_INFINITY, 3f64.ln(), 4f64.ln()]);
        let share = buffer.weigh(f64::INFINITY);
        assert!((share - 64.0 / (4.0 * 26.0)).abs() < 1e-12, "{share}");
        let (mut counts, mut stream) = ([0.0; 4], Stream::new(1, "picks", 0, 0));
        (0..80_000).for_each(|_| counts[buffer.pick(&mut stream)] += 1.0 / 80_000.0);
        // Five standard errors of a share of a half are 0.009.
        for (count, want) in counts.iter().zip([0.125, 0.0, 0.375, 0.5]) {
            assert!((count - want).abs() < 0.009, "{counts:?}");
        }
        assert_eq!(counts[1], 0.0);
        // Truncated at the mean, 2: weights 1, 0, 2, 2.
        buffer.weigh(1.0);
        let mut counts = [0.0; 4];
        (0..80_000).for_each(|_| counts[buffer.pick(&mut stream)] += 1.0 / 80_000.0);
        assert!((counts[0] - 0.2).abs() < 0.009 && (counts[3] - 0.4).abs() < 0.009, "{counts:?}");
    }
}
