//! Sparse times dense, with gradients to the sparse values and to the dense matrix.
//!
//! S is an m x n sparse matrix with fixed structure; its values w are an input, one column for each
//! entry. In the convention that columns are things, S acts on things from the right:
//! Y = X S^T, y_i = sum_j S_ij x_j (each thing i gathers from things j), X of size d x n;
//! X_bar += Y_bar S,  w_bar_ij += <y_bar_i, x_j>. With several heads w is h x nnz, and head a weighs
//! the a-th of h equal blocks of rows. On features, from the left: Y = S X, with
//! X_bar += S^T Y_bar, w_bar_ij += <row i of Y_bar, row j of X>.

use std::sync::Arc;

use sprs::CsMat;

use super::edges::{Attend, Distance, Dot, Softmax};
use super::flux::Flux;
use super::pattern::{Numbers, Order, Pattern};
use crate::simd::prefetch;
use crate::tape::{Attr, Cotangents, Inputs, Saved};
use crate::{Graph, Op, Real, Shape, Var, par, simd_fn};

/// Entries by which columns are asked for before they are used.
const AHEAD: usize = 12;
/// Rows that `weighted_sum` keeps in registers while it walks over the entries.
const TILE: usize = 64;

impl Order {
    /// Columns of `out` += sums of scaled columns of `x`: out_g += sum_e w_e x_{other(e)}.
    pub(super) fn accumulate<T: Real>(&self, w: &[T], heads: usize, x: &[T], rows: usize, out: &mut [T]) {
        self.for_groups(out, rows, |g, y| {
            let (others, numbers) = self.group(g);
            match numbers {
                Numbers::From(first) if heads == 1 => {
                    weighted_sum(others, self.from(g), Consecutive(first), w, x, y);
                }
                Numbers::List(list) if heads == 1 => {
                    weighted_sum(others, self.from(g), Listed(list), w, x, y)
                }
                _ => gather_scaled(others, numbers, w, heads, x, y),
            }
        });
    }

    /// Each row of each column: out[i] += sum_e w_e x[other(e)], for matrices of features.
    fn accumulate_within<T: Real>(&self, w: &[T], x: &[T], out: &mut [T]) {
        for (g, y) in out.iter_mut().enumerate() {
            let (others, numbers) = self.group(g);
            for (k, other) in others.iter().enumerate() {
                *y = w[numbers.get(k)].mul_add(x[*other as usize], *y);
            }
        }
    }
}

/// The number of the k-th entry, known at compile time to be consecutive or listed.
trait Number {
    fn at(&self, k: usize) -> usize;
}
struct Consecutive(usize);
struct Listed<'a>(&'a [u32]);

impl Number for Consecutive {
    #[inline(always)]
    fn at(&self, k: usize) -> usize {
        self.0 + k
    }
}
impl Number for Listed<'_> {
    #[inline(always)]
    fn at(&self, k: usize) -> usize {
        self.0[k] as usize
    }
}

simd_fn! {
    /// y += sum_k w_{number k} x_{others k}: a tile of y stays in registers over all entries.
    fn weighted_sum<T: Real, N: Number>(others: &[u32], ahead: &[u32], number: N, w: &[T], x: &[T], y: &mut [T]) {
        let rows = y.len();
        let mut tiles = y.chunks_exact_mut(TILE);
        let mut at = 0;
        for tile in &mut tiles {
            let mut sum = [T::ZERO; TILE];
            sum.copy_from_slice(tile);
            for (k, other) in others.iter().enumerate() {
                if let Some(next) = ahead.get(k + AHEAD) {
                    prefetch(x, *next as usize * rows + at, TILE);
                }
                let start = *other as usize * rows + at;
                let (w, x) = (w[number.at(k)], &x[start..start + TILE]);
                for r in 0..TILE {
                    sum[r] = w.mul_add(x[r], sum[r]);
                }
            }
            tile.copy_from_slice(&sum);
            at += TILE;
        }
        let rest = tiles.into_remainder();
        for (k, other) in others.iter().enumerate() {
            let (w, start) = (w[number.at(k)], *other as usize * rows + at);
            for (x, y) in x[start..start + rest.len()].iter().zip(rest.iter_mut()) {
                *y = w.mul_add(*x, *y);
            }
        }
    }

    /// w_bar_k += <a, b_{others k}>. Lanes are added up in a second loop over many entries: next to the
    /// first, the compiler would split its vectors for the sake of the few additions at the end.
    fn add_dots<T: Real>(a: &[T], others: &[u32], ahead: &[u32], b: &[T], w_bar: &mut [T]) {
        const GROUP: usize = 32;
        let mut lanes = [[T::ZERO; LANES]; GROUP];
        let (blocks, rest) = a.as_chunks::<LANES>();
        for (k, (others, w_bar)) in others.chunks(GROUP).zip(w_bar.chunks_mut(GROUP)).enumerate() {
            for ((e, other), lanes) in others.iter().enumerate().zip(&mut lanes) {
                if let Some(next) = ahead.get(k * GROUP + e + AHEAD) {
                    prefetch(b, *next as usize * a.len(), a.len());
                }
                let start = *other as usize * a.len();
                let b = b[start..start + a.len()].as_chunks::<LANES>().0;
                let mut sum = [T::ZERO; LANES];
                for (a, b) in blocks.iter().zip(b) {
                    for l in 0..LANES {
                        sum[l] = a[l].mul_add(b[l], sum[l]);
                    }
                }
                *lanes = sum;
            }
            for ((other, lanes), w) in others.iter().zip(&lanes).zip(w_bar) {
                let end = (*other as usize + 1) * a.len();
                let b = &b[end - rest.len()..end];
                let rest = rest.iter().zip(b).fold(T::ZERO, |sum, (a, b)| a.mul_add(*b, sum));
                *w += lane_sum(*lanes) + rest;
            }
        }
    }

    /// y += w x.
    fn axpy<T: Real>(w: T, x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = w.mul_add(*x, *y);
        }
    }

    /// <x, y>, summed in a fixed order over lanes.
    pub(super) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
        lane_dot(x, y)
    }
}

#[inline(always)]
fn lane_dot<T: Real>(x: &[T], y: &[T]) -> T {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sum = [T::ZERO; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            sum[l] = x[l].mul_add(y[l], sum[l]);
        }
    }
    let rest = x_rest.iter().zip(y_rest).fold(T::ZERO, |sum, (x, y)| x.mul_add(*y, sum));
    lane_sum(sum) + rest
}

/// Numbers that reductions add side by side.
pub(super) const LANES: usize = 16;

/// The sum of the lanes, halves onto halves.
#[inline(always)]
pub(super) fn lane_sum<T: Real>(lanes: [T; LANES]) -> T {
    let eight: [T; 8] = std::array::from_fn(|l| lanes[l] + lanes[l + 8]);
    let four: [T; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The general case: entries in any order, and heads with weights of their own.
fn gather_scaled<T: Real>(others: &[u32], numbers: Numbers<'_>, w: &[T], heads: usize, x: &[T], y: &mut [T]) {
    let (rows, block) = (y.len(), y.len() / heads);
    if block == 0 {
        return;
    }
    for (k, other) in others.iter().enumerate() {
        let x = &x[*other as usize * rows..(*other as usize + 1) * rows];
        let w = &w[numbers.get(k) * heads..(numbers.get(k) + 1) * heads];
        for ((w, x), y) in w.iter().zip(x.chunks_exact(block)).zip(y.chunks_exact_mut(block)) {
            axpy(*w, x, y);
        }
    }
}

/// w_bar_e += <a_i, b_j> for every entry (i, j), head by head.
pub(super) fn sampled_product<T: Real>(
    pattern: &Pattern,
    heads: usize,
    a: &[T],
    b: &[T],
    rows: usize,
    w_bar: &mut [T],
) {
    let block = rows / heads;
    if block == 0 {
        return;
    }
    pattern.for_rows(w_bar, heads, |i, w_bar| {
        let (others, _) = pattern.by_row.group(i);
        let a = &a[i * rows..(i + 1) * rows];
        if heads == 1 {
            return add_dots(a, others, pattern.by_row.from(i), b, w_bar);
        }
        for (other, w_bar) in others.iter().zip(w_bar.chunks_exact_mut(heads)) {
            let b = &b[*other as usize * rows..(*other as usize + 1) * rows];
            for ((w, a), b) in w_bar.iter_mut().zip(a.chunks_exact(block)).zip(b.chunks_exact(block)) {
                *w += dot(a, b);
            }
        }
    });
}

/// Y = X S^T, or Y = X (S - I)^T.
pub(super) struct Things {
    pattern: Arc<Pattern>,
    minus_identity: bool,
}
/// Y = S X.
pub(super) struct Features(Arc<Pattern>);

/// Weights have one column for each entry, and their heads divide the rows they weigh.
pub(super) fn check_weights(pattern: &Pattern, w: Shape, rows: usize) -> Result<(), String> {
    if w.cols != pattern.len() {
        return Err(format!("S has {} entries, with a column of weights for each", pattern.len()));
    }
    if w.rows == 0 || !rows.is_multiple_of(w.rows) {
        return Err("the number of heads divides the rows of x".into());
    }
    Ok(())
}

impl<T: Real> Op<T> for Things {
    fn name(&self) -> &'static str {
        "sparse product over columns"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let (s, x) = (self.pattern.shape(), inputs[1]);
        check_weights(&self.pattern, inputs[0], x.rows)?;
        if x.cols != s.cols || (self.minus_identity && s.rows != s.cols) {
            return Err(format!("S is {s}, X has another number of columns"));
        }
        Ok(Shape::new(x.rows, s.rows))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x) = (x.get(0), x.get(1));
        if self.minus_identity {
            par::for_chunks(out, par::CHUNK, |c, y| {
                negative(&x.data[c * par::CHUNK..c * par::CHUNK + y.len()], y);
            });
        } else {
            out.fill(T::ZERO);
        }
        self.pattern.by_row.accumulate(w.data, w.shape.rows, x.data, x.shape.rows, out);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let (heads, rows) = (w.shape.rows, x.shape.rows);
        if let Some(w_bar) = x_bar.get(0) {
            sampled_product(&self.pattern, heads, out_bar, x.data, rows, w_bar);
        }
        if let Some(x_bar) = x_bar.get(1) {
            if self.minus_identity {
                par::for_chunks(x_bar, par::CHUNK, |c, x| {
                    axpy(-T::ONE, &out_bar[c * par::CHUNK..c * par::CHUNK + x.len()], x);
                });
            }
            self.pattern.by_col.accumulate(w.data, heads, out_bar, rows, x_bar);
        }
    }
}

simd_fn! {
    fn negative<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = -*x;
        }
    }
}

/// Y = X + c Z (S - I)^T, c the use's scalar; inputs w, z, x.
pub(super) struct Step(Arc<Pattern>);

impl<T: Real> Op<T> for Step {
    fn name(&self) -> &'static str {
        "sparse step"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let (s, x) = (self.0.shape(), inputs[1]);
        if inputs[0] != Shape::new(1, self.0.len()) || s != Shape::new(x.cols, x.cols) || x != inputs[2] {
            return Err(format!("S is {s} with one weight for each of its {} entries", self.0.len()));
        }
        Ok(x)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, z, x, c) = (x.get(0).data, x.get(1), x.get(2), T::of(x.attr[0]));
        self.0.by_row.for_groups(out, z.shape.rows, |i, y| {
            y.fill(T::ZERO);
            let order = &self.0.by_row;
            weighted_sum(order.group(i).0, order.from(i), Consecutive(self.0.row(i).start), w, z.data, y);
            step(c, z.col(i), x.col(i), y);
        });
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, z, c) = (saved.x.get(0), saved.x.get(1), T::of(saved.x.attr[0]));
        let rows = z.shape.rows;
        if let Some(bar) = x_bar.get(2) {
            let out_bar = &*out_bar;
            par::for_chunks(bar, par::CHUNK, |k, x| {
                axpy(T::ONE, &out_bar[k * par::CHUNK..k * par::CHUNK + x.len()], x);
            });
        }
        par::for_chunks(out_bar, par::CHUNK, |_, g| g.iter_mut().for_each(|g| *g *= c));
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            sampled_product(&self.0, 1, out_bar, z.data, rows, w_bar);
        }
        if let Some(z_bar) = x_bar.get(1) {
            self.0.by_col.for_groups(z_bar, rows, |j, bar| {
                axpy(-T::ONE, &out_bar[j * rows..(j + 1) * rows], bar);
                let (others, numbers) = self.0.by_col.group(j);
                if let Numbers::List(list) = numbers {
                    weighted_sum(others, self.0.by_col.from(j), Listed(list), w.data, out_bar, bar);
                }
            });
        }
    }
}

simd_fn! {
    /// y = x + c (y - z).
    fn step<T: Real>(c: T, z: &[T], x: &[T], y: &mut [T]) {
        for ((z, x), y) in z.iter().zip(x).zip(y) {
            *y = c.mul_add(*y - *z, *x);
        }
    }
}

impl<T: Real> Op<T> for Features {
    fn name(&self) -> &'static str {
        "sparse product over rows"
    }
    fn shape(&self, inputs: &[Shape], _: Attr) -> Result<Shape, String> {
        let s = self.0.shape();
        check_weights(&self.0, inputs[0], 1)?;
        if inputs[1].rows != s.cols {
            return Err(format!("S is {s}, X has another number of rows"));
        }
        Ok(Shape::new(s.rows, inputs[1].cols))
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let (w, x, m) = (x.get(0).data, x.get(1), self.0.shape().rows);
        out.fill(T::ZERO);
        par::for_chunks(out, m.max(1), |j, out| self.0.by_row.accumulate_within(w, x.col(j), out));
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let (w, x) = (saved.x.get(0), saved.x.get(1));
        let (m, n) = (self.0.shape().rows, x.shape.rows);
        let out_bar = &*out_bar;
        if let Some(w_bar) = x_bar.get(0) {
            self.0.for_rows(w_bar, 1, |i, w_bar| {
                let (others, _) = self.0.by_row.group(i);
                for (other, w) in others.iter().zip(w_bar) {
                    for j in 0..x.shape.cols {
                        *w = out_bar[j * m + i].mul_add(x.data[j * n + *other as usize], *w);
                    }
                }
            });
        }
        if let Some(x_bar) = x_bar.get(1) {
            let by_col = &self.0.by_col;
            par::for_chunks(x_bar, n.max(1), |j, x| {
                by_col.accumulate_within(w.data, &out_bar[j * m..(j + 1) * m], x)
            });
        }
    }
}

/// A sparse structure ready for every op on it; make it once, outside the training loop.
#[derive(Clone)]
pub struct Sparse {
    pattern: Arc<Pattern>,
    things: Arc<Things>,
    laplacian: Arc<Things>,
    features: Arc<Features>,
    step: Arc<Step>,
    pub(super) dot: Arc<Dot>,
    pub(super) softmax: Arc<Softmax>,
    pub(super) distance: Arc<Distance>,
    pub(super) attend: Arc<Attend>,
    pub(super) flux: Arc<Flux>,
}

impl Sparse {
    /// The structure of `matrix`, and its values as an op's input (1 x nnz).
    pub fn new<T: Real>(matrix: &CsMat<T>) -> (Self, Vec<T>) {
        let (pattern, values) = Pattern::new(matrix);
        let p = Arc::new(pattern);
        let sparse = Self {
            things: Arc::new(Things { pattern: p.clone(), minus_identity: false }),
            laplacian: Arc::new(Things { pattern: p.clone(), minus_identity: true }),
            features: Arc::new(Features(p.clone())),
            step: Arc::new(Step(p.clone())),
            dot: Arc::new(Dot(p.clone())),
            softmax: Arc::new(Softmax(p.clone())),
            distance: Arc::new(Distance(p.clone())),
            attend: Arc::new(Attend(p.clone())),
            flux: Arc::new(Flux(p.clone())),
            pattern: p,
        };
        (sparse, values)
    }

    /// X S^T outside a graph: `out` (rows x m) from `x` (rows x n) and the values of S.
    pub fn product<T: Real>(&self, values: &[T], x: &[T], rows: usize, out: &mut [T]) {
        let shape = self.pattern.shape();
        assert!(
            values.len() == self.pattern.len()
                && x.len() == rows * shape.cols
                && out.len() == rows * shape.rows
        );
        out.fill(T::ZERO);
        self.pattern.by_row.accumulate(values, 1, x, rows, out);
    }

    /// The structure.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl<T: Real> Graph<'_, T> {
    /// X S^T: column i of the result is sum_j S_ij x_j. `values` are those of S (heads x nnz).
    pub fn sparse_columns(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.things.clone(), &[values, x])
    }
    /// X (S - I)^T: column i of the result is sum_j S_ij x_j - x_i. S is square.
    pub fn sparse_laplacian(&mut self, sparse: &Sparse, values: Var, x: Var) -> Var {
        self.apply(sparse.laplacian.clone(), &[values, x])
    }
    /// X + c Z (S - I)^T: column i of the result is x_i + c (sum_j S_ij z_j - z_i). S is square, `values`
    /// 1 x nnz.
    pub fn sparse_step(&mut self, sparse: &Sparse, values: Var, z: Var, x: Var, c: f64) -> Var {
        self.apply_with(sparse.step.clone(), &[values, z, x], [c, 0.0])
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
        let y = g.sparse_laplacian(&sparse, w, x);
        assert_eq!(g.value(y).data, [30.0, 10.0]);
        let x = g.variable(2, 1, &[10.0, 20.0]);
        let y = g.sparse_rows(&sparse, w, x);
        assert_eq!(g.value(y).data, [40.0, 30.0]);
        g.backward_from(y, &[1.0, 0.0], &mut []);
        assert_eq!(g.grad(w).data, [20.0, 0.0]);
        assert_eq!(g.grad(x).data, [0.0, 2.0]);
    }
}
