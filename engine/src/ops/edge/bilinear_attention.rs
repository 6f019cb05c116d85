//! Attention weights of a bilinear form on the edges of a graph, as one op.
//!
//! A task computes q and the weights of some nodes, and in the reverse pass the cotangents of M, of c and of its
//! own nodes, so that intermediate values stay in its core's cache. Only the sum over the edges in which a node is
//! the sender waits for all tasks. Separate ops need three rounds of tasks forward and five backward.

use std::sync::Arc;

use faer::linalg::matmul::matmul;
use faer::{Accum, Par};

use crate::aligned::{padded, with_scratch};
use crate::matrix::faer_mut;
use crate::ops::linear::{add_bias, add_columns};
use crate::sparse::kernels::add_dots;
use crate::sparse::segment_softmax::{softmax_one, softmax_one_back};
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangent, Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, View, parallel};

/// Inputs M, c, x.
struct BilinearAttention {
    pattern: Arc<Pattern>,
}

/// The most tasks that sum cotangents of M and c: each has room for them.
const SUMS: usize = 128;

const M: usize = 0;
const C: usize = 1;
const X: usize = 2;

impl<T: Real> Op<T> for BilinearAttention {
    fn name(&self) -> &'static str {
        "attention weights of a bilinear form"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [m, c, x] = inputs else { return Err("wants M, c and x".into()) };
        let (s, d) = (self.pattern.shape(), x.rows);
        if s != Shape::new(x.cols, x.cols) {
            return Err(format!("the graph is {s}: x has a column for each node"));
        }
        if *m != Shape::new(d, d) || *c != Shape::new(d, 1) {
            return Err("M is square and as high as x and c are".into());
        }
        Ok(Shape::new(1, self.pattern.len()))
    }

    /// q.
    fn aux_len(&self, inputs: &[Shape], _: Shape) -> usize {
        inputs[X].len()
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], aux: &mut [T]) {
        let (m, c, x) = (x.get(M), x.get(C).data, x.get(X));
        let (d, order) = (x.shape.rows, &self.pattern.by_row);
        let at = |[nodes, entries, _]: [usize; 3]| [nodes * d, entries];
        order.for_tasks([aux, out], at, |_, nodes, [q, mut p]| {
            if d > 0 {
                let shape = Shape::new(d, nodes.len());
                let own = part(x, &nodes).faer();
                matmul(faer_mut(q, shape), Accum::Replace, m.faer(), own, T::ONE, Par::Seq);
                add_bias(c, q);
            }
            for (k, i) in nodes.enumerate() {
                let (own, rest) = std::mem::take(&mut p).split_at_mut(self.pattern.row(i).len());
                own.fill(T::ZERO);
                add_dots(&q[k * d..(k + 1) * d], order.group(i).0, order.from(i), x.data, own);
                softmax_one(own);
                p = rest;
            }
        });
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], bars: &mut Cotangents<T>) {
        let (m, x) = (saved.x.get(M), saved.x.get(X));
        let (d, n, order) = (x.shape.rows, x.shape.cols, &self.pattern.by_row);
        if d == 0 {
            return;
        }
        let wants_sums = bars.wants(M) || bars.wants(C);
        let sums_len = if wants_sums { padded(d * (d + 1)) } else { 0 };
        // Cotangents of the tasks' q, and their sums for M and c.
        let tasks = order.tasks().min(SUMS);
        with_scratch(padded(n * d) + tasks * sums_len, |space| {
            let (q_bar, sums) = space.split_at_mut(padded(n * d));
            let q_bar = &mut q_bar[..n * d];
            let (x_bar, overwrite, stride) = match bars.get_uninit(X) {
                Some(Cotangent { data, overwrite }) => (data, overwrite, d),
                None => (&mut [][..], false, 0),
            };
            let accumulate = if overwrite { Accum::Replace } else { Accum::Add };
            let at =
                |[nodes, entries, tasks]: [usize; 3]| [entries, nodes * d, nodes * stride, tasks * sums_len];
            let arrays = [&mut *out_bar, q_bar, &mut *x_bar, &mut *sums];
            order.for_some_tasks(tasks, arrays, at, |_, nodes, [bar, q_bar, x_bar, sums]| {
                let first = self.pattern.row(nodes.start).start;
                for (i, q_bar) in nodes.clone().zip(q_bar.chunks_exact_mut(d)) {
                    let entries = self.pattern.row(i);
                    softmax_one_back(
                        &saved.out.data[entries.clone()],
                        &mut bar[entries.start - first..entries.end - first],
                    );
                    order.weigh_own(i, &bar[entries.start - first..], x.data, q_bar);
                }
                let shape = Shape::new(d, nodes.len());
                let g = View { data: q_bar, shape }.faer();
                if stride > 0 {
                    let x_bar = faer_mut(x_bar, shape);
                    matmul(x_bar, accumulate, m.faer().transpose(), g, T::ONE, Par::Seq);
                }
                if !sums.is_empty() {
                    let (of_m, of_c) = sums[..d * (d + 1)].split_at_mut(d * d);
                    let own = part(x, &nodes).faer();
                    matmul(faer_mut(of_m, m.shape), Accum::Replace, g, own.transpose(), T::ONE, Par::Seq);
                    of_c.fill(T::ZERO);
                    add_columns(q_bar, of_c);
                }
            });
            if stride > 0 {
                let s_bar = &*out_bar;
                self.pattern.by_col.accumulate(s_bar, 1, saved.aux, d, false, x_bar);
            }
            for (k, range) in [(M, 0..d * d), (C, d * d..d * (d + 1))] {
                if let Some(bar) = bars.get(k) {
                    parallel::add_all(sums.chunks_exact(sums_len).map(|sum| &sum[range.clone()]), bar);
                }
            }
        });
    }
}

/// The columns of some nodes.
fn part<'a, T: Real>(x: View<'a, T>, nodes: &std::ops::Range<usize>) -> View<'a, T> {
    let d = x.shape.rows;
    View { data: &x.data[nodes.start * d..nodes.end * d], shape: Shape::new(d, nodes.len()) }
}

impl<T: Real> Recording<'_, T> {
    /// Attention weights of a bilinear form, for the edges e = (i, j) of each receiver i (1 x nnz):
    ///
    /// p_e = softmax_e(s_e),  s_e = q_i . x_j,  q_i = M x_i + c.
    ///
    /// With s_bar_e = p_e (p_bar_e - sum over the edges of i of p p_bar) and q_bar_i = sum_e s_bar_e x_j:
    ///
    /// M_bar += sum_i q_bar_i x_i^T,  c_bar += sum_i q_bar_i,  x_bar_i += M^T q_bar_i,
    /// x_bar_j += sum_e s_bar_e q_i.
    ///
    /// The graph is square. Flops: 2 d^2 for a node and 2 d for an edge forward, twice that backward.
    pub fn edge_attention(&mut self, graph: &Sparse, m: Var, c: Var, x: Var) -> Var {
        self.apply(BilinearAttention { pattern: graph.pattern.clone() }, &[m, c, x])
    }
}
