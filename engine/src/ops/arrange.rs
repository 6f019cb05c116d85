//! Rearrangements: concatenation, slices, transpose, reshape. The vjp is the inverse rearrangement.

use std::ops::Range;

use crate::simd::add;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// The rows of all inputs, for the same columns.
struct ConcatRows;
/// The columns of all inputs, with the same rows.
struct ConcatCols;
/// Rows [start, end).
struct SliceRows(Range<usize>);
/// Columns [start, end).
struct SliceCols(Range<usize>);
/// y_ij = x_ji.
struct Transpose;
/// The same entries in the same order, with `rows` rows.
struct Reshape(Shape);

impl<T: Real> Op<T> for ConcatRows {
    fn name(&self) -> &'static str {
        "concat_rows"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let first = inputs.first().ok_or("wants at least one input")?;
        let same = inputs.iter().all(|s| s.cols == first.cols);
        let rows = inputs.iter().map(|s| s.rows).sum();
        same.then(|| Shape::new(rows, first.cols))
            .ok_or_else(|| "all inputs have the same number of columns".into())
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let rows: usize = (0..x.len()).map(|k| x.get(k).shape.rows).sum();
        let mut at = 0;
        for k in 0..x.len() {
            let x = x.get(k);
            for j in 0..x.shape.cols {
                out[j * rows + at..j * rows + at + x.shape.rows].copy_from_slice(x.col(j));
            }
            at += x.shape.rows;
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (rows, mut at) = (saved.out.shape.rows, 0);
        for k in 0..saved.x.len() {
            let shape = saved.x.get(k).shape;
            if let Some(x_bar) = x_bar.get(k) {
                for j in 0..shape.cols {
                    add(&out_bar[j * rows + at..], &mut x_bar[j * shape.rows..(j + 1) * shape.rows]);
                }
            }
            at += shape.rows;
        }
    }
}

impl<T: Real> Op<T> for ConcatCols {
    fn name(&self) -> &'static str {
        "concat_cols"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let first = inputs.first().ok_or("wants at least one input")?;
        let same = inputs.iter().all(|s| s.rows == first.rows);
        let cols = inputs.iter().map(|s| s.cols).sum();
        same.then(|| Shape::new(first.rows, cols))
            .ok_or_else(|| "all inputs have the same number of rows".into())
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let mut at = 0;
        for k in 0..x.len() {
            let data = x.get(k).data;
            out[at..at + data.len()].copy_from_slice(data);
            at += data.len();
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let mut at = 0;
        for k in 0..saved.x.len() {
            if let Some(x_bar) = x_bar.get(k) {
                add(&out_bar[at..], x_bar);
            }
            at += saved.x.get(k).shape.len();
        }
    }
}

/// The length of a range within `length`.
fn checked_len(range: &Range<usize>, length: usize, what: &str) -> Result<usize, String> {
    if range.start <= range.end && range.end <= length {
        Ok(range.len())
    } else {
        Err(format!("{what} {}..{} of {length}", range.start, range.end))
    }
}

impl<T: Real> Op<T> for SliceRows {
    fn name(&self) -> &'static str {
        "slice_rows"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::new(checked_len(&self.0, inputs[0].rows, "rows")?, inputs[0].cols))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let Range { start, end } = self.0;
        let x = x.get(0);
        (0..x.shape.cols).for_each(|j| {
            out[j * (end - start)..(j + 1) * (end - start)].copy_from_slice(&x.col(j)[start..end]);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Range { start, end } = self.0;
        let shape = saved.x.get(0).shape;
        let Some(x_bar) = x_bar.get(0) else { return };
        for j in 0..shape.cols {
            add(&out_bar[j * (end - start)..], &mut x_bar[j * shape.rows + start..j * shape.rows + end]);
        }
    }
}

impl<T: Real> Op<T> for SliceCols {
    fn name(&self) -> &'static str {
        "slice_cols"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::new(inputs[0].rows, checked_len(&self.0, inputs[0].cols, "columns")?))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let start = self.0.start * x.get(0).shape.rows;
        parallel::copy(&x.get(0).data[start..start + out.len()], out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let start = self.0.start * saved.out.shape.rows;
        if let Some(x_bar) = x_bar.get(0) {
            add(out_bar, &mut x_bar[start..start + out_bar.len()]);
        }
    }
}

impl<T: Real> Op<T> for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::new(inputs[0].cols, inputs[0].rows))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0);
        for j in 0..x.shape.cols {
            x.col(j).iter().enumerate().for_each(|(i, v)| out[i * x.shape.cols + j] = *v);
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let shape = saved.x.get(0).shape;
        if let Some(x_bar) = x_bar.get(0) {
            for (k, x_bar) in x_bar.iter_mut().enumerate() {
                *x_bar += out_bar[(k % shape.rows) * shape.cols + k / shape.rows];
            }
        }
    }
}

impl<T: Real> Op<T> for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        if self.0.len() == inputs[0].len() { Ok(self.0) } else { Err(format!("cannot become {}", self.0)) }
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        parallel::copy(x.get(0).data, out);
    }
    fn vjp(&self, _: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(x_bar) = x_bar.get(0) {
            add(out_bar, x_bar);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// Concatenation of rows: the rows of each input in order, for the same columns.
    pub fn concat_rows(&mut self, parts: &[Var]) -> Var {
        self.apply(ConcatRows, parts)
    }
    /// Concatenation of columns: the columns of each input in order.
    pub fn concat_cols(&mut self, parts: &[Var]) -> Var {
        self.apply(ConcatCols, parts)
    }
    /// The rows in a range.
    pub fn slice_rows(&mut self, x: Var, rows: Range<usize>) -> Var {
        self.apply(SliceRows(rows), &[x])
    }
    /// The columns in a range.
    pub fn slice_cols(&mut self, x: Var, cols: Range<usize>) -> Var {
        self.apply(SliceCols(cols), &[x])
    }
    /// The transpose, y_ij = x_ji.
    pub fn transpose(&mut self, x: Var) -> Var {
        self.apply(Transpose, &[x])
    }
    /// The same entries in column-major order as a `rows x cols` matrix.
    pub fn reshape(&mut self, x: Var, rows: usize, cols: usize) -> Var {
        self.apply(Reshape(Shape::new(rows, cols)), &[x])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    #[test]
    fn pieces_go_where_they_belong_and_gradients_come_back() {
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let a = g.variable(1, 2, &[1.0, 2.0]);
        let b = g.variable(2, 2, &[3.0, 4.0, 5.0, 6.0]);
        let y = g.concat_rows(&[a, b]);
        assert_eq!(g.value(y).data, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let z = g.slice_rows(y, 1..3);
        let z = g.transpose(z);
        assert_eq!(g.value(z).data, [3.0, 5.0, 4.0, 6.0]);
        g.backward_from(z, &[1.0, 2.0, 3.0, 4.0], &mut []);
        assert_eq!(g.grad(b).data, [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(g.grad(a).data, [0.0, 0.0]);
    }
}
