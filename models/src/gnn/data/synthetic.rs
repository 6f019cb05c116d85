//! Graphs that need no file: Zachary's karate club, contextual stochastic block models, grids, and large
//! random graphs.

use engine::rng::Stream;

use super::{Dataset, FeatureMatrix, Split};
use crate::memory;

/// Edges of the karate club (Zachary 1977, J. Anthropological Research 33:452-473), 34 members.
#[rustfmt::skip]
const KARATE: [(u32, u32); 78] = [
    (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (0, 8), (0, 10), (0, 11), (0, 12), (0, 13),
    (0, 17), (0, 19), (0, 21), (0, 31), (1, 2), (1, 3), (1, 7), (1, 13), (1, 17), (1, 19), (1, 21), (1, 30),
    (2, 3), (2, 7), (2, 8), (2, 9), (2, 13), (2, 27), (2, 28), (2, 32), (3, 7), (3, 12), (3, 13), (4, 6),
    (4, 10), (5, 6), (5, 10), (5, 16), (6, 16), (8, 30), (8, 32), (8, 33), (9, 33), (13, 33), (14, 32),
    (14, 33), (15, 32), (15, 33), (18, 32), (18, 33), (19, 33), (20, 32), (20, 33), (22, 32), (22, 33),
    (23, 25), (23, 27), (23, 29), (23, 32), (23, 33), (24, 25), (24, 27), (24, 31), (25, 31), (26, 29),
    (26, 33), (27, 33), (28, 31), (28, 33), (29, 32), (29, 33), (30, 32), (30, 33), (31, 32), (31, 33),
    (32, 33),
];
/// Members who went with the officer after the split.
const OFFICER: [u32; 17] = [9, 14, 15, 18, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33];

/// A data set of undirected `edges`, each given once, with a feature of its own for each node.
pub fn from_edges(
    name: &str,
    nodes: usize,
    edges: &[(u32, u32)],
    labels: Vec<u32>,
    classes: usize,
) -> Dataset {
    Dataset::new(name, both_ways(edges), FeatureMatrix::identity(nodes), labels, classes)
}

/// Both directions, sorted, without loops and duplicates.
pub fn both_ways(edges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut all: Vec<_> =
        edges.iter().filter(|(u, v)| u != v).flat_map(|(u, v)| [(*u, *v), (*v, *u)]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The karate club: two classes, ten seeded splits with four members of each class to learn from, ten to
/// select on, the others to test.
pub fn karate() -> Dataset {
    let labels = (0..34).map(|i| u32::from(OFFICER.contains(&i))).collect();
    let mut data = from_edges("karate", 34, &KARATE, labels, 2);
    data.splits = (0..10).map(|k| per_class(&data, 4, 10, k)).collect();
    data
}

/// `train` nodes of each class, `validation` of the rest, all others to test.
fn per_class(data: &Dataset, train: usize, validation: usize, seed: u64) -> Split {
    let order = shuffled(data.nodes(), seed);
    let mut taken = vec![0; data.classes];
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for i in order {
        let class = data.labels[i as usize] as usize;
        taken[class] += 1;
        if taken[class] <= train { first.push(i) } else { rest.push(i) }
    }
    let test = rest.split_off(validation.min(rest.len()));
    sorted(Split { train: first, validation: rest, test })
}

pub(super) fn sorted(mut split: Split) -> Split {
    [&mut split.train, &mut split.validation, &mut split.test].into_iter().for_each(|p| p.sort_unstable());
    split
}

pub(super) fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut stream = Stream::new(seed, "split", n as u64, 0);
    let mut order: Vec<u32> = (0..n as u32).collect();
    (1..n).for_each(|k| order.swap(k, stream.index(k + 1)));
    order
}

/// The protocol of GRAND (Chamberlain et al. 2021): `development` nodes drawn without replacement; of
/// these `each` of every class to learn from, the rest to select on; all other nodes to test. Nodes
/// without a label take no part.
pub fn random_split(data: &Dataset, development: usize, each: usize, seed: u64) -> Split {
    let labelled = data.labelled();
    let mut order = shuffled(data.nodes(), seed);
    order.retain(|i| labelled[*i as usize]);
    let (own, test) = order.split_at(development.min(order.len()));
    let mut taken = vec![0; data.classes];
    let (train, validation) = own.iter().partition(|i| {
        let class = data.labels[**i as usize] as usize;
        taken[class] += 1;
        taken[class] <= each
    });
    sorted(Split { train, validation, test: test.to_vec() })
}

/// What a contextual stochastic block model (Deshpande et al. 2018) is made of.
#[derive(Clone, Copy, Debug)]
pub struct BlockModel {
    /// Nodes, dealt to the classes in turn.
    pub nodes: usize,
    /// Classes.
    pub classes: usize,
    /// Mean degree.
    pub degree: f64,
    /// Share of edges within a class.
    pub homophily: f64,
    /// Features of a node.
    pub features: usize,
    /// Length of the class means, in standard deviations of a feature.
    pub signal: f64,
}

impl BlockModel {
    /// Whether there is memory for it.
    ///
    /// # Errors
    /// Nodes and degree, with an estimate.
    pub fn check(&self) -> Result<(), String> {
        // A feature as it is drawn, and in a layer; of each split a node; of an edge both ways.
        let node = 8.0 * self.features as f64 + 64.0;
        let bytes = self.nodes as f64 * (node + 24.0 * self.degree);
        memory::check(&[(format!("a block model of {} nodes of degree {}", self.nodes, self.degree), bytes)])
    }

    /// Draws a graph, with ten 48/32/20 splits.
    pub fn draw(&self, seed: u64) -> Dataset {
        let Self { nodes, classes, degree, homophily, features, signal } = *self;
        let mut stream = Stream::new(seed, "csbm", 0, 0);
        let labels: Vec<u32> = (0..nodes).map(|i| (i % classes) as u32).collect();
        let mut edges = Vec::new();
        for _ in 0..(degree * nodes as f64 / 2.0).round() as usize {
            let u = stream.index(nodes);
            let shift =
                if stream.uniform() < homophily || classes < 2 { 0 } else { 1 + stream.index(classes - 1) };
            let class = (labels[u] as usize + shift) % classes;
            let members = (nodes - class).div_ceil(classes);
            edges.push((u as u32, (class + classes * stream.index(members)) as u32));
        }
        let mut means = vec![0.0; classes * features];
        stream.fill_normal::<f32>(&mut means);
        for mean in means.chunks_mut(features) {
            let length = mean.iter().map(|v| v * v).sum::<f32>().sqrt();
            mean.iter_mut().for_each(|v| *v *= signal as f32 / length.max(1e-6));
        }
        let mut x = vec![0.0; nodes * features];
        stream.fill_normal::<f32>(&mut x);
        for (i, x) in x.chunks_mut(features).enumerate() {
            let mean = &means[labels[i] as usize * features..][..features];
            x.iter_mut().zip(mean).for_each(|(x, m)| *x += m);
        }
        let features = FeatureMatrix::from_rows(nodes, features, x);
        let mut data = Dataset::new("csbm", both_ways(&edges), features, labels, classes);
        data.splits = (0..10).map(|k| shares(nodes, seed ^ (k + 1))).collect();
        data
    }
}

/// A 48/32/20 split.
fn shares(nodes: usize, seed: u64) -> Split {
    let order = shuffled(nodes, seed);
    let (a, b) = (nodes * 48 / 100, nodes * 80 / 100);
    sorted(Split { train: order[..a].to_vec(), validation: order[a..b].to_vec(), test: order[b..].to_vec() })
}

/// A `side x side` grid; the classes are its four quarters.
pub fn grid(side: usize) -> Dataset {
    let at = |i: usize, j: usize| (i * side + j) as u32;
    let mut edges = Vec::new();
    for i in 0..side {
        for j in 0..side {
            edges.extend((i + 1 < side).then(|| (at(i, j), at(i + 1, j))));
            edges.extend((j + 1 < side).then(|| (at(i, j), at(i, j + 1))));
        }
    }
    let half = side / 2;
    let quarter = |k: usize| 2 * u32::from(k / side >= half) + u32::from(k % side >= half);
    from_edges("grid", side * side, &edges, (0..side * side).map(quarter).collect(), 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_karate_club_is_as_zachary_saw_it() {
        let data = karate();
        assert_eq!((data.nodes(), data.edges.len()), (34, 156));
        let degrees = data.degrees();
        assert_eq!((degrees[33], degrees[0]), (17, 16));
        assert_eq!(data.labels.iter().sum::<u32>(), 17);
        let cut = data.edges.iter().filter(|(u, v)| data.labels[*u as usize] != data.labels[*v as usize]);
        assert_eq!(cut.count(), 2 * 11);
        for split in &data.splits {
            assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (8, 10, 16));
        }
    }

    #[test]
    fn a_block_model_has_the_homophily_and_degree_asked_for() {
        let model =
            BlockModel { nodes: 3000, classes: 3, degree: 10.0, homophily: 0.8, features: 8, signal: 1.0 };
        let data = model.draw(0);
        let same = data.edges.iter().filter(|(u, v)| data.labels[*u as usize] == data.labels[*v as usize]);
        let share = same.count() as f64 / data.edges.len() as f64;
        assert!((share - 0.8).abs() < 0.02, "{share}");
        assert!((data.edges.len() as f64 / 3000.0 - 10.0).abs() < 0.2);
        assert_eq!(data.features.shape(), (3000, 8));
    }

    #[test]
    fn random_splits_follow_the_protocol() {
        let mut data =
            BlockModel { nodes: 500, classes: 5, degree: 4.0, homophily: 0.5, features: 2, signal: 1.0 }
                .draw(1);
        let split = random_split(&data, 200, 20, 7);
        assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (100, 100, 300));
        let mut all: Vec<u32> = [split.train, split.validation, split.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<u32>>());
        assert_ne!(random_split(&data, 200, 20, 8), random_split(&data, 200, 20, 7));
        data.unlabelled = vec![3, 499];
        let split = random_split(&data, 200, 20, 7);
        let mut all: Vec<u32> = [split.train, split.validation, split.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..499).filter(|i| *i != 3).collect::<Vec<u32>>());
    }

    #[test]
    fn a_grid_has_its_edges() {
        let data = grid(10);
        assert_eq!((data.nodes(), data.edges.len()), (100, 360));
    }

    #[test]
    fn a_block_model_that_no_machine_holds_is_refused() {
        let model = BlockModel {
            nodes: 1_000_000_000_000,
            classes: 4,
            degree: 20.0,
            homophily: 0.75,
            features: 16,
            signal: 1.5,
        };
        let error = model.check().unwrap_err();
        let said = "a block model of 1000000000000 nodes of degree 20: about 611 TiB of memory are needed, ";
        assert!(error.starts_with(said), "{error}");
        assert_eq!(BlockModel { nodes: 100_000, ..model }.check(), Ok(()));
    }
}
