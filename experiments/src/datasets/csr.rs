//! Sparse matrices as SciPy has them; in an archive as NAME_data, NAME_indices, NAME_indptr, NAME_shape.

use sprs::CsMat;

use super::npz::Npz;
use crate::run::error::CliError;

/// Reads one of at most `widest` columns from an archive.
pub(super) fn read(npz: &Npz, name: &str, widest: usize) -> Result<CsMat<f32>, CliError> {
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
    let wide = |(_, v): (_, Vec<u32>)| v.into_iter().map(|i| i as usize).collect::<Vec<usize>>();
    let starts = wide(npz.indices(&key("indptr"), values.len() + 1)?);
    let indices = wide(npz.indices(&key("indices"), cols)?);
    matrix((rows, cols), starts, indices, values)
        .map_err(|e| npz.wrong(&key("indptr"), format!("and its companions are no CSR matrix: {e}")))
}

/// A matrix of these parts; the entries of a row may be in any order.
pub(super) fn matrix(
    (rows, cols): (usize, usize),
    starts: Vec<usize>,
    indices: Vec<usize>,
    values: Vec<f32>,
) -> Result<CsMat<f32>, String> {
    // sprs takes this for granted where it sorts.
    let (count, ends) = (values.len(), (starts.first(), starts.last()));
    if starts.len() != rows.saturating_add(1) || ends != (Some(&0), Some(&count)) || !starts.is_sorted() {
        return Err(format!("{rows} rows are wanted whose starts rise from 0 to {count}"));
    }
    CsMat::new_from_unsorted((rows, cols), starts, indices, values).map_err(|(.., e)| e.to_string())
}
