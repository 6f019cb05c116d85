//! Features as they are read, line after line, without their zeros.

use models::gnn::FeatureMatrix;
use models::gnn::data::features::Csr;

/// Rows of a matrix.
pub(super) struct FeatureRows {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Default for FeatureRows {
    fn default() -> Self {
        Self { starts: vec![0], columns: Vec::new(), values: Vec::new() }
    }
}

impl FeatureRows {
    /// A feature of the row that is being read; columns rise.
    pub fn push(&mut self, column: usize, value: f32) {
        if value != 0.0 {
            self.columns.push(column as u32);
            self.values.push(value);
        }
    }

    /// The row ends.
    pub fn end(&mut self) {
        self.starts.push(self.columns.len());
    }

    /// The matrix of the rows as they were read.
    pub fn matrix(self, width: usize) -> FeatureMatrix {
        Csr::new((self.starts.len() - 1, width), self.starts, self.columns, self.values).into()
    }

    /// The matrix in which the row that was read k-th is row `places[k]`.
    pub fn placed(self, width: usize, places: &[u32]) -> FeatureMatrix {
        if places.iter().enumerate().all(|(k, place)| k == *place as usize) {
            return self.matrix(width);
        }
        let mut order = vec![0; places.len()];
        places.iter().enumerate().for_each(|(k, place)| order[*place as usize] = k);
        let mut sorted = Self::default();
        for k in order {
            let row = self.starts[k]..self.starts[k + 1];
            sorted.columns.extend_from_slice(&self.columns[row.clone()]);
            sorted.values.extend_from_slice(&self.values[row]);
            sorted.end();
        }
        sorted.matrix(width)
    }
}

/// What stands for features of a graph that has none.
pub(super) const WORDS: [&str; 3] = ["none", "degree", "identity"];

/// Features of a graph that has none.
pub(super) fn made(word: &str, degrees: &[usize]) -> FeatureMatrix {
    let n = degrees.len();
    match word {
        "identity" => FeatureMatrix::identity(n),
        "degree" => FeatureMatrix::from_rows(n, 1, degrees.iter().map(|d| (*d as f32).ln_1p()).collect()),
        _ => FeatureMatrix::from_rows(n, 1, vec![1.0; n]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_to_their_places() {
        let read = || {
            let mut rows = FeatureRows::default();
            for row in [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]] {
                row.iter().enumerate().for_each(|(j, v)| rows.push(j, *v));
                rows.end();
            }
            rows
        };
        let entries = |x: FeatureMatrix| x.entries().map(|(i, j, v)| ((i, j), v)).collect::<Vec<_>>();
        assert_eq!(entries(read().matrix(2)), [((0, 0), 1.0), ((1, 1), 2.0), ((2, 0), 3.0), ((2, 1), 4.0)]);
        let placed = entries(read().placed(2, &[2, 0, 1]));
        assert_eq!(placed, [((0, 1), 2.0), ((1, 0), 3.0), ((1, 1), 4.0), ((2, 0), 1.0)]);
    }

    #[test]
    fn rows_that_are_full_become_a_dense_matrix() {
        let mut rows = FeatureRows::default();
        for i in 0..300 {
            (0..256).for_each(|j| rows.push(j, (i + j + 1) as f32));
            rows.end();
        }
        let FeatureMatrix::Dense { shape, values } = rows.matrix(256) else { panic!("sparse") };
        assert_eq!((shape, values[257], values.len()), ((300, 256), 3.0, 300 * 256));
    }
}
