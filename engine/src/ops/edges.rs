//! Functions on the edges of a graph, with gradients to both ends.
//!
//! Edge e = (i, j) is an entry of a sparse pattern: node i listens to node j. Values on edges have one
//! column for each entry, in the order of CSR; several heads are several rows.
//!
//! - dot: s_e = <q_i, k_j> (head by head).
//! - distance: s_e = |x_i - x_j|, or its square; the gradient of |.| at 0 is taken as 0.
//! - softmax: p_e = exp(s_e) / sum over the edges of the same row i.
//! - attend: y_i = sum_e softmax(s)_e x_j in one pass.

use std::sync::Arc;

use super::pattern::Pattern;
use super::softmax::{softmax, softmax_vjp};
use super::spmm::{AHEAD, LANES, Sparse, check_weights, dot, lane_sum, sampled_product};
use crate::simd::prefetch;
use crate::tape::{Attr, Bar, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, simd_fn};

/// s_e = <q_i, k_j>; attr: the number of heads.
pub(super) struct Dot(pub(super) Arc<Pattern>);
/// attr: 1 for the distance, 2 for its square.
pub(super) struct Distance(pub(super) Arc<Pattern>);
/// Softmax over the edges of each row.
pub(super) struct Softmax(pub(super) Arc<Pattern>);
/// Softmax and weighted sum.
pub(super) struct Attend(pub(super) Arc<Pattern>);

fn check_ends(pattern: &Pattern, a: Shape, b: Shape) -> Result<(), String> {
    let s = pattern.shape();
    if a.cols != s.rows || b.cols != s.cols || a.rows != b.rows {
        return Err(format!("the graph is {s}: features of {} listening and {} heard nodes", s.rows, s.cols));
    }
    Ok(())
}

impl<T: Real> Op<T> for Dot {
    fn name(&self) -> &'static str {
        "dot product on edges"
    }
    fn shape(&self, inputs: &[Shape], attr: Attr) -> Result<Shape, String> {
        check_ends(&self.0, inputs[0], inputs[1])?;
        let heads = attr[0] as usize;
        if heads == 0 || !inputs[0].rows.is_multiple_of(heads) {
            return Err(format!("{heads} heads do not divide the rows"));
        }
        Ok(Shape::new(heads, self.0.len()))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (q, k) = (x.get(0), x.get(1));
        out.fill(T::ZERO);
        sampled_product(&self.0, x.attr[0] as usize, q.data, k.data, q.shape.rows, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (q, k, heads) = (saved.x.get(0), saved.x.get(1), saved.out.shape.rows);
        if let Some(Bar { data, fresh }) = x_bar.first(0) {
            self.0.by_row.accumulate(out_bar, heads, k.data, q.shape.rows, fresh, data);
        }
        if let Some(Bar { data, fresh }) = x_bar.first(1) {
            self.0.by_col.accumulate(out_bar, heads, q.data, q.shape.rows, fresh, data);
        }
    }
}

simd_fn! {
    fn squared_distance<T: Real>(x: &[T], y: &[T]) -> T {
        let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let mut sum = [T::ZERO; LANES];
        for (x, y) in xs.iter().zip(ys) {
            for l in 0..LANES {
                let d = x[l] - y[l];
                sum[l] = d.mul_add(d, sum[l]);
            }
        }
        let mut rest = T::ZERO;
        for (x, y) in x_rest.iter().zip(y_rest) {
            rest = (*x - *y).mul_add(*x - *y, rest);
        }
        lane_sum(sum) + rest
    }
}

impl<T: Real> Op<T> for Distance {
    fn name(&self) -> &'static str {
        "distance on edges"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        check_ends(&self.0, inputs[0], inputs[1])?;
        Ok(Shape::new(1, self.0.len()))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (a, b, squared) = (x.get(0), x.get(1), x.attr[0] == 2.0);
        self.0.for_rows(out, 1, |i, out| {
            let (others, ahead) = (self.0.by_row.group(i).0, self.0.by_row.from(i));
            for (k, (other, s)) in others.iter().zip(out).enumerate() {
                if let Some(next) = ahead.get(k + AHEAD) {
                    prefetch(b.data, *next as usize * b.shape.rows, b.shape.rows);
                }
                let r2 = squared_distance(a.col(i), b.col(*other as usize));
                *s = if squared { r2 } else { r2.sqrt() };
            }
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (a, b, rows) = (saved.x.get(0), saved.x.get(1), saved.x.get(0).shape.rows);
        // ds/da = (a - b) times 2, or times 1 / s.
        for (bar, s) in out_bar.iter_mut().zip(saved.out.data) {
            *bar = if saved.x.attr[0] == 2.0 {
                T::of(2.0) * *bar
            } else if *s > T::ZERO {
                *bar / *s
            } else {
                T::ZERO
            };
        }
        let factors = &*out_bar;
        if let Some(Bar { data, fresh }) = x_bar.first(0) {
            self.0.by_row.for_groups(data, rows, |i, a_bar| {
                self.0.by_row.accumulate_differences(i, factors, a.col(i), b.data, fresh, a_bar);
            });
        }
        if let Some(Bar { data, fresh }) = x_bar.first(1) {
            self.0.by_col.for_groups(data, rows, |j, b_bar| {
                self.0.by_col.accumulate_differences(j, factors, b.col(j), a.data, fresh, b_bar);
            });
        }
    }
}

impl<T: Real> Op<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax on edges"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        check_weights(&self.0, inputs[0], inputs[0].rows)?;
        Ok(inputs[0])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (s, heads) = (x.get(0), x.get(0).shape.rows);
        self.0.for_rows(out, heads, |i, out| {
            let entries = self.0.row(i);
            softmax(&s.data[entries.start * heads..entries.end * heads], heads, out);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        if let Some(s_bar) = x_bar.get(0) {
            let (p, heads) = (saved.out.data, saved.out.shape.rows);
            self.0.for_rows(s_bar, heads, |i, s_bar| {
                let entries = self.0.row(i);
                let range = entries.start * heads..entries.end * heads;
                softmax_vjp(&p[range.clone()], heads, &out_bar[range], s_bar);
            });
        }
    }
}

impl<T: Real> Op<T> for Attend {
    fn name(&self) -> &'static str {
        "attention on edges"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        check_weights(&self.0, inputs[0], inputs[1].rows)?;
        if inputs[1].cols != self.0.shape().cols {
            return Err(format!("the graph is {}, x has another number of columns", self.0.shape()));
        }
        Ok(Shape::new(inputs[1].rows, self.0.shape().rows))
    }
    /// The softmax.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        inputs[0].len()
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (s, x, heads) = (x.get(0), x.get(1), x.get(0).shape.rows);
        self.0.for_rows(aux, heads, |i, p| {
            let entries = self.0.row(i);
            softmax(&s.data[entries.start * heads..entries.end * heads], heads, p);
        });
        self.0.by_row.accumulate(aux, heads, x.data, x.shape.rows, true, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (x, heads) = (saved.x.get(1), saved.x.get(0).shape.rows);
        let (rows, p, y) = (x.shape.rows, saved.aux, saved.out);
        let out_bar = &*out_bar;
        if let Some(s_bar) = x_bar.get(0) {
            // sum_e p_e p_bar_e = <y_bar_i, y_i>, so that no second pass over the edges is needed.
            let block = rows / heads;
            self.0.for_rows(s_bar, heads, |i, s_bar| {
                let bar = &out_bar[i * rows..(i + 1) * rows];
                let first = self.0.row(i).start * heads;
                for h in 0..if block == 0 { 0 } else { heads } {
                    let part = h * block..(h + 1) * block;
                    let mean = dot(&bar[part.clone()], &y.col(i)[part.clone()]);
                    for (k, other) in self.0.by_row.group(i).0.iter().enumerate() {
                        let p_bar = dot(&bar[part.clone()], &x.col(*other as usize)[part.clone()]);
                        let s = &mut s_bar[k * heads + h];
                        *s = p[first + k * heads + h].mul_add(p_bar - mean, *s);
                    }
                }
            });
        }
        if let Some(Bar { data, fresh }) = x_bar.first(1) {
            self.0.by_col.accumulate(p, heads, out_bar, rows, fresh, data);
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// s_e = <q_i, k_j> for every edge, in `heads` equal blocks of rows (heads x nnz).
    pub fn edge_dot(&mut self, graph: &Sparse, q: Var, k: Var, heads: usize) -> Var {
        self.apply_with(graph.dot.clone(), &[q, k], [heads as f64, 0.0])
    }
    /// |a_i - b_j| for every edge (1 x nnz).
    pub fn edge_distance(&mut self, graph: &Sparse, a: Var, b: Var) -> Var {
        self.apply_with(graph.distance.clone(), &[a, b], [1.0, 0.0])
    }
    /// |a_i - b_j|^2 for every edge (1 x nnz).
    pub fn edge_squared_distance(&mut self, graph: &Sparse, a: Var, b: Var) -> Var {
        self.apply_with(graph.distance.clone(), &[a, b], [2.0, 0.0])
    }
    /// Softmax over the edges of each listening node.
    pub fn edge_softmax(&mut self, graph: &Sparse, s: Var) -> Var {
        self.apply(graph.softmax.clone(), &[s])
    }
    /// y_i = sum_j softmax_j(s_ij) x_j: edge softmax and weighted sum in one pass.
    pub fn attend(&mut self, graph: &Sparse, s: Var, x: Var) -> Var {
        self.apply(graph.attend.clone(), &[s, x])
    }
    /// y_i = sum_e w_e sin(x_j - x_i), entry by entry, through sin(a - b) = sin a cos b - cos a sin b:
    /// one sine for each node instead of one for each edge.
    pub fn edge_sine(&mut self, graph: &Sparse, w: Var, x: Var) -> Var {
        let (sin, cos) = (self.sin(x), self.cos(x));
        let (from_sin, from_cos) = (self.sparse_columns(graph, w, sin), self.sparse_columns(graph, w, cos));
        let (a, b) = (self.mul(cos, from_sin), self.mul(sin, from_cos));
        self.sub(a, b)
    }
}
