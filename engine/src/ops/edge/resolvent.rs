//! The step of implicit diffusion on a graph: z with d z - c W z = b, channel by channel, for symmetric W.
//!
//! Where d_i exceeds c sum_j W_ij v_j / v_i for some positive v, the matrix is positive definite and its inverse has
//! no negative entry: z is not negative if b is not. The solution is found by conjugate gradients (Hestenes and
//! Stiefel 1952) with the diagonal d as preconditioner; the matrix is symmetric, so that the backward pass is a
//! solve of the same kind, d y - c W y = z_bar:
//!
//! b_bar += y,  d_bar -= y z,  c_bar += sum_i y_i (W z)_i.

use std::sync::Arc;

use crate::buffer_pool::BufferPool;
use crate::sparse::{Pattern, Sparse};
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, simd_fn};

/// Iterations after which a solve counts as failed.
const MOST: usize = 2000;

/// The symmetric matrix W of implicit steps of diffusion; make it once for a graph.
pub struct Resolvent<T>(Arc<Solve<T>>);

impl<T: Real> Resolvent<T> {
    /// The graph's structure, and weights that are the same in both directions of an edge.
    pub fn new(graph: &Sparse, weights: &[T]) -> Self {
        let (pattern, weights, pool) = (graph.pattern.clone(), weights.into(), BufferPool::default());
        Self(Arc::new(Solve { pattern, weights, pool }))
    }
}

/// Inputs d, c, b and a first guess.
struct Solve<T> {
    pattern: Arc<Pattern>,
    weights: Vec<T>,
    pool: BufferPool<Workspace<T>>,
}

/// Residual, direction, its image, sums of tasks, and for each channel rho, its end, alpha and beta.
struct Workspace<T> {
    r: Vec<T>,
    p: Vec<T>,
    q: Vec<T>,
    sums: Vec<T>,
    channels: [Vec<T>; 4],
}

impl<T> Default for Workspace<T> {
    fn default() -> Self {
        let none = Vec::new;
        Self { r: none(), p: none(), q: none(), sums: none(), channels: [none(), none(), none(), none()] }
    }
}

simd_fn! {
    /// q = d p - c q, and the sum of p q for each channel.
    fn image<T: Real>(d: &[T], c: &[T], p: &[T], q: &mut [T], sum: &mut [T]) {
        for ((((d, c), p), q), sum) in d.iter().zip(c).zip(p).zip(q).zip(sum) {
            *q = d.mul_add(*p, -(*c * *q));
            *sum = p.mul_add(*q, *sum);
        }
    }

    /// z += alpha p, r -= alpha q, and the sum of r^2 / d for each channel.
    fn advance<T: Real>(alpha: &[T], d: &[T], p: &[T], q: &[T], z: &mut [T], r: &mut [T], sum: &mut [T]) {
        let ends = alpha.iter().zip(d).zip(p.iter().zip(q));
        for (((alpha, d), (p, q)), ((z, r), sum)) in ends.zip(z.iter_mut().zip(r).zip(sum)) {
            *z = alpha.mul_add(*p, *z);
            *r = (-*alpha).mul_add(*q, *r);
            *sum = r.mul_add(*r / *d, *sum);
        }
    }

    /// p = r / d + beta p.
    fn turn<T: Real>(beta: &[T], d: &[T], r: &[T], p: &mut [T]) {
        for (((beta, d), r), p) in beta.iter().zip(d).zip(r).zip(p) {
            *p = beta.mul_add(*p, *r / *d);
        }
    }

    /// r = b - d z + c r, and the sums of r^2 / d and of b^2 / d for each channel, one behind the other.
    fn residual<T: Real>(d: &[T], c: &[T], b: &[T], z: &[T], r: &mut [T], sum: &mut [T]) {
        let (left, right) = sum.split_at_mut(r.len());
        let ends = d.iter().zip(c).zip(b.iter().zip(z));
        for (((d, c), (b, z)), ((r, left), right)) in ends.zip(r.iter_mut().zip(left).zip(right)) {
            *r = c.mul_add(*r, *b - *d * *z);
            *left = r.mul_add(*r / *d, *left);
            *right = b.mul_add(*b / *d, *right);
        }
    }

    /// z = (b + c q) / d.
    fn sweep<T: Real>(d: &[T], c: &[T], b: &[T], q: &[T], z: &mut [T]) {
        for ((((d, c), b), q), z) in d.iter().zip(c).zip(b).zip(q).zip(z) {
            *z = c.mul_add(*q, *b) / *d;
        }
    }
}

/// The sums of all tasks, added up in their order, into the first `len` of `out`.
fn total<T: Real>(sums: &[T], len: usize, out: &mut Vec<T>) {
    out.clear();
    out.resize(len, T::ZERO);
    for part in sums.chunks_exact(len) {
        out.iter_mut().zip(part).for_each(|(out, part)| *out += *part);
    }
}

impl<T: Real> Solve<T> {
    /// Brings z to the solution, of every channel to a small share of the rounding error's root of b; whether it
    /// came there.
    fn solve(&self, rows: usize, d: &[T], c: &[T], b: &[T], z: &mut [T], space: &mut Workspace<T>) -> bool {
        let (order, w) = (&self.pattern.by_row, &self.weights);
        let column = |x: usize| x * rows..(x + 1) * rows;
        // One chunk of work for each task: sums do not depend on the number of threads.
        let at = |[groups, _, tasks]: [usize; 3]| (groups * rows, tasks * rows);
        let Workspace { r, p, q, sums, channels: [rho, end, alpha, beta] } = space;
        for v in [&mut *r, &mut *p, &mut *q] {
            v.resize(b.len(), T::ZERO);
        }
        sums.resize(2 * rows * order.tasks(), T::ZERO);
        sums.fill(T::ZERO);
        let current = &*z;
        let twice = |k| [at(k).0, 2 * at(k).1];
        order.for_tasks([&mut **r, &mut **sums], twice, |_, nodes, [r, sum]| {
            for (i, r) in nodes.zip(r.chunks_exact_mut(rows)) {
                order.accumulate_one(i, w, 1, current, true, r);
                residual(&d[column(i)], c, &b[column(i)], &current[column(i)], r, sum);
            }
        });
        total(sums, 2 * rows, rho);
        let tolerance = T::of(T::EPSILON.f64().powf(1.5));
        end.clear();
        end.extend(rho[rows..].iter().map(|b| tolerance * *b));
        rho.truncate(rows);
        sums.truncate(rows * order.tasks());
        alpha.resize(rows, T::ZERO);
        beta.clear();
        beta.resize(rows, T::ZERO);
        p.fill(T::ZERO);
        for _ in 0..MOST {
            if rho.iter().zip(&*end).all(|(rho, end)| *rho <= *end) {
                return true;
            }
            order.for_tasks(
                [&mut **p],
                |k| [at(k).0],
                |_, nodes, [p]| {
                    for (i, p) in nodes.zip(p.chunks_exact_mut(rows)) {
                        turn(beta, &d[column(i)], &r[column(i)], p);
                    }
                },
            );
            sums.fill(T::ZERO);
            order.for_tasks(
                [&mut **q, &mut **sums],
                |k| at(k).into(),
                |_, nodes, [q, sum]| {
                    for (i, q) in nodes.zip(q.chunks_exact_mut(rows)) {
                        order.accumulate_one(i, w, 1, p, true, q);
                        image(&d[column(i)], c, &p[column(i)], q, sum);
                    }
                },
            );
            total(sums, rows, alpha);
            // A channel that is there rests.
            for ((alpha, rho), end) in alpha.iter_mut().zip(&*rho).zip(&*end) {
                *alpha = if *rho > *end && *alpha > T::ZERO { *rho / *alpha } else { T::ZERO };
            }
            sums.fill(T::ZERO);
            let three = |k| [at(k).0, at(k).0, at(k).1];
            order.for_tasks([&mut *z, &mut **r, &mut **sums], three, |_, nodes, [z, r, sum]| {
                for ((i, z), r) in nodes.zip(z.chunks_exact_mut(rows)).zip(r.chunks_exact_mut(rows)) {
                    advance(alpha, &d[column(i)], &p[column(i)], &q[column(i)], z, r, sum);
                }
            });
            total(sums, rows, beta);
            for (beta, rho) in beta.iter_mut().zip(rho.iter_mut()) {
                let new = *beta;
                *beta = if *rho > T::ZERO { new / *rho } else { T::ZERO };
                *rho = new;
            }
        }
        false
    }
}

impl<T: Real> Op<T> for Solve<T> {
    fn name(&self) -> &'static str {
        "implicit diffusion"
    }
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (s, d) = (self.pattern.shape(), inputs[0]);
        if s != Shape::new(d.cols, d.cols) || self.weights.len() != self.pattern.len() {
            return Err(format!(
                "the graph is {s} with one weight for each of its {} edges",
                self.pattern.len()
            ));
        }
        if inputs[1] != Shape::new(d.rows, 1) || inputs[2] != d || inputs[3] != d {
            return Err("d, b and the guess have one shape, and c a number for each row".into());
        }
        Ok(d)
    }
    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let [d, c, b, guess] = [0, 1, 2, 3].map(|k| x.get(k).data);
        let rows = x.get(0).shape.rows;
        out.copy_from_slice(guess);
        if out.is_empty() {
            return;
        }
        let mut space = self.pool.take();
        if !self.solve(rows, d, c, b, out, &mut space) {
            // No state: what follows must not pass for a result.
            x.fail("conjugate gradients did not converge");
            out.fill(T::of(f64::NAN));
            self.pool.give_back(space);
            return;
        }
        // What is left of the error may be larger than an entry. One sweep of Jacobi's method from a state without
        // negative entries has none.
        let (q, order) = (&mut space.q, &self.pattern.by_row);
        space.p.clear();
        space.p.extend(out.iter().map(|z| z.max(T::ZERO)));
        order.accumulate(&self.weights, 1, &space.p, rows, true, q);
        let columns = q.chunks_exact(rows).zip(out.chunks_exact_mut(rows));
        for ((d, b), (q, z)) in d.chunks_exact(rows).zip(b.chunks_exact(rows)).zip(columns) {
            sweep(d, c, b, q, z);
        }
        self.pool.give_back(space);
    }
    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let [d, c] = [0, 1].map(|k| saved.x.get(k).data);
        let (z, rows) = (saved.out.data, saved.out.shape.rows);
        if z.is_empty() {
            return;
        }
        let mut space = self.pool.take();
        let mut y = vec![T::ZERO; z.len()];
        if !self.solve(rows, d, c, out_bar, &mut y, &mut space) {
            y.fill(T::of(f64::NAN));
        }
        if let Some(d_bar) = x_bar.get(0) {
            d_bar.iter_mut().zip(&y).zip(z).for_each(|((d, y), z)| *d -= *y * *z);
        }
        if let Some(c_bar) = x_bar.get(1) {
            self.pattern.by_row.accumulate(&self.weights, 1, z, rows, true, &mut space.q);
            for (y, q) in y.chunks_exact(rows).zip(space.q.chunks_exact(rows)) {
                c_bar.iter_mut().zip(y).zip(q).for_each(|((c, y), q)| *c = y.mul_add(*q, *c));
            }
        }
        if let Some(b_bar) = x_bar.get(2) {
            b_bar.iter_mut().zip(&y).for_each(|(b, y)| *b += *y);
        }
        self.pool.give_back(space);
    }
}

impl<T: Real> Recording<'_, T> {
    /// z with d z - c W z = b entry by entry, for the symmetric W of `resolvent`: d, b and z have a column for each
    /// node, and c (rows x 1) is not negative. b is not negative, and neither is z.
    ///
    /// The matrix must be positive definite, as it is where d_i > c sum_j W_ij v_j / v_i for some positive v. The
    /// iteration begins at `guess`, on which the solution does not depend: it gets no gradient.
    pub fn implicit_diffusion(&mut self, resolvent: &Resolvent<T>, [d, c, b]: [Var; 3], guess: Var) -> Var {
        self.apply(resolvent.0.clone(), &[d, c, b, guess])
    }
}
