//! A whole Runge-Kutta step of fourth order of dx/dt = L x, L = S - I, as one op.
//!
//! On a linear equation the step is a Taylor polynomial in Horner's form, z_0 = x,
//! z_k = x + c_k L z_{k-1}, c = h/4, h/3, h/2, h, y = z_4. With g_4 = y_bar and g_{k-1} = c_k L^T g_k:
//! x_bar += g_4 + g_3 + g_2 + g_1 + g_0,  w_bar_ij += sum_k c_k <(g_k)_i, (z_{k-1})_j>.
//!
//! Rows do not mix, so that a tile of a few rows runs through all stages independently: with as many tiles as
//! cores, its states stay in the cache of one, where gathers are cheap, and cores do not wait for each other. Only x
//! is stored; the stages are recomputed for the gradient, which costs less than writing and reading them. The last
//! stage writes its rows of the result: in a separate pass, cores would fetch each other's tiles. Inside a tile nodes are sorted by
//! degree in groups, so that loop lengths are predictable and matrices are read and written nearly in order.
//!
//! Inside a tile the nodes of each stage are tasks as well, for cores that have no tile or are done with theirs.

use std::ops::Range;
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
/// Inner products that one task sums.
const SUMS: usize = 2048;

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

/// Some nodes of a tile, from `first` on.
struct Part<'a, T> {
    first: usize,
    tile: &'a mut [[T; TILE_ROWS]],
}

impl<T: Real> Sink<T> for Part<'_, T> {
    #[inline(always)]
    fn put(&mut self, place: usize, x: &[T; TILE_ROWS]) {
        self.tile[place - self.first] = *x;
    }
}

/// g_{k-1} takes the place of z_{k-1}, of which a node has read its own state alone by then.
impl<T: Real> Exchange<T> for Part<'_, T> {
    #[inline(always)]
    fn z(&self, place: usize) -> &[T; TILE_ROWS] {
        &self.tile[place - self.first]
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
    /// y = x + c L z for some nodes; `sink` takes y_i.
    fn stage_of<T: Real, S: Sink<T>>(
        order: &CompressedAxis, nodes: Range<usize>, w: &[T], c: T, z: &[[T; TILE_ROWS]], x: &[[T; TILE_ROWS]], sink: S,
    ) {
        let mut sink = sink;
        for (i, x) in nodes.clone().zip(&x[nodes]) {
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

    /// c L^T g for some nodes, and on the way w_bar_ij += c <g_i, z_j>: what the sum reads serves the inner product
    /// too. w and w_bar, which is that of these nodes alone, are in the order of columns, each entry of w_bar in
    /// `PARTS` parts that are added up in the end.
    fn reverse_stage_of<T: Real, S: Exchange<T>>(
        order: &CompressedAxis, nodes: Range<usize>, w: &[T], c: T, g: &[[T; TILE_ROWS]], w_bar: &mut [[T; PARTS]],
        exchange: S,
    ) {
        let mut exchange = exchange;
        let first_entry = order.entries(nodes.start).start;
        for j in nodes {
            let (here, entries) = (&g[j], order.entries(j));
            let mut sum = [T::ZERO; TILE_ROWS];
            let mut own = [T::ZERO; TILE_ROWS];
            let z = exchange.z(j);
            for r in 0..TILE_ROWS {
                own[r] = c * z[r];
            }
            let w_bar = &mut w_bar[entries.start - first_entry..entries.end - first_entry];
            for ((w, w_bar), i) in w[entries].iter().zip(w_bar).zip(order.group(j).0) {
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

    /// The sum of the parts of each entry at `places`, halves onto halves.
    fn sums<T: Real>(places: &[u32], parts: &[[T; PARTS]], sums: &mut [T]) {
        for (place, sum) in places.iter().zip(sums) {
            let p = &parts[*place as usize];
            *sum = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
        }
    }
}

/// y = x + c L z into a tile, its nodes in parallel.
fn stage<T: Real>(
    order: &CompressedAxis,
    w: &[T],
    c: T,
    z: &[[T; TILE_ROWS]],
    x: &[[T; TILE_ROWS]],
    y: &mut [[T; TILE_ROWS]],
) {
    order.for_tasks(
        [y],
        |[nodes, ..]| [nodes],
        |_, nodes, [y]| stage_of(order, nodes.clone(), w, c, z, x, Part { first: nodes.start, tile: y }),
    );
}

/// c L^T g in place of z, and w_bar += c <g, z>; the first one overwrites w_bar.
fn reverse_stage<T: Real>(
    order: &CompressedAxis,
    w: &[T],
    c: T,
    g: &[[T; TILE_ROWS]],
    z: &mut [[T; TILE_ROWS]],
    w_bar: &mut [T],
    first: bool,
) {
    order.for_tasks(
        [z.as_flattened_mut(), w_bar],
        |[nodes, entries, _]| [nodes * TILE_ROWS, entries * PARTS],
        |_, nodes, [z, w_bar]| {
            if first {
                w_bar.fill(T::ZERO);
            }
            let part = Part { first: nodes.start, tile: by_node(z) };
            reverse_stage_of(order, nodes, w, c, g, w_bar.as_chunks_mut().0, part);
        },
    );
}

/// Rows of a matrix as the tile that is worked in, its nodes in parallel.
fn packed<T: Real>(
    order: &CompressedAxis,
    nodes: &Permutation,
    x: View<T>,
    first: usize,
    tile: &mut [[T; TILE_ROWS]],
) {
    order.for_tasks(
        [tile],
        |[nodes, ..]| [nodes],
        |_, places, [tile]| pack(nodes, places, x.data, x.shape.rows, first, tile),
    );
}

/// The weights of the edges in an order, in parallel.
fn sorted<T: Real>(order: &CompressedAxis, w: &[T], out: &mut [T]) {
    order.for_tasks([out], |[_, entries, _]| [entries], |_, groups, [out]| order.sorted(groups, w, out));
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
            sorted(order, w, &mut w_sorted[..nnz]);
            let w = &w_sorted[..nnz];
            packed(order, nodes, x, p * TILE_ROWS, start);
            stage(order, w, c[0], start, start, odd);
            stage(order, w, c[1], odd, start, even);
            stage(order, w, c[2], even, start, odd);
            order.for_tasks::<T, 0>(
                [],
                |_| [],
                // SAFETY: tile p is this task's alone, and these nodes are the inner task's.
                |_, nodes, []| stage_of(order, nodes, w, c[3], odd, start, unsafe { y.tile(p * TILE_ROWS) }),
            );
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
        let DegreeOrder { nodes, by_row, by_col, places } = self.pattern.degree_order();
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
                let (states, rest) = tile.split_at_mut(5 * size);
                let mut parts = states.chunks_exact_mut(size).map(by_node);
                // The first three states give way to the cotangents g_1 to g_3.
                let [z1, z2, z3, z0, g4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
                packed(by_col, nodes, View { data: out_bar, shape: x.shape }, p * TILE_ROWS, g4);
                let (w_by_col, rest) = rest.split_at_mut(room);
                let w_by_col = &mut w_by_col[..nnz];
                sorted(by_col, w, w_by_col);
                let (w_sums, rest) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = rest.split_at_mut(room);
                let (w_by_row, w_bar) = (&mut w_by_row[..nnz], &mut w_bar[..PARTS * nnz]);
                sorted(by_row, w, w_by_row);
                packed(by_row, nodes, x, p * TILE_ROWS, z0);
                stage(by_row, w_by_row, c[0], z0, z0, z1);
                stage(by_row, w_by_row, c[1], z1, z0, z2);
                stage(by_row, w_by_row, c[2], z2, z0, z3);
                let w = &*w_by_col;
                reverse_stage(by_col, w, c[3], g4, z3, w_bar, true);
                reverse_stage(by_col, w, c[2], z3, z2, w_bar, false);
                reverse_stage(by_col, w, c[1], z2, z1, w_bar, false);
                let (z0, g) = (&*z0, [&*z1, &*z2, &*z3, &*g4]);
                by_col.for_tasks(
                    [&mut *w_bar],
                    |[_, entries, _]| [entries * PARTS],
                    |_, nodes, [w_bar]| {
                        // SAFETY: tile p is this task's alone, and these nodes are the inner task's.
                        let out = out.as_ref().map(|out| unsafe { out.tile(p * TILE_ROWS) });
                        let total = Total { out, z: z0, g };
                        reverse_stage_of(by_col, nodes, w, c[0], g[0], w_bar.as_chunks_mut().0, total);
                    },
                );
                let w_bar = w_bar.as_chunks().0;
                parallel::for_chunks(&mut w_sums[..nnz], SUMS, |k, part| {
                    sums(&places[k * SUMS..][..part.len()], w_bar, part);
                });
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

#[cfg(test)]
mod tests {
    use sprs::TriMat;

    use crate::rng::Stream;
    use crate::sparse::Sparse;
    use crate::{Recording, Tape, Var};

    /// The step, and the gradients to the weights and to x.
    fn results(
        n: usize,
        rows: usize,
        step: impl Fn(&mut Recording<f64>, &Sparse, Var, Var) -> Var,
    ) -> [Vec<f64>; 3] {
        let mut s = Stream::new(0, "graph", 0, 0);
        let mut edges = TriMat::new((n, n));
        (0..n * 6).for_each(|_| edges.add_triplet(s.index(n), s.index(n), 0.2 * s.uniform()));
        let (sparse, w) = Sparse::new(&edges.to_csr::<usize>());
        assert!(sparse.pattern.by_row.tasks() > 4, "more tasks than the test has threads");
        let mut random = |len: usize| (0..len).map(|_| s.uniform() - 0.5).collect::<Vec<f64>>();
        let (x, bar) = (random(rows * n), random(rows * n));
        let mut tape = Tape::new();
        let mut g = tape.record(&[]);
        let (w, x) = (g.variable(1, w.len(), &w), g.variable(rows, n, &x));
        let y = step(&mut g, &sparse, w, x);
        let value = g.value(y).data.to_vec();
        g.backward_from(y, &bar, &mut []);
        [value, g.grad(w).data.to_vec(), g.grad(x).data.to_vec()]
    }

    #[test]
    fn tasks_of_a_stage_come_to_what_four_products_do_on_any_number_of_threads() {
        // Two tiles and a part of one.
        let (n, rows, h) = (1500, 70, 0.3);
        let fused = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| results(n, rows, |g, sparse, w, x| g.diffusion_rk4_step(sparse, w, x, h)))
        };
        let one = fused(1);
        let plain = results(n, rows, |g, sparse, w, x| {
            [4.0, 3.0, 2.0, 1.0].iter().fold(x, |z, k| g.sparse_step(sparse, w, z, x, h / k))
        });
        for (got, want) in one.iter().zip(&plain) {
            assert_eq!(got.len(), want.len());
            // Rounding alone: sums are taken in another order.
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-11 * (1.0 + b.abs())));
        }
        for threads in [2, 4] {
            assert_eq!(fused(threads), one, "{threads} threads");
        }
    }
}
