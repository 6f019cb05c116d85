//! s_e = <q_i, k_j> for every edge e = (i, j), head by head: q_bar_i += sum_e s_bar_e k_j and
//! k_bar_j += sum_e s_bar_e q_i.

use std::sync::Arc;

use super::check_ends;
use crate::sparse::kernels::sampled_product;
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// Inputs q, k.
struct Dot {
    pattern: Arc<Pattern>,
    heads: usize,
}

impl<T: Real> Op<T> for Dot {
    fn name(&self) -> &'static str {
        "dot product on edges"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        check_ends(&self.pattern, inputs[0], inputs[1])?;
        let heads = self.heads;
        if heads == 0 || !inputs[0].rows.is_multiple_of(heads) {
            return Err(format!("{heads} heads do not divide the rows"));
        }
        Ok(Shape::new(heads, self.pattern.len()))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (q, k) = (x.get(0), x.get(1));
        parallel::fill(T::ZERO, out);
        sampled_product(&self.pattern, self.heads, q.data, k.data, q.shape.rows, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (q, k, heads) = (saved.x.get(0), saved.x.get(1), self.heads);
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(0) {
            self.pattern.by_row.accumulate(out_bar, heads, k.data, q.shape.rows, overwrite, data);
        }
        if let Some(Cotangent { data, overwrite }) = x_bar.get_uninit(1) {
            self.pattern.by_col.accumulate(out_bar, heads, q.data, q.shape.rows, overwrite, data);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// s_e = q_i . k_j for every edge e = (i, j), in `heads` equal blocks of rows (heads x nnz);
    /// q_bar_i += sum_e s_bar_e k_j, k_bar_j += sum_e s_bar_e q_i.
    pub fn edge_dot(&mut self, graph: &Sparse, q: Var, k: Var, heads: usize) -> Var {
        self.apply(Dot { pattern: graph.pattern.clone(), heads }, &[q, k])
    }
}
