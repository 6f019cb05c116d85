//! What another program is given so that it does the same work, and what it must find.

use std::path::Path;

use engine::Params;

use crate::npy;

/// Steps of a training that are compared.
const STEPS: usize = 4;

/// The inputs of a workload, and results by which one sees that another program computes the same.
pub struct Given {
    /// Inputs.
    pub arrays: Vec<Array>,
    /// Results by name.
    pub wanted: Vec<(&'static str, Vec<f64>)>,
    /// How far another program's results may be from ours: see [`Given::difference`].
    pub tolerance: f64,
}

/// A named array in C order.
pub struct Array {
    /// Its name, and that of its file.
    pub name: String,
    /// Its axes.
    pub axes: Vec<usize>,
    /// Its entries.
    pub entries: Entries,
}

/// Entries of an array.
pub enum Entries {
    /// Numbers.
    Floats(Vec<f32>),
    /// Indices.
    Indices(Vec<u32>),
}

impl Array {
    /// Of numbers.
    pub fn floats(name: impl Into<String>, axes: &[usize], entries: &[f32]) -> Self {
        Self { name: name.into(), axes: axes.to_vec(), entries: Entries::Floats(entries.to_vec()) }
    }

    /// Of indices.
    pub fn indices(name: &str, entries: impl IntoIterator<Item = u32>) -> Self {
        let entries: Vec<u32> = entries.into_iter().collect();
        Self { name: name.into(), axes: vec![entries.len()], entries: Entries::Indices(entries) }
    }

    fn encode(&self) -> Vec<u8> {
        let axes: String = self.axes.iter().map(|n| format!("{n}, ")).collect();
        let (descr, entries): (_, Vec<u8>) = match &self.entries {
            Entries::Floats(v) => ("<f4", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Entries::Indices(v) => ("<i4", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        [npy::header(descr, axes.trim_end()), entries].concat()
    }
}

/// The parameters of a network as arrays. A matrix is given as (inputs, outputs), a vector with one axis.
pub(super) fn parameters(params: &Params<f32>) -> impl Iterator<Item = Array> {
    params.entries().map(|(name, id)| {
        let axes = [id.shape.cols, id.shape.rows];
        Array::floats(name, if id.shape.cols == 1 { &axes[1..] } else { &axes }, &params.values()[id.range()])
    })
}

/// Of a training: the losses of a few steps, in which the gradient and the optimiser are.
pub(super) fn of_training(arrays: Vec<Array>, mut training: impl FnMut() -> f64) -> Given {
    Given { arrays, wanted: vec![("loss", (0..STEPS).map(|_| training()).collect())], tolerance: 1e-3 }
}

impl Given {
    /// Writes the inputs into a folder, `NAME.npy` each.
    ///
    /// # Errors
    /// The folder does not take them.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        self.arrays
            .iter()
            .try_for_each(|array| std::fs::write(folder.join(format!("{}.npy", array.name)), array.encode()))
    }

    /// The largest difference of a result, relative to the result or, if that is more, to the middle magnitude of the
    /// results of its name.
    ///
    /// # Errors
    /// What is missing, in words that follow the name of the other program.
    pub fn difference(&self, found: &serde_json::Value) -> Result<f64, String> {
        let mut worst = 0.0_f64;
        for (name, wanted) in &self.wanted {
            let found = found[*name].as_array().ok_or_else(|| format!("gives no {name}"))?;
            if found.len() != wanted.len() {
                return Err(format!("gives {} of {name}, not {}", found.len(), wanted.len()));
            }
            let middle = super::levels::median(wanted.iter().map(|v| v.abs()).collect());
            for (found, wanted) in found.iter().zip(wanted) {
                let difference = (found.as_f64().unwrap_or(f64::NAN) - wanted).abs();
                let relative = difference / wanted.abs().max(middle).max(f64::MIN_POSITIVE);
                worst = if relative.is_nan() { f64::INFINITY } else { worst.max(relative) };
            }
        }
        Ok(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn results_are_compared_with_those_of_their_name() {
        let wanted = vec![("loss", vec![2.0, 4.0]), ("score", vec![100.0, 0.0, -300.0])];
        let given = Given { arrays: Vec::new(), wanted, tolerance: 1e-3 };
        let difference = |found| given.difference(&found);
        assert_eq!(difference(json!({"loss": [2.0, 4.0], "score": [100.0, 0.0, -300.0]})), Ok(0.0));
        // A result of 0 among hundreds may be off by a part of a hundred.
        assert_eq!(difference(json!({"loss": [2.0, 4.0], "score": [100.0, 1.0, -300.0]})), Ok(0.01));
        assert_eq!(difference(json!({"loss": [2.0, 5.0], "score": [100.0, 0.0, -300.0]})), Ok(0.25));
        assert_eq!(difference(json!({"loss": [2.0, null], "score": [1.0, 2.0, 3.0]})), Ok(f64::INFINITY));
        assert_eq!(difference(json!({"loss": [2.0]})), Err("gives 1 of loss, not 2".into()));
        assert_eq!(difference(json!([1])), Err("gives no loss".into()));
    }

    #[test]
    fn inputs_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let arrays =
            vec![Array::floats("x", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.5]), Array::indices("at", [7, 9])];
        Given { arrays, wanted: Vec::new(), tolerance: 0.0 }.write(folder.path()).unwrap();
        let read = |name: &str| npy::Array::parse(std::fs::read(folder.path().join(name)).unwrap()).unwrap();
        assert_eq!(read("x.npy").shape, [2, 3]);
        assert!(read("x.npy").floats().eq([0.0, 1.0, 2.0, 3.0, 4.0, 5.5]));
        assert_eq!(read("at.npy").shape, [2]);
        assert!(read("at.npy").integers().unwrap().eq([7, 9]));
    }
}
