//! A degree-corrected block model (Karrer and Newman 2011) with skewed degrees and classes, as citation graphs have
//! them: an end of an edge is drawn by the nodes' propensities theta, p(theta) ~ theta^-a from theta = 1 on, the other
//! of its class or of another one.

use engine::rng::Stream;

use super::synthetic::{both_ways, shuffled, sorted};
use super::{Dataset, FeatureMatrix, Split};

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Citations {
    /// Nodes.
    pub nodes: usize,
    /// Undirected edges.
    pub edges: usize,
    /// Classes; class c has a share of nodes in proportion to 1 / (c + 2).
    pub classes: usize,
    /// The exponent a of the nodes' propensities.
    pub exponent: f64,
    /// Share of edges within a class.
    pub homophily: f64,
    /// Features of a node: Gaussian about the mean of its class.
    pub features: usize,
    /// Length of the class means, in standard deviations of a feature.
    pub signal: f64,
    /// Share of nodes to learn from and to select on, in percent; all others are to test.
    pub split: [usize; 2],
}

/// A graph of the size and shape of ogbn-arxiv (Hu et al. 2020).
pub const ARXIV: Citations = Citations {
    nodes: 169_343,
    edges: 1_157_799,
    classes: 40,
    exponent: 2.7,
    homophily: 0.65,
    features: 128,
    signal: 1.0,
    split: [54, 18],
};

/// Rounds of drawing after which edges that are still missing stay so: the graph is too dense.
const ROUNDS: usize = 100;

/// Things to draw by weight.
struct Urn {
    things: Vec<u32>,
    /// Sums of weights up to each.
    sums: Vec<f64>,
}

impl Urn {
    fn new(things: impl Iterator<Item = (u32, f64)>) -> Self {
        let mut urn = Self { things: Vec::new(), sums: Vec::new() };
        let mut sum = 0.0;
        for (thing, weight) in things {
            sum += weight;
            urn.things.push(thing);
            urn.sums.push(sum);
        }
        urn
    }

    fn draw(&self, stream: &mut Stream) -> u32 {
        let at = stream.uniform() * self.sums.last().copied().unwrap_or(0.0);
        let k = self.sums.partition_point(|sum| *sum <= at);
        self.things[k.min(self.things.len() - 1)]
    }
}

impl Citations {
    /// Draws a graph with one split.
    pub fn draw(&self, name: &str, seed: u64) -> Dataset {
        let n = self.nodes;
        let mut stream = Stream::new(seed, "citations", 0, 0);
        let shares = Urn::new((0..self.classes as u32).map(|c| (c, 1.0 / f64::from(c + 2))));
        let labels: Vec<u32> = (0..n).map(|_| shares.draw(&mut stream)).collect();
        let power = -1.0 / (self.exponent - 1.0);
        let theta: Vec<f64> = (0..n).map(|_| (1.0 - stream.uniform()).powf(power)).collect();
        let edges = self.edges(&labels, &theta, &mut stream);
        let mut means = vec![0.0_f32; self.classes * self.features];
        stream.fill_normal(&mut means);
        for mean in means.chunks_mut(self.features.max(1)) {
            let length = mean.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
            mean.iter_mut().for_each(|v| *v *= self.signal as f32 / length);
        }
        let mut x = vec![0.0_f32; n * self.features];
        stream.fill_normal(&mut x);
        for (x, label) in x.chunks_mut(self.features.max(1)).zip(&labels) {
            let mean = &means[*label as usize * self.features..][..self.features];
            x.iter_mut().zip(mean).for_each(|(x, m)| *x += m);
        }
        let order = shuffled(n, seed);
        let [train, validation] = self.split.map(|percent| n * percent / 100);
        let (train, rest) = order.split_at(train);
        let (validation, test) = rest.split_at(validation);
        let split = Split { train: train.to_vec(), validation: validation.to_vec(), test: test.to_vec() };
        let features = FeatureMatrix::from_rows(n, self.features, x);
        let mut data = Dataset::new(name, edges, features, labels, self.classes);
        data.splits = vec![sorted(split)];
        data
    }

    /// Both directions of so many different edges.
    fn edges(&self, labels: &[u32], theta: &[f64], stream: &mut Stream) -> Vec<(u32, u32)> {
        let weights = || (0_u32..).zip(theta.iter().copied());
        let of_class = |c: u32| weights().filter(move |(i, _)| labels[*i as usize] == c);
        let (all, classes) = (Urn::new(weights()), (0..self.classes as u32).map(|c| Urn::new(of_class(c))));
        let classes: Vec<Urn> = classes.collect();
        let mut edges = Vec::new();
        for _ in 0..ROUNDS {
            let missing = self.edges.saturating_sub(edges.len() / 2);
            if missing == 0 {
                break;
            }
            let mut drawn: Vec<(u32, u32)> = edges;
            for _ in 0..missing {
                let u = all.draw(stream);
                let own = labels[u as usize];
                let v = match stream.uniform() < self.homophily || self.classes < 2 {
                    true => classes[own as usize].draw(stream),
                    // Of another class: by the same propensities.
                    false => std::iter::repeat_with(|| all.draw(stream))
                        .take(ROUNDS)
                        .find(|v| labels[*v as usize] != own)
                        .unwrap_or(u),
                };
                drawn.push((u, v));
            }
            edges = both_ways(&drawn);
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_one_has_the_shape_asked_for() {
        let small = Citations { nodes: 5000, edges: 30_000, classes: 10, ..ARXIV };
        let data = small.draw("small", 0);
        assert_eq!((data.nodes(), data.edges.len()), (5000, 60_000));
        let same = data.edges.iter().filter(|(u, v)| data.labels[*u as usize] == data.labels[*v as usize]);
        let share = same.count() as f64 / 60_000.0;
        // Edges within small classes are drawn twice more often, and count once.
        assert!((share - 0.65).abs() < 0.06, "{share}");
        let mut degrees = data.degrees();
        degrees.sort_unstable();
        let (median, largest) = (degrees[2500], degrees[4999]);
        assert!(median < 12 && largest > 200, "{median} {largest}");
        let mut sizes = [0; 10];
        data.labels.iter().for_each(|c| sizes[*c as usize] += 1);
        assert!(sizes[0] > 3 * sizes[9] && sizes[9] > 0, "{sizes:?}");
        assert!(matches!(data.features, FeatureMatrix::Dense { shape: (5000, 128), .. }));
        let parts: Vec<usize> = data.splits[0].parts().iter().map(|p| p.len()).collect();
        assert_eq!(parts, [2700, 900, 1400]);
        assert!(super::super::check::check(&data).iter().all(|f| !f.fatal));
        assert_eq!(small.draw("small", 0).edges, data.edges);
        assert_ne!(small.draw("small", 1).edges, data.edges);
    }

    #[test]
    fn a_graph_that_is_full_ends() {
        let full = Citations { nodes: 6, edges: 100, classes: 2, ..ARXIV };
        assert!(full.draw("full", 0).edges.len() <= 30);
    }
}
