//! Scaling of features. Its figures are those of all nodes: features are known of every node, labels are not.

use models::gnn::{Dataset, FeatureMatrix};
use models::memory;
use serde::{Deserialize, Serialize};

use crate::run::error::CliError;

/// What is done to features before they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Nothing.
    #[default]
    None,
    /// Each node's features are divided by the sum of their sizes.
    Row,
    /// Each feature has mean 0 and variance 1 over the nodes; one that is constant becomes 0.
    Standard,
}

impl Scale {
    /// Scales the features of a data set; those of nodes that a network has not seen as the data `like` that it was
    /// trained on were, which have as many features. An error where there is no memory for it: standardised, none is 0.
    pub fn apply(self, data: &mut Dataset, like: Option<&Dataset>) -> Result<(), CliError> {
        match self {
            Self::None => (),
            Self::Row => rows(&mut data.features),
            Self::Standard => {
                let entries = data.features.rows() as f64 * data.features.cols() as f64;
                memory::check(&[("data.scale = standard".into(), 8.0 * entries)]).map_err(CliError::usage)?;
                let columns = Columns::new(&like.unwrap_or(data).features);
                data.features = columns.standard(&data.features);
            }
        }
        Ok(())
    }
}

fn rows(x: &mut FeatureMatrix) {
    for i in 0..x.rows() {
        let row = x.row_mut(i);
        let sum: f64 = row.iter().map(|v| f64::from(v.abs())).sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / sum) as f32);
        }
    }
}

/// Mean of each feature, and 1 over its standard deviation; 0 for one that is constant.
struct Columns {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Columns {
    fn new(x: &FeatureMatrix) -> Self {
        let (n, cols) = x.shape();
        let mut mean = vec![0.0_f64; cols];
        x.entries().for_each(|(_, j, v)| mean[j] += f64::from(v) / n as f64);
        // About the mean, so that large means leave their digits to the variance; what is not stored is 0.
        let (mut variance, mut filled) = (vec![0.0_f64; cols], vec![0_usize; cols]);
        for (_, j, v) in x.entries() {
            variance[j] += (f64::from(v) - mean[j]).powi(2) / n as f64;
            filled[j] += 1;
        }
        let scale = |j: usize| {
            let variance = variance[j] + (n - filled[j]) as f64 / n as f64 * mean[j].powi(2);
            // Rounding leaves something of a column that is constant.
            let spread = variance > 1e-20 * mean[j].powi(2) && variance > 0.0;
            if spread { variance.sqrt().recip() } else { 0.0 }
        };
        let scale = (0..cols).map(scale).collect();
        Self { mean, scale }
    }

    fn standard(&self, x: &FeatureMatrix) -> FeatureMatrix {
        let (n, cols) = x.shape();
        let mut values = vec![0.0_f32; n * cols];
        for i in 0..n {
            let own = &mut values[i * cols..(i + 1) * cols];
            x.row(i).for_each(|(j, v)| own[j] = v);
            for (v, (mean, scale)) in own.iter_mut().zip(self.mean.iter().zip(&self.scale)) {
                *v = ((f64::from(*v) - mean) * scale) as f32;
            }
        }
        FeatureMatrix::from_rows(n, cols, values)
    }
}

#[cfg(test)]
mod tests {
    use models::gnn::data::synthetic::karate;

    use super::*;

    fn scaled(scale: Scale, x: &[f32]) -> Vec<f32> {
        let mut data = karate();
        data.features = FeatureMatrix::from_rows(x.len() / 3, 3, x.to_vec());
        scale.apply(&mut data, None).unwrap();
        all(&data.features)
    }

    fn all(x: &FeatureMatrix) -> Vec<f32> {
        (0..x.rows()).flat_map(|i| (0..x.cols()).map(move |j| x.get(i, j))).collect()
    }

    #[test]
    fn columns_have_mean_0_and_variance_1() {
        // The first column is 1, 3; the second 0, 4; the third is constant.
        let x = [1.0, 0.0, 7.0, 3.0, 4.0, 7.0];
        assert_eq!(scaled(Scale::Standard, &x), [-1.0, -1.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(scaled(Scale::None, &x), x);
        let large = [1e8, 0.1, 0.0, 1e8 + 16.0, 0.1, 0.0];
        assert_eq!(scaled(Scale::Standard, &large), [-1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn new_nodes_are_scaled_as_known_ones_were() {
        let (mut known, mut new) = (karate(), karate());
        known.features = FeatureMatrix::from_rows(2, 3, vec![1.0, 0.0, 7.0, 3.0, 4.0, 7.0]);
        new.features = FeatureMatrix::from_rows(1, 3, vec![5.0, 2.0, 9.0]);
        Scale::Standard.apply(&mut new, Some(&known)).unwrap();
        assert_eq!(all(&new.features), [3.0, 0.0, 0.0]);
    }

    #[test]
    fn rows_sum_to_1() {
        let x = [1.0, 0.0, -3.0, 0.0, 0.0, 0.0];
        assert_eq!(scaled(Scale::Row, &x), [0.25, 0.0, -0.75, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn dense_features_are_scaled_as_sparse_ones_are() {
        let values: Vec<f32> = (0..34 * 3).map(|k| if k % 5 == 0 { 0.0 } else { (k as f32).sin() }).collect();
        for scale in [Scale::Row, Scale::Standard] {
            let mut data = karate();
            data.features = FeatureMatrix::Dense { shape: (34, 3), values: values.clone() };
            scale.apply(&mut data, None).unwrap();
            assert_eq!(all(&data.features), scaled(scale, &values));
        }
    }
}
