//! Sparse times dense, with gradients to the sparse values and to the dense matrix.
//!
//! S is an m x n sparse matrix with fixed structure; its values w are an input (1 x nnz, in the order
//! of CSR). In the convention that columns are things, S acts on things from the right:
//! Y = X S^T, y_i = sum_j S_ij x_j (each thing i gathers from things j), X of size d x n;
//! X_bar += Y_bar S,  w_bar_ij += <y_bar_i, x_j>. And on features from the left: Y = S X, with
//! X_bar += S^T Y_bar, w_bar_ij += <row i of Y_bar, row j of X>.

use std::sync::Arc;

use sprs::CsMat;

use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Graph, Op, Real, Shape, Var, par, simd_fn};

/// The structure of a sparse matrix in both orders.
#[derive(Debug)]
pub struct Pattern {
    shape: Shape,
    by_row: Order,
    by_col: Order,
}

/// Entries grouped by row (or column): for each, where it points and which value is its own.
#[derive(Debug)]
struct Order {
    starts: Vec<usize>,
    others: Vec<usize>,
    values: Vec<usize>,
}

impl Pattern {
    /// The structure of `matrix`, and its values in the order in which they are an op's input.
    pub fn new<T: Real>(matrix: &CsMat<T>) -> (Arc<Self>, Vec<T>) {
        let csr = matrix.to_csr();
        let numbered = CsMat::new(
            csr.shape(),
            csr.indptr().raw_storage().to_vec(),
            csr.indices().to_vec(),
            (0..csr.nnz()).collect::<Vec<usize>>(),
        );
        let csc = numbered.to_csc();
        let order = |m: &CsMat<usize>| Order {
            starts: m.indptr().raw_storage().to_vec(),
            others: m.indices().to_vec(),
            values: m.data().to_vec(),
        };
        let shape = Shape::new(csr.rows(), csr.cols());
        (Arc::new(Self { shape, by_row: order(&numbered), by_col: order(&csc) }), csr.data().to_vec())
    }

    /// Rows and columns.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// Number of stored entries.
    pub fn len(&self) -> usize {
        self.by_row.others.len()
    }
    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Order {
    /// Columns of `out` += sums of scaled columns of `x`: out_g += sum_e w_e x_{other(e)}.
    fn accumulate<T: Real>(&self, w: &[T], x: &[T], rows: usize, out: &mut [T]) {
        if rows == 0 {
            return;
        }
        let columns = (par::CHUNK / 4 / rows).max(1);
        par::for_chunks(out, columns * rows, |chunk, out| {
            for (g, y) in out.chunks_exact_mut(rows).enumerate() {
                let g = chunk * columns + g;
                let entries = self.starts[g]..self.starts[g + 1];
                gather_scaled(&self.others[entries.clone()], &self.values[entries], w, x, y);
            }
        });
    }

    /// Each row of each column: out[i] += sum_e w_e x[other(e)], for matrices of features.
    fn accumulate_within<T: Real>(&self, w: &[T], x: &[T], out: &mut [T]) {
        for (g, y) in out.iter_mut().enumerate() {
            for e in self.starts[g]..self.starts[g + 1] {
                *y = w[self.values[e]].mul_add(x[self.others[e]], *y);
            }
        }
    }
}

simd_fn! {
    fn gather_scaled<T: Real>(others: &[usize], values: &[usize], w: &[T], x: &[T], y: &mut [T]) {
        let rows = y.len();
        for (other, value) in others.iter().zip(values) {
            let (w, x) = (w[*value], &x[other * rows..(other + 1) * rows]);
            for (x, y) in x.iter().zip(y.iter_mut()) {
                *y = w.mul_add(*x, *y);
            }
        }
    }
}

/// Y = X S^T.
struct Things(Arc<Pattern>);
/// Y = S X.
struct Features(Arc<Pattern>);

fn check(pattern: &Pattern, w: Shape, size: usize, what: &str) -> Result<(), String> {
    if w.len() != pattern.len() {
        return Err(format!("S has {} values", pattern.len()));
    }
    if size != pattern.shape.cols {
        return Err(format!("S is {}, X has another number of {what}", pattern.shape));
    }
    Ok(())
}

impl<T: Real> Op<T> for Things {
    fn name(&self) -> &'static str {
        "sparse product over columns"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        check(&self.0, inputs[0], inputs[1].cols, "columns")?;
        Ok(Shape::new(inputs[1].rows, self.0.shape.rows))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        out.fill(T::ZERO);
        self.0.by_row.accumulate(x.get(0).data, x.get(1).data, x.get(1).shape.rows, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let rows = x.shape.rows;
        if let Some(w_bar) = x_bar.get(0) {
            let order = &self.0.by_row;
            for i in 0..self.0.shape.rows {
                let y_bar = &out_bar[i * rows..(i + 1) * rows];
                for e in order.starts[i]..order.starts[i + 1] {
                    w_bar[order.values[e]] +=
                        y_bar.iter().zip(x.col(order.others[e])).map(|(a, b)| *a * *b).sum::<T>();
                }
            }
        }
        if let Some(x_bar) = x_bar.get(1) {
            self.0.by_col.accumulate(w.data, out_bar, rows, x_bar);
        }
    }
}

impl<T: Real> Op<T> for Features {
    fn name(&self) -> &'static str {
        "sparse product over rows"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        check(&self.0, inputs[0], inputs[1].rows, "rows")?;
        Ok(Shape::new(self.0.shape.rows, inputs[1].cols))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, m) = (x.get(0).data, x.get(1), self.0.shape.rows);
        out.fill(T::ZERO);
        par::for_chunks(out, m.max(1), |j, out| self.0.by_row.accumulate_within(w, x.col(j), out));
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let (m, n) = (self.0.shape.rows, x.shape.rows);
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            let order = &self.0.by_row;
            for j in 0..x.shape.cols {
                for i in 0..m {
                    for e in order.starts[i]..order.starts[i + 1] {
                        w_bar[order.values[e]] += out_bar[j * m + i] * x.col(j)[order.others[e]];
                    }
                }
            }
        }
        if let Some(x_bar) = x_bar.get(1) {
            let by_col = &self.0.by_col;
            par::for_chunks(x_bar, n.max(1), |j, x| {
                by_col.accumulate_within(w.data, &out_bar[j * m..(j + 1) * m], x)
            });
        }
    }
}

/// A sparse structure ready for both products; make it once, outside the training loop.
#[derive(Clone)]
pub struct Sparse {
    things: Arc<Things>,
    features: Arc<Features>,
}

impl Sparse {
    /// The structure of `matrix`, and its values as an op's input (1 x nnz).
    pub fn new<T: Real>(matrix: &CsMat<T>) -> (Self, Vec<T>) {
        let (pattern, values) = Pattern::new(matrix);
        (Self { things: Arc::new(Things(pattern.clone())), features: Arc::new(Features(pattern)) }, values)
    }
}

impl<T: Real> Graph<'_, T> {
    /// X S^T: column i of the result is sum_j S_ij x_j. `values` are those of S (1 x nnz).
    pub fn sparse_columns(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.things.clone(), &[values, x])
    }
    /// S X.
    pub fn sparse_rows(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.features.clone(), &[values, x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn products_and_gradients_worked_out_by_hand() {
        // S = [0 2; 3 0], stored by row: 2, 3.
        let s = CsMat::new((2, 2), vec![0, 1, 2], vec![1, 0], vec![2.0, 3.0]);
        let (sparse, values) = Sparse::new(&s);
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let w = g.variable(1, 2, &values);
        let x = g.variable(1, 2, &[10.0, 20.0]);
        let y = g.sparse_columns(&sparse, w, x);
        assert_eq!(g.value(y).data, [40.0, 30.0]);
        g.backward_from(y, &[1.0, 1.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 10.0]);
        assert_eq!(g.grad(x).data, [3.0, 2.0]);
        let x = g.variable(2, 1, &[10.0, 20.0]);
        let y = g.sparse_rows(&sparse, w, x);
        assert_eq!(g.value(y).data, [40.0, 30.0]);
        g.backward_from(y, &[1.0, 0.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 0.0]);
        assert_eq!(g.grad(x).data, [0.0, 2.0]);
    }
}
