//! Features of nodes: a matrix nodes x features, sparse or dense.
//!
//! Dense where at least a quarter of the entries are set: an entry of a sparse matrix takes 8 bytes, and 16 more in the
//! product with a layer's weights, one of a dense matrix 4 and 4. Matrices of fewer than 2^16 entries are sparse
//! whatever they hold: they take no memory to speak of, and results of old runs on small graphs keep their bits.

use sprs::CsMatI;

/// Rows of entries with 4-byte column numbers.
pub type Csr = CsMatI<f32, u32, usize>;

/// Entries below which a matrix is sparse.
const SMALL: usize = 1 << 16;
/// A matrix is dense where one entry in so many is set.
const SHARE: usize = 4;

/// Features of nodes: nodes x features.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureMatrix {
    /// Entries that are set.
    Sparse(Csr),
    /// All entries.
    Dense {
        /// Nodes, features.
        shape: (usize, usize),
        /// Node after node.
        values: Vec<f32>,
    },
}

/// The matrix in the kind that suits it; equal matrices have one kind.
impl From<Csr> for FeatureMatrix {
    fn from(x: Csr) -> Self {
        let x = if x.is_csr() { x } else { x.to_csr() };
        // A file may store zeros: they are not set, whatever the kind.
        let set = x.data().iter().filter(|v| **v != 0.0).count();
        if !suits_dense(x.shape(), set) {
            return Self::Sparse(x);
        }
        let (rows, cols) = x.shape();
        let mut values = vec![0.0; rows * cols];
        x.iter().for_each(|(v, (i, j))| values[i as usize * cols + j as usize] = *v);
        Self::Dense { shape: (rows, cols), values }
    }
}

/// Whether a matrix with so many entries set is dense.
fn suits_dense((rows, cols): (usize, usize), set: usize) -> bool {
    let entries = rows.saturating_mul(cols);
    entries >= SMALL && set >= entries / SHARE
}

impl FeatureMatrix {
    /// A matrix given node after node, in the kind that suits it.
    ///
    /// # Panics
    /// If `values` has another length than `rows * cols`.
    pub fn from_rows(rows: usize, cols: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), rows * cols, "{rows} x {cols} features");
        let set = values.iter().filter(|v| **v != 0.0).count();
        if suits_dense((rows, cols), set) {
            return Self::Dense { shape: (rows, cols), values };
        }
        let mut starts = vec![0];
        let (mut columns, mut kept) = (Vec::with_capacity(set), Vec::with_capacity(set));
        for i in 0..rows {
            for (j, v) in (0..).zip(&values[i * cols..(i + 1) * cols]).filter(|(_, v)| **v != 0.0) {
                columns.push(j);
                kept.push(*v);
            }
            starts.push(columns.len());
        }
        Self::Sparse(Csr::new((rows, cols), starts, columns, kept))
    }

    /// A matrix of zeros.
    pub fn zero(rows: usize, cols: usize) -> Self {
        Self::Sparse(Csr::zero((rows, cols)))
    }

    /// A feature of its own for each node.
    pub fn identity(nodes: usize) -> Self {
        let columns = (0..nodes as u32).collect();
        Csr::new((nodes, nodes), (0..=nodes).collect(), columns, vec![1.0; nodes]).into()
    }

    /// Nodes, features.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Sparse(x) => x.shape(),
            Self::Dense { shape, .. } => *shape,
        }
    }

    /// Number of nodes.
    pub fn rows(&self) -> usize {
        self.shape().0
    }

    /// Number of features.
    pub fn cols(&self) -> usize {
        self.shape().1
    }

    /// Number of entries that are set.
    pub fn set(&self) -> usize {
        let stored: &[f32] = match self {
            Self::Sparse(x) => x.data(),
            Self::Dense { values, .. } => values,
        };
        stored.iter().filter(|v| **v != 0.0).count()
    }

    /// The entries that are stored, row after row: of a dense matrix all.
    pub fn stored(&self) -> &[f32] {
        match self {
            Self::Sparse(x) => x.data(),
            Self::Dense { values, .. } => values,
        }
    }

    /// The features of a node that are set: (feature, value).
    pub fn row(&self, node: usize) -> impl Iterator<Item = (usize, f32)> {
        let (columns, values) = match self {
            Self::Sparse(x) => {
                let own = x.indptr().outer_inds_sz(node);
                (Some(&x.indices()[own.clone()]), &x.data()[own])
            }
            Self::Dense { shape: (_, cols), values } => (None, &values[node * cols..(node + 1) * cols]),
        };
        let place = move |k: usize| columns.map_or(k, |columns| columns[k] as usize);
        let entries = values.iter().enumerate().map(move |(k, v)| (place(k), *v));
        entries.filter(move |(_, v)| columns.is_some() || *v != 0.0)
    }

    /// The stored features of a node, to change them.
    pub fn row_mut(&mut self, node: usize) -> &mut [f32] {
        match self {
            Self::Sparse(x) => {
                let own = x.indptr().outer_inds_sz(node);
                &mut x.data_mut()[own]
            }
            Self::Dense { shape: (_, cols), values } => &mut values[node * *cols..(node + 1) * *cols],
        }
    }

    /// All entries that are set: (node, feature, value).
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        (0..self.rows()).flat_map(|i| self.row(i).map(move |(j, v)| (i, j, v)))
    }

    /// A feature of a node.
    pub fn get(&self, node: usize, feature: usize) -> f32 {
        match self {
            Self::Sparse(x) => x.get(node, feature).copied().unwrap_or(0.0),
            Self::Dense { shape: (_, cols), values } => values[node * cols + feature],
        }
    }

    /// The rows of some nodes, in the same kind.
    pub fn select(&self, nodes: &[u32]) -> Self {
        let cols = self.cols();
        match self {
            Self::Sparse(_) => {
                let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
                for i in nodes {
                    self.row(*i as usize).for_each(|(j, v)| {
                        columns.push(j as u32);
                        values.push(v);
                    });
                    starts.push(columns.len());
                }
                Self::Sparse(Csr::new((nodes.len(), cols), starts, columns, values))
            }
            Self::Dense { values, .. } => {
                let rows = nodes.iter().flat_map(|i| &values[*i as usize * cols..(*i as usize + 1) * cols]);
                Self::Dense { shape: (nodes.len(), cols), values: rows.copied().collect() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of 2^16 entries with so many set, at distances of `gap`.
    fn matrix(gap: usize) -> Vec<f32> {
        (0..SMALL).map(|k| if k % gap == 0 { 1.0 + k as f32 } else { 0.0 }).collect()
    }

    #[test]
    fn the_share_of_entries_decides_and_not_where_they_come_from() {
        for (gap, dense) in [(1, true), (4, true), (5, false), (100, false)] {
            let x = FeatureMatrix::from_rows(SMALL / 64, 64, matrix(gap));
            assert_eq!(matches!(x, FeatureMatrix::Dense { .. }), dense, "{gap}");
            let mut csr = sprs::TriMatI::<f32, u32>::new(x.shape());
            x.entries().for_each(|(i, j, v)| csr.add_triplet(i, j, v));
            assert_eq!(FeatureMatrix::from(csr.to_csr()), x, "{gap}");
        }
        let small = FeatureMatrix::from_rows(1, 3, vec![1.0; 3]);
        assert!(matches!(small, FeatureMatrix::Sparse(_)));
    }

    #[test]
    fn both_kinds_answer_alike() {
        // 1 0 2 | 0 0 0 | 0 3 0
        let values = vec![1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0];
        let sparse = FeatureMatrix::from_rows(3, 3, values.clone());
        let dense = FeatureMatrix::Dense { shape: (3, 3), values };
        for mut x in [sparse, dense] {
            assert_eq!((x.rows(), x.cols(), x.set()), (3, 3, 3));
            assert_eq!(x.entries().collect::<Vec<_>>(), [(0, 0, 1.0), (0, 2, 2.0), (2, 1, 3.0)]);
            assert_eq!((x.get(2, 1), x.get(1, 1)), (3.0, 0.0));
            let part = x.select(&[2, 0]);
            assert_eq!(part.entries().collect::<Vec<_>>(), [(0, 1, 3.0), (1, 0, 1.0), (1, 2, 2.0)]);
            x.row_mut(2).iter_mut().for_each(|v| *v *= 2.0);
            assert_eq!(x.row(2).collect::<Vec<_>>(), [(1, 6.0)]);
        }
        assert_eq!(FeatureMatrix::identity(3).entries().last(), Some((2, 2, 1.0)));
        assert_eq!(FeatureMatrix::zero(3, 2).set(), 0);
    }
}
