//! Sparse matrices as SciPy has them; in an archive as NAME_data, NAME_indices, NAME_indptr, NAME_shape.

use models::gnn::data::features::Csr;
use sprs::TriMatI;

use super::npz::Npz;
use crate::run::error::CliError;

/// Reads one of at most `widest` columns from an archive.
pub(super) fn read(npz: &Npz, name: &str, widest: usize) -> Result<Csr, CliError> {
    let key = |part: &str| format!("{name}_{part}");
    let (_, shape) = npz.integers(&key("shape"))?;
    let sizes: Option<Vec<usize>> = shape.iter().map(|s| usize::try_from(*s).ok()).collect();
    let Some(&[rows, cols]) = sizes.as_deref() else {
        return Err(npz.wrong(&key("shape"), format!("is {shape:?}; two sizes are wanted")));
    };
    if cols > widest {
        return Err(npz.wrong(&key("shape"), format!("is {shape:?}; at most {widest} columns are possible")));
    }
    let (_, values) = npz.floats(&key("data"))?;
    let (_, starts) = npz.indices(&key("indptr"), values.len() + 1)?;
    let starts = starts.into_iter().map(|start| start as usize).collect();
    let (_, indices) = npz.indices(&key("indices"), cols)?;
    matrix((rows, cols), starts, indices, values)
        .map_err(|e| npz.wrong(&key("indptr"), format!("and its companions are no CSR matrix: {e}")))
}

/// A matrix of these parts; the entries of a row may be in any order, and those of one place are added up, as SciPy does.
pub(super) fn matrix(
    (rows, cols): (usize, usize),
    starts: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
) -> Result<Csr, String> {
    // sprs takes this for granted where it sorts.
    let (count, ends) = (values.len(), (starts.first(), starts.last()));
    if starts.len() != rows.saturating_add(1) || ends != (Some(&0), Some(&count)) || !starts.is_sorted() {
        return Err(format!("{rows} rows are wanted whose starts rise from 0 to {count}"));
    }
    if indices.len() != count {
        return Err(format!("{count} entries have {} columns", indices.len()));
    }
    if let Some(j) = indices.iter().find(|j| **j as usize >= cols) {
        return Err(format!("an entry is in column {j} of {cols}"));
    }
    match Csr::new_from_unsorted((rows, cols), starts, indices, values) {
        Ok(matrix) => Ok(matrix),
        Err((starts, indices, values, _)) => {
            let own = |i: usize| std::iter::repeat_n(i as u32, starts[i + 1] - starts[i]);
            let row = (0..rows).flat_map(own).collect();
            Ok(TriMatI::from_triplets((rows, cols), row, indices, values).to_csr())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_place_are_added_up() {
        let x = matrix((2, 3), vec![0, 3, 4], vec![2, 0, 2, 1], vec![1.0, 2.0, 4.0, 8.0]).unwrap();
        let entries: Vec<_> = x.iter().map(|(v, at)| (at, *v)).collect();
        assert_eq!(entries, [((0, 0), 2.0), ((0, 2), 5.0), ((1, 1), 8.0)]);
        assert!(matrix((1, 3), vec![0, 1], vec![3], vec![1.0]).unwrap_err().contains("column 3 of 3"));
        assert!(matrix((1, 3), vec![0, 2], vec![1], vec![1.0, 1.0]).is_err());
    }
}
