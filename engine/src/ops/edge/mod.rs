//! Functions on the edges of a graph, with gradients to receiver and sender: one file per op.
//!
//! Edge e = (i, j) is an entry of a [`Sparse`](crate::sparse::Sparse) structure: node i is the
//! receiver, node j the sender. Values on edges have one column for each entry, in the order of CSR; several heads are
//! several rows.
//!
//! To add an op write its file, with a handle to the structure among its fields, and add its name here.

mod attend;
mod bilinear_attention;
mod distance;
mod dot;
mod flux;
mod resolvent;
mod sine;
mod softmax;
mod spmm;

use crate::Shape;
use crate::sparse::Pattern;

pub use flux::Mean;
pub use resolvent::Resolvent;

/// Checks that the features of receivers and senders have one column for each node, and equally many rows.
fn check_ends(pattern: &Pattern, a: Shape, b: Shape) -> Result<(), String> {
    let s = pattern.shape();
    if a.cols != s.rows || b.cols != s.cols || a.rows != b.rows {
        return Err(format!("the graph is {s}: features of {} receivers and {} senders", s.rows, s.cols));
    }
    Ok(())
}

/// Checks that weights have one column for each entry, and that the number of heads divides `rows`.
fn check_weights(pattern: &Pattern, w: Shape, rows: usize) -> Result<(), String> {
    if w.cols != pattern.len() {
        return Err(format!("S has {} entries, with a column of weights for each", pattern.len()));
    }
    if w.rows == 0 || !rows.is_multiple_of(w.rows) {
        return Err("the number of heads divides the rows of x".into());
    }
    Ok(())
}
