//! Connected components, and the graph restricted to some of its nodes.

use super::{Dataset, Split};

impl Dataset {
    /// The component of each node, numbered in the order of their first nodes, and their number.
    pub fn components(&self) -> (Vec<usize>, usize) {
        let n = self.nodes();
        // Union-find with halving; a root points to itself.
        let mut parent: Vec<usize> = (0..n).collect();
        fn root(parent: &mut [usize], mut i: usize) -> usize {
            while parent[i] != i {
                parent[i] = parent[parent[i]];
                i = parent[i];
            }
            i
        }
        for (u, v) in &self.edges {
            let (a, b) = (root(&mut parent, *u as usize), root(&mut parent, *v as usize));
            parent[a.max(b)] = a.min(b);
        }
        let (mut number, mut count) = (vec![usize::MAX; n], 0);
        let mut component = vec![0; n];
        for i in 0..n {
            let r = root(&mut parent, i);
            if number[r] == usize::MAX {
                number[r] = count;
                count += 1;
            }
            component[i] = number[r];
        }
        (component, count)
    }

    /// The nodes of the largest component (of equal ones, the first).
    pub fn largest_component(&self) -> Vec<u32> {
        let (component, count) = self.components();
        let mut sizes = vec![0; count];
        component.iter().for_each(|c| sizes[*c] += 1);
        let largest = (0..count).rev().max_by_key(|c| sizes[*c]).unwrap_or(0);
        (0..self.nodes() as u32).filter(|i| component[*i as usize] == largest).collect()
    }

    /// Only `nodes` (sorted), numbered anew in their order but under their old names; splits lose the other nodes.
    pub fn restrict(&self, nodes: &[u32]) -> Self {
        let mut place = vec![u32::MAX; self.nodes()];
        nodes.iter().enumerate().for_each(|(k, i)| place[*i as usize] = k as u32);
        let list = |old: &[u32]| -> Vec<u32> {
            old.iter().map(|i| place[*i as usize]).filter(|k| *k != u32::MAX).collect()
        };
        let inside = |(u, v): &(u32, u32)| place[*u as usize] != u32::MAX && place[*v as usize] != u32::MAX;
        let pairs = |old: &[(u32, u32)]| -> Vec<(u32, u32)> {
            old.iter().filter(|e| inside(e)).map(|(u, v)| (place[*u as usize], place[*v as usize])).collect()
        };
        let weights = |edges: &[(u32, u32)], old: &[f32]| -> Vec<f32> {
            edges.iter().zip(old).filter(|(e, _)| inside(e)).map(|(_, w)| *w).collect()
        };
        let split =
            |s: &Split| Split { train: list(&s.train), validation: list(&s.validation), test: list(&s.test) };
        Self {
            name: self.name.clone(),
            edges: pairs(&self.edges),
            raw_edges: self.raw_edges.as_deref().map(pairs),
            edge_weights: weights(&self.edges, &self.edge_weights),
            raw_weights: weights(self.raw_edges.as_deref().unwrap_or_default(), &self.raw_weights),
            features: self.features.select(nodes),
            labels: nodes.iter().map(|i| self.labels[*i as usize]).collect(),
            classes: self.classes,
            // The new numbers are not the source's: what is left keeps the old ones as names.
            node_names: nodes.iter().map(|i| self.node_name(*i as usize).into_owned()).collect(),
            class_names: self.class_names.clone(),
            unlabelled: list(&self.unlabelled),
            splits: self.splits.iter().map(split).collect(),
            public: self.public.as_ref().map(split),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::from_edges;

    #[test]
    fn components_and_restriction() {
        let mut data = from_edges("test", 6, &[(0, 3), (1, 2), (2, 5)], vec![0, 1, 0, 1, 0, 1], 2);
        data.splits = vec![super::Split { train: vec![0, 1], validation: vec![2, 4], test: vec![5] }];
        assert_eq!(data.components(), (vec![0, 1, 1, 0, 2, 1], 3));
        assert_eq!(data.largest_component(), [1, 2, 5]);
        let part = data.restrict(&[1, 2, 5]);
        assert_eq!(part.edges, [(0, 1), (1, 0), (1, 2), (2, 1)]);
        assert_eq!(part.labels, [1, 0, 1]);
        assert_eq!(part.features.entries().collect::<Vec<_>>(), [(0, 1, 1.0), (1, 2, 1.0), (2, 5, 1.0)]);
        assert_eq!(part.splits[0].train, [0]);
        assert_eq!(part.splits[0].test, [2]);
        assert_eq!(part.node_names, ["1", "2", "5"]);
        assert_eq!(part.restrict(&[1]).node_names, ["2"]);
        data.edge_weights = vec![0.5, 2.0, 2.0, 3.0, 0.5, 3.0];
        assert_eq!(data.restrict(&[1, 2, 5]).edge_weights, [2.0, 2.0, 3.0, 3.0]);
    }
}
