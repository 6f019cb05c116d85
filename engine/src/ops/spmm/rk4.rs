//! A whole Runge-Kutta step of fourth order of dx/dt = L x, L = S - I, as one op.
//!
//! On a linear equation the step is a Taylor polynomial in Horner's form, z_0 = x,
//! z_k = x + c_k L z_{k-1}, c = h/4, h/3, h/2, h, y = z_4. With g_4 = y_bar, G_k = c_k g_k and
//! g_{k-1} = L^T G_k:  x_bar += g_4 + g_3 + g_2 + g_1 + g_0,  w_bar_ij += sum_k <G_k,i, (z_{k-1})_j>.
//!
//! Rows do not mix, so a panel of a few rows runs through all stages by itself: its states stay in a core's
//! own cache, where gathers are cheap, and cores never wait for each other. Only x is kept; the stages are
//! made again for the gradient, which costs less than writing them to memory and reading them back. Inside a
//! panel nodes stand in the order of their degrees, so that the processor foresees the end of every sum.

use std::sync::{Arc, OnceLock};

use super::things::check_weights;
use crate::ops::pattern::{Order, Pattern};
use crate::simd::add;
use crate::slab::{padded, with_spare};
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape, par, simd_fn};

/// Rows of a panel: two cache lines of f32 for each node.
pub(super) const PANEL: usize = 32;
/// Parts of an inner product over a panel.
const PARTS: usize = 8;

/// Inputs w, x; attr: h.
pub(in crate::ops) struct Rk4 {
    pattern: Arc<Pattern>,
    sorted: OnceLock<Sorted>,
}

/// The graph with its nodes in the order of their degrees.
struct Sorted {
    /// The node at each place.
    nodes: Vec<u32>,
    /// The place of each node.
    places: Vec<u32>,
    by_row: Order,
    by_col: Order,
}

impl Sorted {
    fn new(pattern: &Pattern) -> Self {
        let mut nodes: Vec<u32> = (0..pattern.shape().rows as u32).collect();
        nodes.sort_by_key(|i| pattern.row(*i as usize).len());
        let mut places = vec![0; nodes.len()];
        nodes.iter().zip(0..).for_each(|(i, place)| places[*i as usize] = place);
        let by_row = pattern.by_row.renamed(&nodes, &places);
        let by_col = pattern.by_col.renamed(&nodes, &places);
        Self { nodes, places, by_row, by_col }
    }
}

impl Rk4 {
    /// On a square pattern.
    pub(super) fn new(pattern: Arc<Pattern>) -> Self {
        Self { pattern, sorted: OnceLock::new() }
    }

    fn sorted(&self) -> &Sorted {
        self.sorted.get_or_init(|| Sorted::new(&self.pattern))
    }

    /// c_1 to c_4.
    fn factors<T: Real>(attr: Attr) -> [T; 4] {
        [4.0, 3.0, 2.0, 1.0].map(|k| T::of(attr[0] / k))
    }
}

/// The panel as one array for each node.
fn by_node<T>(panel: &mut [T]) -> &mut [[T; PANEL]] {
    panel.as_chunks_mut().0
}

/// Rows from `first` on of the columns `nodes` of a matrix of `rows` rows, zeros below its last.
fn pack<T: Real>(nodes: &[u32], x: &[T], rows: usize, first: usize, panel: &mut [[T; PANEL]]) {
    let len = PANEL.min(rows - first);
    for (node, p) in nodes.iter().zip(panel) {
        let at = *node as usize * rows + first;
        if len == PANEL {
            p.copy_from_slice(&x[at..at + PANEL]);
        } else {
            p[..len].copy_from_slice(&x[at..at + len]);
            p[len..].fill(T::ZERO);
        }
    }
}

/// Runs `f(a part of a column of out, the same part in its panel)` over all columns of `out`; panels begin
/// `stride` numbers after each other, and `places` says where a node stands in them.
fn unpack<T: Real>(
    (panels, stride): (&[T], usize),
    places: &[u32],
    rows: usize,
    out: &mut [T],
    f: impl Fn(&mut [T], &[T]) + Sync,
) {
    let columns = (par::CHUNK / rows).max(1);
    par::for_chunks(out, columns * rows, |c, out| {
        for (place, out) in places[c * columns..].iter().zip(out.chunks_exact_mut(rows)) {
            for (p, out) in out.chunks_mut(PANEL).enumerate() {
                let at = p * stride + *place as usize * PANEL;
                f(out, &panels[at..at + out.len()]);
            }
        }
    });
}

simd_fn! {
    /// y = x + c (S - I) z.
    fn stage<T: Real>(order: &Order, w: &[T], c: T, z: &[[T; PANEL]], x: &[[T; PANEL]], y: &mut [[T; PANEL]]) {
        for (i, y) in y.iter_mut().enumerate() {
            let entries = order.entries(i);
            let mut sum = [T::ZERO; PANEL];
            for (w, j) in w[entries].iter().zip(order.group(i).0) {
                let z = &z[*j as usize];
                for r in 0..PANEL {
                    sum[r] = w.mul_add(z[r], sum[r]);
                }
            }
            for r in 0..PANEL {
                y[r] = c.mul_add(sum[r] - z[i][r], x[i][r]);
            }
        }
    }

    /// g = (S - I)^T G, added to x_bar; `next` = c g. w is in the order of columns.
    fn reverse_stage<T: Real>(
        order: &Order, w: &[T], c: T, g: &[[T; PANEL]], next: &mut [[T; PANEL]], x_bar: &mut [[T; PANEL]],
    ) {
        for (j, (next, x_bar)) in next.iter_mut().zip(x_bar).enumerate() {
            let entries = order.entries(j);
            let mut sum = [T::ZERO; PANEL];
            for (w, i) in w[entries].iter().zip(order.group(j).0) {
                let g = &g[*i as usize];
                for r in 0..PANEL {
                    sum[r] = w.mul_add(g[r], sum[r]);
                }
            }
            for r in 0..PANEL {
                let own = sum[r] - g[j][r];
                x_bar[r] += own;
                next[r] = c * own;
            }
        }
    }

    /// `reverse_stage`, and on the way w_bar_ij += <g_i, z_j>: what the sum reads serves the inner product too.
    /// w_bar is in the order of columns, each entry in `PARTS` parts that are added up in the end.
    fn reverse_stage_with_dots<T: Real>(
        order: &Order, w: &[T], c: T, g: &[[T; PANEL]], z: &[[T; PANEL]],
        next: &mut [[T; PANEL]], x_bar: &mut [[T; PANEL]], w_bar: &mut [[T; PARTS]],
    ) {
        for (j, (next, x_bar)) in next.iter_mut().zip(x_bar).enumerate() {
            let entries = order.entries(j);
            let mut sum = [T::ZERO; PANEL];
            let own = z[j];
            for ((w, w_bar), i) in w[entries.clone()].iter().zip(&mut w_bar[entries]).zip(order.group(j).0) {
                let g = &g[*i as usize];
                for r in 0..PANEL {
                    sum[r] = w.mul_add(g[r], sum[r]);
                }
                for first in (0..PANEL).step_by(PARTS) {
                    for l in 0..PARTS {
                        w_bar[l] = g[first + l].mul_add(own[first + l], w_bar[l]);
                    }
                }
            }
            for r in 0..PANEL {
                let own = sum[r] - g[j][r];
                x_bar[r] += own;
                next[r] = c * own;
            }
        }
    }

    /// The sum of each entry's parts, halves onto halves, at the entry's number in the graph.
    fn sums<T: Real>(order: &Order, parts: &[[T; PARTS]], sums: &mut [T]) {
        for (p, number) in parts.iter().zip(order.numbers()) {
            sums[*number as usize] = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
        }
    }

    fn scaled<T: Real>(c: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = c * *x;
        }
    }
}

impl<T: Real> Op<T> for Rk4 {
    fn name(&self) -> &'static str {
        "Runge-Kutta step of diffusion"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        check_weights(&self.pattern, inputs[0], 1)?;
        if s != Shape::new(x.cols, x.cols) || inputs[0].rows != 1 {
            return Err(format!("S is {s}: x has a column for each node, and each entry one weight"));
        }
        Ok(x)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, c) = (x.get(0).data, x.get(1), Self::factors::<T>(x.attr));
        let (rows, size) = (x.shape.rows, x.shape.cols * PANEL);
        if out.is_empty() {
            return;
        }
        let Sorted { nodes, places, by_row, .. } = self.sorted();
        let nnz = w.len();
        let stride = 3 * size + padded(nnz);
        with_spare(rows.div_ceil(PANEL) * stride, |space| {
            par::for_chunks(space, stride, |p, panel| {
                let (states, w_sorted) = panel.split_at_mut(3 * size);
                let mut parts = states.chunks_exact_mut(size).map(by_node);
                let [even, start, odd] = std::array::from_fn(|_| parts.next().unwrap_or_default());
                // Every panel sorts the weights for itself: it is soon done, and a round of tasks for all is not.
                by_row.sorted(w, &mut w_sorted[..nnz]);
                let w = &w_sorted[..nnz];
                pack(nodes, x.data, rows, p * PANEL, start);
                stage(by_row, w, c[0], start, start, odd);
                stage(by_row, w, c[1], odd, start, even);
                stage(by_row, w, c[2], even, start, odd);
                stage(by_row, w, c[3], odd, start, even);
            });
            unpack((space, stride), places, rows, out, <[T]>::copy_from_slice);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x, c) = (saved.x.get(0).data, saved.x.get(1), Self::factors::<T>(saved.x.attr));
        let (rows, size, nnz) = (x.shape.rows, x.shape.cols * PANEL, w.len());
        let panels = rows.div_ceil(PANEL);
        if out_bar.is_empty() {
            return;
        }
        let Sorted { nodes, places, by_row, by_col } = self.sorted();
        let wants_w = x_bar.wants(0);
        // Weights in the order of columns; with their cotangents: the order of rows, sums and parts of sums too.
        let room = padded(nnz);
        let stride = 9 * size + if wants_w { (3 + PARTS) * room } else { room };
        with_spare(panels * stride, |space| {
            let out_bar = &*out_bar;
            par::for_chunks(space, stride, |p, panel| {
                let (states, rest) = panel.split_at_mut(9 * size);
                let mut parts = states.chunks_exact_mut(size).map(by_node);
                let [bar, z0, z1, z2, z3, g1, g2, g3, g4] =
                    std::array::from_fn(|_| parts.next().unwrap_or_default());
                pack(nodes, out_bar, rows, p * PANEL, bar);
                scaled(c[3], bar.as_flattened(), g4.as_flattened_mut());
                let (w_by_col, rest) = rest.split_at_mut(room);
                let w_by_col = &mut w_by_col[..nnz];
                by_col.sorted(w, w_by_col);
                let order = by_col;
                if !wants_w {
                    let w = &*w_by_col;
                    reverse_stage(order, w, c[2], g4, g3, bar);
                    reverse_stage(order, w, c[1], g3, g2, bar);
                    reverse_stage(order, w, c[0], g2, g1, bar);
                    return reverse_stage(order, w, T::ONE, g1, g4, bar);
                }
                let (w_sums, rest) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = (&mut w_by_row[..nnz], &mut w_bar[..PARTS * nnz]);
                by_row.sorted(w, w_by_row);
                pack(nodes, x.data, rows, p * PANEL, z0);
                stage(by_row, w_by_row, c[0], z0, z0, z1);
                stage(by_row, w_by_row, c[1], z1, z0, z2);
                stage(by_row, w_by_row, c[2], z2, z0, z3);
                w_bar.fill(T::ZERO);
                let (w, w_bar) = (&*w_by_col, w_bar.as_chunks_mut().0);
                reverse_stage_with_dots(order, w, c[2], g4, z3, g3, bar, w_bar);
                reverse_stage_with_dots(order, w, c[1], g3, z2, g2, bar, w_bar);
                reverse_stage_with_dots(order, w, c[0], g2, z1, g1, bar, w_bar);
                // The next cotangent would be that of x itself, which `bar` holds already.
                reverse_stage_with_dots(order, w, T::ONE, g1, z0, g4, bar, w_bar);
                sums(by_col, w_bar, w_sums);
            });
            if let Some(total) = x_bar.first(0) {
                total.for_chunks(par::CHUNK, |k, total| {
                    for panel in space.chunks_exact(stride) {
                        add(&panel[9 * size + room + k * par::CHUNK..], total);
                    }
                });
            }
            if let Some(x_bar) = x_bar.first(1) {
                let put: fn(&mut [T], &[T]) =
                    if x_bar.fresh { <[T]>::copy_from_slice } else { |sum, x| add(x, sum) };
                unpack((space, stride), places, rows, x_bar.data, put);
            }
        });
    }
}
