//! Regular graphs of two communities, on which a state that is the same at every node is an equilibrium of every
//! equation, and its stability is a matter of the spectrum of A alone.

use std::collections::BTreeSet;

use engine::rng::Stream;

use super::Dataset;
use super::synthetic::from_edges;

/// Two classes of `half` nodes each; every node has `inner` neighbours in its own class and `outer` in the other, so
/// that the homophily is inner / (inner + outer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegularBlocks {
    /// Nodes of a class.
    pub half: usize,
    /// Neighbours in the own class: an even number.
    pub inner: usize,
    /// Neighbours in the other class.
    pub outer: usize,
}

impl RegularBlocks {
    /// An error if there is no such graph.
    ///
    /// # Errors
    /// An odd number of inner neighbours, or more neighbours than nodes.
    pub fn check(&self) -> Result<(), String> {
        let Self { half, inner, outer } = *self;
        if !inner.is_multiple_of(2) {
            return Err(format!("{inner} neighbours in the own class are no even number"));
        }
        // Of the distances 1 .. (half - 1) / 2 on a circle each gives two neighbours.
        if inner / 2 > half.saturating_sub(1) / 2 || outer > half {
            return Err(format!(
                "a class of {half} nodes is too small for {inner} neighbours in it and {outer} in the other"
            ));
        }
        Ok(())
    }

    /// Draws one: the classes are circles, and neighbours lie at distances along them that are the same for all nodes.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn draw(&self, seed: u64) -> Result<Dataset, String> {
        self.check()?;
        let Self { half, inner, outer } = *self;
        let mut stream = Stream::new(seed, "regular blocks", 0, 0);
        let mut distinct = |count: usize, first: usize, among: usize| {
            let mut drawn = BTreeSet::new();
            while drawn.len() < count {
                drawn.insert(first + stream.index(among));
            }
            drawn
        };
        let along = distinct(inner / 2, 1, half.saturating_sub(1) / 2);
        let across = distinct(outer, 0, half);
        let node = |class: usize, place: usize| (class * half + place % half) as u32;
        let mut edges = Vec::new();
        for place in 0..half {
            for class in 0..2 {
                edges.extend(along.iter().map(|by| (node(class, place), node(class, place + by))));
            }
            edges.extend(across.iter().map(|by| (node(0, place), node(1, place + by))));
        }
        let labels = (0..2 * half).map(|i| (i / half.max(1)) as u32).collect();
        Ok(from_edges("regular-blocks", 2 * half, &edges, labels, 2))
    }
}

/// The largest and the smallest eigenvalue mu of the mean over neighbours on a regular graph, but for the 1 of a
/// constant, each with its eigenvector of unit length: the wave that diffusion forgets last, and the one in which
/// neighbours differ most. By the power method on 1 + A and 1 - A from a fixed start. The graph must be connected: of one
/// that falls apart the largest is 1 again.
pub fn extreme_waves(data: &Dataset) -> [(f64, Vec<f64>); 2] {
    [1.0, -1.0].map(|sign| extreme_wave(data, sign))
}

fn extreme_wave(data: &Dataset, sign: f64) -> (f64, Vec<f64>) {
    let n = data.nodes();
    let share: Vec<f64> = data.degrees().iter().map(|d| sign / (*d).max(1) as f64).collect();
    // With a part of everything: no eigenvector is orthogonal to it but by accident.
    let class = |i: usize| if data.labels[i] == 0 { 1.0 } else { -1.0 };
    let mut wave: Vec<f64> = (0..n).map(|i| class(i) + 0.5 * ((3 * i + 1) as f64).sin()).collect();
    let mut next = wave.clone();
    let mut mu = 0.0;
    for _ in 0..2000 {
        let mean = wave.iter().sum::<f64>() / n.max(1) as f64;
        let length = wave.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        wave.iter_mut().for_each(|v| *v = (*v - mean) / length);
        next.copy_from_slice(&wave);
        data.edges.iter().for_each(|(i, j)| next[*i as usize] += share[*i as usize] * wave[*j as usize]);
        mu = sign * (next.iter().zip(&wave).map(|(a, b)| a * b).sum::<f64>() - 1.0);
        std::mem::swap(&mut wave, &mut next);
    }
    // The vector that mu is of.
    (mu, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_neighbours() {
        for (half, inner, outer) in [(10, 4, 2), (9, 8, 9), (5, 0, 1), (7, 2, 0), (1, 0, 1)] {
            let data = RegularBlocks { half, inner, outer }.draw(3).unwrap();
            assert_eq!(data.nodes(), 2 * half);
            for i in 0..2 * half {
                let own = data.edges.iter().filter(|(u, _)| *u as usize == i);
                let same: Vec<bool> = own.map(|(_, v)| data.labels[*v as usize] == data.labels[i]).collect();
                let with = same.iter().filter(|same| **same).count();
                assert_eq!((with, same.len() - with), (inner, outer), "{half} {inner} {outer}: node {i}");
            }
            assert_eq!(data.problem(), None);
        }
        let refused = |half, inner, outer| RegularBlocks { half, inner, outer }.draw(0).unwrap_err();
        assert!(refused(10, 3, 1).contains("no even number"));
        assert!(refused(10, 10, 1).contains("too small"));
        assert!(refused(10, 2, 11).contains("too small"));
    }

    #[test]
    fn the_slowest_wave_is_the_difference_of_the_classes_where_few_edges_join_them() {
        // Two complete graphs of 9 nodes, a matching between them: (8 - 1) / 9.
        let data = RegularBlocks { half: 9, inner: 8, outer: 1 }.draw(0).unwrap();
        let [(mu, wave), _] = extreme_waves(&data);
        assert!((mu - 7.0 / 9.0).abs() < 1e-12, "{mu}");
        for (i, v) in wave.iter().enumerate() {
            let sign = if data.labels[i] == data.labels[0] { 1.0 } else { -1.0 };
            assert!((v / wave[0] - sign).abs() < 1e-9);
        }
        // Every node is joined to all of the other class.
        let [_, (mu, _)] = extreme_waves(&RegularBlocks { half: 5, inner: 0, outer: 5 }.draw(0).unwrap());
        assert!((mu + 1.0).abs() < 1e-12, "{mu}");
    }

    #[test]
    fn extreme_waves_are_eigenvectors() {
        let data = RegularBlocks { half: 30, inner: 6, outer: 6 }.draw(5).unwrap();
        for (mu, wave) in extreme_waves(&data) {
            let mut mean = vec![0.0; 60];
            data.edges.iter().for_each(|(i, j)| mean[*i as usize] += wave[*j as usize] / 12.0);
            let error = mean.iter().zip(&wave).map(|(a, b)| (a - mu * b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-6, "{mu}: {error}");
            assert!(wave.iter().sum::<f64>().abs() < 1e-9);
            assert!((wave.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
