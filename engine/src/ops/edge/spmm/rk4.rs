//! A whole Runge-Kutta step of fourth order of dx/dt = L x, L = S - I, as one op.
//!
//! On a linear equation the step is a Taylor polynomial in Horner's form, z_0 = x,
//! z_k = x + c_k L z_{k-1}, c = h/4, h/3, h/2, h, y = z_4. With g_4 = y_bar and g_{k-1} = c_k L^T g_k:
//! x_bar += g_4 + g_3 + g_2 + g_1 + g_0,  w_bar_ij += sum_k c_k <(g_k)_i, (z_{k-1})_j>.
//!
//! Rows do not mix, so that a tile of a few rows runs through all stages independently: its states stay in the
//! cache of one core, where gathers are cheap, and cores do not wait for each other. Only x is stored; the stages
//! are recomputed for the gradient, which costs less than writing and reading them. The last stage writes its rows
//! of the result: in a separate pass, cores would fetch each other's tiles. Inside a tile nodes are sorted by
//! degree in groups, so that loop lengths are predictable and matrices are read and written nearly in order.

use std::sync::Arc;

use super::check_weights;
use super::row_tile::{Columns, RowTile, Sink, TILE_ROWS, pack};
use crate::aligned::{padded, with_scratch};
use crate::simd::add;
use crate::sparse::{CompressedAxis, DegreeOrder, Pattern, Permutation};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Shape, View, parallel, simd_fn};

/// Parts of an inner product over a tile.
const PARTS: usize = 8;

/// Inputs w, x.
pub(super) struct Rk4 {
    pub(super) pattern: Arc<Pattern>,
    pub(super) h: f64,
}

impl Rk4 {
    /// c_1 to c_4.
    fn factors<T: Real>(&self) -> [T; 4] {
        [4.0, 3.0, 2.0, 1.0].map(|k| T::of(self.h / k))
    }
}

/// The tile as one array for each node.
fn by_node<T>(tile: &mut [T]) -> &mut [[T; TILE_ROWS]] {
    tile.as_chunks_mut().0
}

/// What has z_{k-1} and takes g_{k-1}.
trait Exchange<T>: Sink<T> {
    /// (z_{k-1})_j for the node at a place, before its g comes.
    fn z(&self, place: usize) -> &[T; TILE_ROWS];
}

/// g_{k-1} takes the place of z_{k-1}, of which a node has read its own state alone by then.
impl<T: Real> Exchange<T> for &mut [[T; TILE_ROWS]] {
    #[inline(always)]
    fn z(&self, place: usize) -> &[T; TILE_ROWS] {
        &self[place]
    }
}

/// The end: x_bar = g_4 + g_3 + g_2 + g_1 + g_0, given z_0 and g_1 to g_4, as columns of g_0 come.
struct Total<'a, T> {
    out: Option<RowTile<'a, T>>,
    z: &'a [[T; TILE_ROWS]],
    g: [&'a [[T; TILE_ROWS]]; 4],
}

impl<T: Real> Sink<T> for Total<'_, T> {
    #[inline(always)]
    fn put(&mut self, place: usize, g0: &[T; TILE_ROWS]) {
        let Some(out) = &mut self.out else { return };
        let mut x_bar = [T::ZERO; TILE_ROWS];
        let [g1, g2, g3, g4] = self.g.map(|g| &g[place]);
        for r in 0..TILE_ROWS {
            x_bar[r] = (g0[r] + g1[r]) + (g2[r] + g3[r]) + g4[r];
        }
        out.put(place, &x_bar);
    }
}

impl<T: Real> Exchange<T> for Total<'_, T> {
    #[inline(always)]
    fn z(&self, place: usize) -> &[T; TILE_ROWS] {
        &self.z[place]
    }
}

simd_fn! {
    /// y = x + c L z; `sink` takes y_i.
    fn stage<T: Real, S: Sink<T>>(
        order: &CompressedAxis, w: &[T], c: T, z: &[[T; TILE_ROWS]], x: &[[T; TILE_ROWS]], sink: S,
    ) {
        let mut sink = sink;
        for (i, x) in x.iter().enumerate() {
            let entries = order.entries(i);
            let mut sum = [T::ZERO; TILE_ROWS];
            for (w, j) in w[entries].iter().zip(order.group(i).0) {
                let z = &z[*j as usize];
                for r in 0..TILE_ROWS {
                    sum[r] = w.mul_add(z[r], sum[r]);
                }
            }
            let mut y = [T::ZERO; TILE_ROWS];
            for r in 0..TILE_ROWS {
                y[r] = c.mul_add(sum[r] - z[i][r], x[r]);
            }
            sink.put(i, &y);
        }
    }

    /// c L^T g, and on the way w_bar_ij += c <g_i, z_j>: what the sum reads serves the inner product too. w and
    /// w_bar are in the order of columns, each entry of w_bar in `PARTS` parts that are added up in the end.
    fn reverse_stage<T: Real, S: Exchange<T>>(
        order: &CompressedAxis, w: &[T], c: T, g: &[[T; TILE_ROWS]], w_bar: &mut [[T; PARTS]], exchange: S,
    ) {
        let mut exchange = exchange;
        for (j, here) in g.iter().enumerate() {
            let entries = order.entries(j);
            let mut sum = [T::ZERO; TILE_ROWS];
            let mut own = [T::ZERO; TILE_ROWS];
            let z = exchange.z(j);
            for r in 0..TILE_ROWS {
                own[r] = c * z[r];
            }
            for ((w, w_bar), i) in w[entries.clone()].iter().zip(&mut w_bar[entries]).zip(order.group(j).0) {
                let g = &g[*i as usize];
                for r in 0..TILE_ROWS {
                    sum[r] = w.mul_add(g[r], sum[r]);
                }
                for first in (0..TILE_ROWS).step_by(PARTS) {
                    for l in 0..PARTS {
                        w_bar[l] = g[first + l].mul_add(own[first + l], w_bar[l]);
                    }
                }
            }
            let mut next = [T::ZERO; TILE_ROWS];
            for r in 0..TILE_ROWS {
                next[r] = c * (sum[r] - here[r]);
            }
            exchange.put(j, &next);
        }
    }

    /// The sum of each entry's parts, halves onto halves, at the entry's number in the graph.
    fn sums<T: Real>(order: &CompressedAxis, parts: &[[T; PARTS]], sums: &mut [T]) {
        for (p, number) in parts.iter().zip(order.numbers()) {
            sums[*number as usize] = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
        }
    }
}

/// y = P(L) x, P the step's polynomial, with `order` for the entries of L.
#[allow(unsafe_code)]
fn step<T: Real>(
    (nodes, order): (&Permutation, &CompressedAxis),
    w: &[T],
    c: [T; 4],
    x: View<T>,
    y: &Columns<T>,
) {
    let (rows, size, nnz) = (x.shape.rows, x.shape.cols * TILE_ROWS, w.len());
    let stride = 3 * size + padded(nnz);
    with_scratch(rows.div_ceil(TILE_ROWS) * stride, |space| {
        parallel::for_chunks(space, stride, |p, tile| {
            let (states, w_sorted) = tile.split_at_mut(3 * size);
            let mut parts = states.chunks_exact_mut(size).map(by_node);
            let [start, odd, even] = std::array::from_fn(|_| parts.next().unwrap_or_default());
            // Every tile sorts the weights for itself: it is soon done, and a round of tasks for all is not.
            order.sorted(w, &mut w_sorted[..nnz]);
            let w = &w_sorted[..nnz];
            pack(nodes, x.data, rows, p * TILE_ROWS, start);
            stage(order, w, c[0], start, start, &mut *odd);
            stage(order, w, c[1], odd, start, &mut *even);
            stage(order, w, c[2], even, start, &mut *odd);
            // SAFETY: this task alone has tile p.
            stage(order, w, c[3], odd, start, unsafe { y.tile(p * TILE_ROWS) });
        });
    });
}

impl<T: Real> Op<T> for Rk4 {
    fn name(&self) -> &'static str {
        "Runge-Kutta step of diffusion"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        check_weights(&self.pattern, inputs[0], 1)?;
        if s != Shape::new(x.cols, x.cols) || inputs[0].rows != 1 {
            return Err(format!("S is {s}: x has a column for each node, and each entry one weight"));
        }
        Ok(x)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, c) = (x.get(0).data, x.get(1), self.factors::<T>());
        if !out.is_empty() {
            let DegreeOrder { nodes, by_row, .. } = self.pattern.degree_order();
            step((nodes, by_row), w, c, x, &Columns::new(out, x.shape.rows, nodes, false));
        }
    }
    #[allow(unsafe_code)]
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x, c) = (saved.x.get(0).data, saved.x.get(1), self.factors::<T>());
        let (rows, size, nnz) = (x.shape.rows, x.shape.cols * TILE_ROWS, w.len());
        let tiles = rows.div_ceil(TILE_ROWS);
        if out_bar.is_empty() {
            return;
        }
        let DegreeOrder { nodes, by_row, by_col } = self.pattern.degree_order();
        if !x_bar.wants(0) {
            // The transpose of a polynomial of L is the same polynomial of L^T.
            if let Some(x_bar) = x_bar.get_uninit(1) {
                let out_bar = View { data: out_bar, shape: x.shape };
                step(
                    (nodes, by_col),
                    w,
                    c,
                    out_bar,
                    &Columns::new(x_bar.data, rows, nodes, !x_bar.overwrite),
                );
            }
            return;
        }
        // Weights in both orders, sums of their cotangents and parts of sums.
        let room = padded(nnz);
        let stride = 5 * size + (3 + PARTS) * room;
        with_scratch(tiles * stride, |space| {
            let out =
                x_bar.get_uninit(1).map(|x_bar| Columns::new(x_bar.data, rows, nodes, !x_bar.overwrite));
            let out_bar = &*out_bar;
            parallel::for_chunks(space, stride, |p, tile| {
                // SAFETY: this task alone has tile p.
                let out = out.as_ref().map(|out| unsafe { out.tile(p * TILE_ROWS) });
                let (states, rest) = tile.split_at_mut(5 * size);
                let mut parts = states.chunks_exact_mut(size).map(by_node);
                // The first three states give way to the cotangents g_1 to g_3.
                let [z1, z2, z3, z0, g4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
                pack(nodes, out_bar, rows, p * TILE_ROWS, g4);
                let (w_by_col, rest) = rest.split_at_mut(room);
                let w_by_col = &mut w_by_col[..nnz];
                by_col.sorted(w, w_by_col);
                let (w_sums, rest) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = (&mut w_by_row[..nnz], &mut w_bar[..PARTS * nnz]);
                by_row.sorted(w, w_by_row);
                pack(nodes, x.data, rows, p * TILE_ROWS, z0);
                stage(by_row, w_by_row, c[0], z0, z0, &mut *z1);
                stage(by_row, w_by_row, c[1], z1, z0, &mut *z2);
                stage(by_row, w_by_row, c[2], z2, z0, &mut *z3);
                w_bar.fill(T::ZERO);
                let (w, w_bar) = (&*w_by_col, w_bar.as_chunks_mut().0);
                reverse_stage(by_col, w, c[3], g4, w_bar, &mut *z3);
                reverse_stage(by_col, w, c[2], z3, w_bar, &mut *z2);
                reverse_stage(by_col, w, c[1], z2, w_bar, &mut *z1);
                let total = Total { out, z: z0, g: [z1, z2, z3, g4] };
                reverse_stage(by_col, w, c[0], z1, w_bar, total);
                sums(by_col, w_bar, w_sums);
            });
            if let Some(total) = x_bar.get_uninit(0) {
                total.for_chunks(parallel::CHUNK, |k, total| {
                    for tile in space.chunks_exact(stride) {
                        add(&tile[5 * size + room + k * parallel::CHUNK..], total);
                    }
                });
            }
        });
    }
}
