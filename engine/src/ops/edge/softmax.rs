//! Softmax over the edges of each receiver, head by head: p_e = exp(s_e) / sum_e exp(s_e),
//! s_bar_e += p_e (p_bar_e - sum_e p_e p_bar_e).

use std::sync::Arc;

use super::check_weights;
use crate::sparse::segment_softmax::{softmax, softmax_vjp};
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var};

/// Input s.
struct Softmax {
    pattern: Arc<Pattern>,
}

impl<T: Real> Op<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax on edges"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        check_weights(&self.pattern, inputs[0], inputs[0].rows)?;
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (s, heads) = (x.get(0), x.get(0).shape.rows);
        self.pattern.for_rows(out, heads, |i, out| {
            let entries = self.pattern.row(i);
            softmax(&s.data[entries.start * heads..entries.end * heads], heads, out);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(s_bar) = x_bar.get(0) {
            let (p, heads) = (saved.out.data, saved.out.shape.rows);
            self.pattern.for_rows(s_bar, heads, |i, s_bar| {
                let entries = self.pattern.row(i);
                let range = entries.start * heads..entries.end * heads;
                softmax_vjp(&p[range.clone()], heads, &out_bar[range], s_bar);
            });
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// Softmax over the edges of each receiver, for each head: p_e = exp(s_e) / sum_e exp(s_e),
    /// s_bar_e += p_e (p_bar_e - sum_e p_e p_bar_e).
    pub fn edge_softmax(&mut self, graph: &Sparse, s: Var) -> Var {
        self.apply(Softmax { pattern: graph.pattern.clone() }, &[s])
    }
}
