//! A network on mean-free particle states, by projection of its input and output.

use std::sync::Arc;

use engine::tape::{Cotangents, Inputs, Saved};
use engine::{Op, Real, Recording, Shape, Var};

use super::ScoreNetwork;
use crate::target::{Geometry, ParticleSystem};

/// y = c P x for each column, P the projection onto mean-free states, c a constant of the column; inputs x
/// (N D x n) and c (1 x n). P is symmetric: x_bar += c P y_bar.
pub(super) struct Center(pub ParticleSystem);

impl<T: Real> Op<T> for Center {
    fn name(&self) -> &'static str {
        "mean-free projection"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [x, c] if x.rows == self.0.dim() && *c == Shape::new(1, x.cols) => Ok(*x),
            _ => Err(format!("wants states of {} numbers and a factor for each", self.0.dim())),
        }
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        out.copy_from_slice(x.get(0).data);
        self.0.center(out);
        for (out, c) in out.chunks_exact_mut(self.0.dim()).zip(x.get(1).data) {
            out.iter_mut().for_each(|out| *out *= *c);
        }
    }

    fn vjp(&self, saved: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Some(x_bar) = x_bar.get(0) else { return };
        self.0.center(out_bar);
        let d = self.0.dim();
        let columns = x_bar.chunks_exact_mut(d).zip(out_bar.chunks_exact(d)).zip(saved.x.get(1).data);
        for ((x, out), c) in columns {
            x.iter_mut().zip(out).for_each(|(x, out)| *x += *c * *out);
        }
    }
}

/// P F(P x, sigma) for a network F, P the projection onto mean-free states: invariant under translations.
pub struct Centred<T: Real> {
    inner: Box<dyn ScoreNetwork<T>>,
    center: Arc<Center>,
}

impl<T: Real> Centred<T> {
    /// The network `inner` on the mean-free states of `system`.
    pub fn new(inner: Box<dyn ScoreNetwork<T>>, system: ParticleSystem) -> Self {
        Self { inner, center: Arc::new(Center(system)) }
    }
}

impl<T: Real> ScoreNetwork<T> for Centred<T> {
    fn geometry(&self) -> Geometry {
        self.center.0.into()
    }

    fn record(&self, rec: &mut Recording<T>, x: Var, sigma: &[T]) -> Var {
        let one = rec.constant_with(1, sigma.len(), |ones| ones.fill(T::ONE));
        let x = rec.apply(self.center.clone(), &[x, one]);
        let f = self.inner.record(rec, x, sigma);
        rec.apply(self.center.clone(), &[f, one])
    }

    fn scaling(&self, sigma: T) -> (T, T) {
        self.inner.scaling(sigma)
    }
}
