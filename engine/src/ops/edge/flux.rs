//! The transport term of an aggregation equation on a graph, with a mean of the densities of both nodes as
//! mobility.

use std::sync::Arc;

use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, simd_fn};

/// The mobility theta(a, b) of an edge with densities a and b; see
/// [`Recording::edge_flux`](crate::Recording::edge_flux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// (a + b) / 2.
    Arithmetic,
    /// (a - b) / (log a - log b); 0 unless both are positive.
    Logarithmic,
    /// The density of the node that mass leaves.
    Upwind,
}

/// Inputs w, x, phi.
struct Flux {
    pattern: Arc<Pattern>,
    mean: Mean,
}

/// A mean of two densities given the difference of the potential d = phi_b - phi_a: (theta, d theta / d a).
/// The derivative in b is that in a with the nodes exchanged.
trait Theta {
    fn at<T: Real>(a: T, b: T, d: T) -> (T, T);
}
struct Arithmetic;
struct Logarithmic;
struct Upwind;

impl Theta for Arithmetic {
    #[inline(always)]
    fn at<T: Real>(a: T, b: T, _: T) -> (T, T) {
        (T::HALF * (a + b), T::HALF)
    }
}
impl Theta for Upwind {
    #[inline(always)]
    fn at<T: Real>(a: T, b: T, d: T) -> (T, T) {
        if d > T::ZERO { (b, T::ZERO) } else { (a, T::ONE) }
    }
}
impl Theta for Logarithmic {
    #[inline(always)]
    fn at<T: Real>(a: T, b: T, _: T) -> (T, T) {
        // With z = (b - a) / (b + a), log b - log a = 2 (z + z^3 / 3 + z^5 / 5 + ...): near z = 0 the
        // quotient loses all digits and its series takes over.
        let (sum, gap) = (a + b, b - a);
        let z = gap / sum;
        let z2 = z * z;
        let near = z2 < T::of(1e-3);
        // (z / atanh z) = 1 - z^2/3 - 4 z^4/45 - 44 z^6/945 - 428 z^8/14175
        let series = T::ONE
            - z2 * (T::of(1.0 / 3.0)
                + z2 * (T::of(4.0 / 45.0) + z2 * (T::of(44.0 / 945.0) + z2 * T::of(428.0 / 14175.0))));
        let slope = -z
            * (T::of(2.0 / 3.0)
                + z2 * (T::of(16.0 / 45.0) + z2 * (T::of(264.0 / 945.0) + z2 * T::of(3424.0 / 14175.0))));
        let log = b.ln() - a.ln();
        let theta = if near { T::HALF * sum * series } else { gap / log };
        // theta = (a + b) s(z) / 2: d/da = s / 2 + (a + b) s' / 2 dz/da, dz/da = -2 b / (a + b)^2.
        let near_slope = T::HALF * series - slope * b / sum;
        // (b - a) / L: d/da = -1 / L + (b - a) / (a L^2) = (theta / a - 1) / L
        let far_slope = (theta / a - T::ONE) / log;
        let positive = a > T::ZERO && b > T::ZERO;
        if positive { (theta, if near { near_slope } else { far_slope }) } else { (T::ZERO, T::ZERO) }
    }
}

simd_fn! {
    /// y += w theta(a, b) (phi_b - phi_a).
    fn add_flux<T: Real, M: Theta>(w: T, a: &[T], b: &[T], pa: &[T], pb: &[T], y: &mut [T]) {
        for ((((a, b), pa), pb), y) in a.iter().zip(b).zip(pa).zip(pb).zip(y) {
            let d = *pb - *pa;
            *y = (w * M::at(*a, *b, d).0).mul_add(d, *y);
        }
    }

    /// The sum of theta(a, b) (phi_b - phi_a) y_bar.
    fn flux_dot<T: Real, M: Theta>(a: &[T], b: &[T], pa: &[T], pb: &[T], y_bar: &[T]) -> T {
        let mut sum = T::ZERO;
        for ((((a, b), pa), pb), y) in a.iter().zip(b).zip(pa).zip(pb).zip(y_bar) {
            let d = *pb - *pa;
            sum = (M::at(*a, *b, d).0 * d).mul_add(*y, sum);
        }
        sum
    }

    /// x_bar += w d theta / d own (phi_other - phi_own) y_bar; `own` is the node of x_bar.
    fn add_slope<T: Real, M: Theta>(
        w: T, own: &[T], other: &[T], p_own: &[T], p_other: &[T], y_bar: &[T], x_bar: &mut [T],
    ) {
        let ends = own.iter().zip(other).zip(p_own.iter().zip(p_other));
        for (((a, b), (pa, pb)), (y, x)) in ends.zip(y_bar.iter().zip(x_bar)) {
            let d = *pb - *pa;
            *x = (w * M::at(*a, *b, d).1 * d).mul_add(*y, *x);
        }
    }

    /// phi_bar += w theta(a, b) y_bar.
    fn add_mean<T: Real, M: Theta>(
        w: T, a: &[T], b: &[T], pa: &[T], pb: &[T], y_bar: &[T], phi_bar: &mut [T],
    ) {
        let ends = a.iter().zip(b).zip(pa.iter().zip(pb));
        for (((a, b), (pa, pb)), (y, phi)) in ends.zip(y_bar.iter().zip(phi_bar)) {
            *phi = (w * M::at(*a, *b, *pb - *pa).0).mul_add(*y, *phi);
        }
    }
}

fn forward<T: Real, M: Theta>(pattern: &Pattern, x: &Inputs<T>, out: &mut [T]) {
    let (w, x, phi) = (x.get(0).data, x.get(1), x.get(2));
    pattern.by_row.for_groups(out, x.shape.rows, |i, y| {
        y.fill(T::ZERO);
        for (e, j) in pattern.row(i).zip(pattern.by_row.group(i).0) {
            let j = *j as usize;
            add_flux::<T, M>(w[e], x.col(i), x.col(j), phi.col(i), phi.col(j), y);
        }
    });
}

fn vjp<T: Real, M: Theta>(pattern: &Pattern, saved: &Saved<T>, out_bar: &[T], x_bar: &mut Cotangents<T>) {
    let (w, x, phi) = (saved.x.get(0).data, saved.x.get(1), saved.x.get(2));
    let rows = x.shape.rows;
    let bar = |i: usize| &out_bar[i * rows..(i + 1) * rows];
    if let Some(w_bar) = x_bar.get(0) {
        pattern.for_rows(w_bar, 1, |i, w_bar| {
            for (j, w_bar) in pattern.by_row.group(i).0.iter().zip(w_bar) {
                let j = *j as usize;
                *w_bar += flux_dot::<T, M>(x.col(i), x.col(j), phi.col(i), phi.col(j), bar(i));
            }
        });
    }
    // As receiver i of edges (i, j), then as sender of edges (k, i), where the difference of the potential
    // has the other sign.
    if let Some(x_bar) = x_bar.get(1) {
        pattern.by_row.for_groups(x_bar, rows, |i, x_bar| {
            for (e, j) in pattern.row(i).zip(pattern.by_row.group(i).0) {
                let j = *j as usize;
                add_slope::<T, M>(w[e], x.col(i), x.col(j), phi.col(i), phi.col(j), bar(i), x_bar);
            }
        });
        pattern.by_col.for_groups(x_bar, rows, |i, x_bar| {
            let (others, numbers) = pattern.by_col.group(i);
            for (k, j) in others.iter().enumerate() {
                let (w, j) = (-w[numbers.get(k)], *j as usize);
                add_slope::<T, M>(w, x.col(i), x.col(j), phi.col(i), phi.col(j), bar(j), x_bar);
            }
        });
    }
    if let Some(phi_bar) = x_bar.get(2) {
        pattern.by_row.for_groups(phi_bar, rows, |i, phi_bar| {
            for (e, j) in pattern.row(i).zip(pattern.by_row.group(i).0) {
                let j = *j as usize;
                add_mean::<T, M>(-w[e], x.col(i), x.col(j), phi.col(i), phi.col(j), bar(i), phi_bar);
            }
        });
        pattern.by_col.for_groups(phi_bar, rows, |i, phi_bar| {
            let (others, numbers) = pattern.by_col.group(i);
            for (k, j) in others.iter().enumerate() {
                // The receiver first, as in `forward`: for equal potentials upwind takes its density.
                let (w, j) = (w[numbers.get(k)], *j as usize);
                add_mean::<T, M>(w, x.col(j), x.col(i), phi.col(j), phi.col(i), bar(j), phi_bar);
            }
        });
    }
}

impl<T: Real> Op<T> for Flux {
    fn name(&self) -> &'static str {
        "flux on edges"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (s, n) = (self.pattern.shape(), inputs[1].cols);
        if inputs[0] != Shape::new(1, self.pattern.len()) {
            return Err(format!("the graph has {} edges, with one weight for each", self.pattern.len()));
        }
        if inputs[1] != inputs[2] || s != Shape::new(n, n) {
            return Err(format!("the graph is {s}: x and phi have a column for each node"));
        }
        Ok(inputs[1])
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        match self.mean {
            Mean::Arithmetic => forward::<T, Arithmetic>(&self.pattern, x, out),
            Mean::Logarithmic => forward::<T, Logarithmic>(&self.pattern, x, out),
            Mean::Upwind => forward::<T, Upwind>(&self.pattern, x, out),
        }
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        match self.mean {
            Mean::Arithmetic => vjp::<T, Arithmetic>(&self.pattern, saved, out_bar, x_bar),
            Mean::Logarithmic => vjp::<T, Logarithmic>(&self.pattern, saved, out_bar, x_bar),
            Mean::Upwind => vjp::<T, Upwind>(&self.pattern, saved, out_bar, x_bar),
        }
    }
}

impl<T: Real> Recording<'_, T> {
    /// The transport term of an aggregation equation with mobility theta = `mean`,
    ///
    /// y_i = sum_j w_ij theta(x_i, x_j) (phi_j - phi_i),
    ///
    /// entry by entry, over the edges (i, j) of receiver i; w is 1 x nnz. theta is the arithmetic mean; the
    /// logarithmic mean (a - b) / (log a - log b), with which diffusion is a gradient flow of the entropy; or
    /// upwind, x_j where phi_j > phi_i and else x_i, which keeps densities positive (Esposito, Patacchini,
    /// Schlichting and Slepcev 2021). With symmetric w each conserves the sum of x.
    pub fn edge_flux(&mut self, graph: &Sparse, mean: Mean, w: Var, x: Var, phi: Var) -> Var {
        self.apply(Flux { pattern: graph.pattern.clone(), mean }, &[w, x, phi])
    }
}
