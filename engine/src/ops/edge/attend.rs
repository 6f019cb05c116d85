//! y_i = sum_e softmax(s)_e x_j over the edges e = (i, j) of receiver i, in one pass; heads weigh equal blocks of
//! rows.

use std::sync::Arc;

use super::check_weights;
use crate::sparse::kernels::dot;
use crate::sparse::segment_softmax::softmax;
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var};

/// Inputs s, x.
struct Attend {
    pattern: Arc<Pattern>,
}

impl<T: Real> Op<T> for Attend {
    fn name(&self) -> &'static str {
        "attention on edges"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        check_weights(&self.pattern, inputs[0], inputs[1].rows)?;
        if inputs[1].cols != self.pattern.shape().cols {
            return Err(format!("the graph is {}, x has another number of columns", self.pattern.shape()));
        }
        Ok(Shape::new(inputs[1].rows, self.pattern.shape().rows))
    }
    /// The softmax.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        inputs[0].len()
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (s, x, heads) = (x.get(0), x.get(1), x.get(0).shape.rows);
        self.pattern.for_rows(aux, heads, |i, p| {
            let entries = self.pattern.row(i);
            softmax(&s.data[entries.start * heads..entries.end * heads], heads, p);
        });
        self.pattern.by_row.accumulate(aux, heads, x.data, x.shape.rows, true, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (x, heads) = (saved.x.get(1), saved.x.get(0).shape.rows);
        let (rows, p, y) = (x.shape.rows, saved.aux, saved.out);
        let out_bar = &*out_bar;
        if let Some(s_bar) = x_bar.get(0) {
            // sum_e p_e p_bar_e = <y_bar_i, y_i>: no second pass over the edges.
            let block = rows / heads;
            self.pattern.for_rows(s_bar, heads, |i, s_bar| {
                let bar = &out_bar[i * rows..(i + 1) * rows];
                let first = self.pattern.row(i).start * heads;
                for h in 0..if block == 0 { 0 } else { heads } {
                    let part = h * block..(h + 1) * block;
                    let mean = dot(&bar[part.clone()], &y.col(i)[part.clone()]);
                    for (k, other) in self.pattern.by_row.group(i).0.iter().enumerate() {
                        let p_bar = dot(&bar[part.clone()], &x.col(*other as usize)[part.clone()]);
                        let s = &mut s_bar[k * heads + h];
                        *s = p[first + k * heads + h].mul_add(p_bar - mean, *s);
                    }
                }
            });
        }
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(1) {
            self.pattern.by_col.accumulate(p, heads, out_bar, rows, overwrite, data);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// y_i = sum_e softmax(s)_e x_j over the edges e = (i, j) of receiver i: edge softmax and weighted sum in one
    /// pass. Heads apply to equal blocks of rows.
    pub fn attend(&mut self, graph: &Sparse, s: Var, x: Var) -> Var {
        self.apply(Attend { pattern: graph.pattern.clone() }, &[s, x])
    }
}
