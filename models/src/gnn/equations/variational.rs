//! The variational form of GRADE: diffusion balanced by aggregation as the gradient flow of an energy, in steps of
//! any length that keep what the equation keeps.
//!
//! The state is a density x_i > 0 of each channel at each node, with d_i the degree (the sum of the weights of its
//! edges) as the size of node i, A the row-normalised matrix of an undirected graph, and energy
//!
//! F(x) = sum_i d_i [ x_i log x_i - x_i - beta H((A x)_i) ],  H(s) = s - log(1 + s).
//!
//! The first part is the entropy, whose flow is diffusion. The second rewards mass where mass is near: H' = s / (1 + s)
//! saturates, so that the potential phi = beta A H'(A x) lies between 0 and beta whatever x is. Mass moves along
//! edges at the rates of a jump process in this potential (Scharfetter and Gummel 1969; on graphs Maas 2011, Chow et
//! al. 2012),
//!
//! dx_i/dt = r sum_j A_ij [ x_j e^((phi_i - phi_j) / 2) - x_i e^((phi_j - phi_i) / 2) ]
//!         = r [ u_i (A z)_i - z_i (A u)_i ],  u = e^(phi / 2), z = x / u.
//!
//! It conserves sum_i d_i x_i, keeps x positive and lowers F. A step of length h takes the potential at its beginning
//! and the densities at its end: with c = h r, (1 + c (A u) / u) z - c A z = x / u, a symmetric linear system. For
//! every h
//! - mass is conserved, and x stays positive: the step is the kernel of a Markov chain;
//! - F falls: -H(A x) is concave and lies below its tangent at the old x, so that F falls at least as much as the
//!   entropy of x relative to e^phi, which every kernel that leaves e^phi as it is lowers.
//!
//! So 0 < x_i < mass / d_i at all times. With q = beta c / (1 + c)^2 the consensus x = c changes at the rate
//! -r lambda (1 - q mu^2) along an eigenvector of I - A with eigenvalue lambda = 1 - mu: short waves are damped, and
//! where q > 1 long ones grow. States outside a consensus whose energy is lower never come to it. With beta = 0 the
//! step is that of implicit diffusion.
//!
//! With a source the potential has gamma log x_i(0) besides: a fixed field, with which all of this stays as it is and F
//! has -gamma sum_i d_i x_i log x_i(0). Every node then remembers where it began, as under the source of GRAND.
//!
//! r = r1 s(alpha) and beta = 2 r2 s(b), s the logistic function; gamma = s(.) too. To the encoder and the decoder the
//! state is log x, between -10 and 10 at the beginning. Kernel, mobility and their numbers belong to the other forms.

use std::sync::Arc;

use engine::ops::edge::Resolvent;
use engine::{ParamId, Real, Recording, Var};

use super::coefficient::{Coefficient, Dependence};
use super::grade::{GradeSettings, Kernel, Sigma};
use super::{Dynamics, MixingSettings, Start};
use crate::gnn::space::Draw;
use crate::gnn::{Adjacency, Dataset, Normalisation};
use crate::range::{self, Range};

/// Largest |log x| at the beginning.
const WIDEST: f64 = 10.0;

/// An error if a setting is outside the range of this form, or has no place in it.
pub(super) fn check(s: &GradeSettings) -> Result<(), String> {
    range::check(&[
        ("model.diffusion", s.diffusion, Range::NotNegative),
        ("model.aggregation", s.aggregation, Range::Between(0.0, 20.0)),
    ])?;
    let refused = [
        (s.alpha == Dependence::Time, "model.alpha = \"time\""),
        (s.beta == Dependence::Time, "model.beta = \"time\""),
        (s.sigma != Sigma::Identity, "a model.sigma but \"identity\""),
    ];
    match refused.iter().find(|(is_so, _)| *is_so) {
        Some((_, setting)) => Err(format!("model.form = \"variational\" has no place for {setting}")),
        None => Ok(()),
    }
}

/// Draws the settings of this form in a search. Aggregation begins to matter at about 4.
pub(super) fn draw(s: &mut GradeSettings, draw: &mut Draw<'_>) {
    for dependence in [&mut s.alpha, &mut s.beta] {
        if *dependence == Dependence::Time {
            *dependence = Dependence::Channel;
        }
    }
    s.diffusion = draw.one_of(&[0.25, 0.5, 1.0, 2.0]);
    s.aggregation = draw.one_of(&[0.0, 2.0, 4.0, 6.0, 8.0, 12.0]);
}

/// An error where the flow of mass would not be the same in both directions of an edge.
pub(super) fn suits(mixing: &MixingSettings, data: &Dataset) -> Result<(), String> {
    if mixing.normalisation != Normalisation::Row || mixing.attention {
        return Err(
            "model.form = \"variational\" wants model.normalisation = \"row\" and no model.attention".into(),
        );
    }
    let weight = |place: usize| data.edge_weights.get(place).copied().unwrap_or(1.0);
    for (place, (i, j)) in data.edges.iter().enumerate() {
        let Ok(back) = data.edges.binary_search(&(*j, *i)) else {
            return Err(format!(
                "model.form = \"variational\" wants undirected edges, and ({j}, {i}) is missing; set data.edges = \"undirected\""
            ));
        };
        if weight(place) != weight(back) {
            return Err(format!(
                "model.form = \"variational\" wants one weight for both directions of an edge, and ({i}, {j}) has {} and {}; set data.weights = \"ignore\"",
                weight(place),
                weight(back)
            ));
        }
    }
    Ok(())
}

/// The gradient flow.
pub(super) struct Variational<T> {
    adjacency: Arc<Adjacency<T>>,
    resolvent: Resolvent<T>,
    /// 1 x nodes; 1 for a node without edges.
    degrees: Vec<T>,
    alpha: Coefficient,
    beta: Coefficient,
    /// gamma, before the logistic function.
    source: Option<ParamId>,
    diffusion: f64,
    aggregation: f64,
}

/// What a step takes from the state at its beginning.
struct Potential {
    /// u = e^(phi / 2).
    u: Var,
    /// (A u) / u.
    outflow: Var,
    /// z = x / u.
    z: Var,
}

impl<T: Real> Variational<T> {
    pub(super) fn new(
        settings: &GradeSettings,
        adjacency: Arc<Adjacency<T>>,
        weights: &Adjacency<T>,
        (alpha, beta): (Coefficient, Coefficient),
        source: Option<ParamId>,
    ) -> Self {
        let size = |d: &T| if *d > T::ZERO { *d } else { T::ONE };
        let degrees = weights.row_sums.iter().map(size).collect();
        // d_i A_ij = w_ij: the same in both directions.
        let resolvent = Resolvent::new(&adjacency.sparse, &weights.weights);
        let diffusion = settings.diffusion;
        let aggregation = if settings.kernel == Kernel::None { 0.0 } else { settings.aggregation };
        Self { adjacency, resolvent, degrees, alpha, beta, source, diffusion, aggregation }
    }

    fn mean(&self, g: &mut Recording<T>, x: Var, start: Start) -> Var {
        g.sparse_columns(&self.adjacency.sparse, start.weights, x)
    }

    fn potential(&self, g: &mut Recording<T>, x: Var, start: Start) -> Potential {
        // H'(A x) = 1 - 1 / (1 + A x)
        let near = self.mean(g, x, start);
        let rest = g.affine(near, 1.0, 1.0);
        let slope = g.div(near, rest);
        let phi = self.mean(g, slope, start);
        let half = self.half_beta(g);
        let mut half_phi = g.mul(phi, half);
        if let Some(field) = self.field(g, start) {
            let pull = g.scale(field, 0.5);
            half_phi = g.add(half_phi, pull);
        }
        let u = g.exp(half_phi);
        let around = self.mean(g, u, start);
        Potential { u, outflow: g.div(around, u), z: g.div(x, u) }
    }

    /// beta / 2, a number or one for each channel.
    fn half_beta(&self, g: &mut Recording<T>) -> Var {
        let beta = self.beta.squashed(g, 0.0);
        g.scale(beta, self.aggregation)
    }

    /// gamma log x(0), if there is a source.
    fn field(&self, g: &mut Recording<T>, start: Start) -> Option<Var> {
        let gamma = g.param(self.source?);
        let gamma = g.sigmoid(gamma);
        let first = g.log(start.x0);
        Some(g.mul(first, gamma))
    }

    /// c = h r, a number for each channel.
    fn rate(&self, g: &mut Recording<T>, h: f64, channels: usize) -> Var {
        let alpha = self.alpha.squashed(g, 0.0);
        let rate = g.scale(alpha, h * self.diffusion);
        let ones = g.constant(channels, 1, &vec![T::ONE; channels]);
        g.mul(ones, rate)
    }
}

impl<T: Real> Dynamics<T> for Variational<T> {
    fn weights(&self, g: &mut Recording<T>, _: Var) -> Var {
        g.constant(1, self.adjacency.weights.len(), &self.adjacency.weights)
    }

    fn velocity(&self, g: &mut Recording<T>, x: Var, _: f64, start: Start) -> Var {
        let Potential { u, outflow, z } = self.potential(g, x, start);
        let gain = self.mean(g, z, start);
        let loss = g.mul(z, outflow);
        let change = g.sub(gain, loss);
        let change = g.mul(change, u);
        let rate = self.rate(g, 1.0, g.shape(x).rows);
        g.mul(change, rate)
    }

    fn diffusion_rate(&self, g: &mut Recording<T>, _: f64) -> Option<Var> {
        let alpha = self.alpha.squashed(g, 0.0);
        Some(g.scale(alpha, self.diffusion))
    }

    fn implicit_step(&self, g: &mut Recording<T>, x: Var, h: f64, start: Start) -> Option<Var> {
        let Potential { u, outflow, z } = self.potential(g, x, start);
        let c = self.rate(g, h, g.shape(x).rows);
        let degrees = g.constant(1, self.degrees.len(), &self.degrees);
        let moved = g.mul(outflow, c);
        let d = g.affine(moved, 1.0, 1.0);
        let (d, b) = (g.mul(d, degrees), g.mul(z, degrees));
        let z = g.implicit_diffusion(&self.resolvent, [d, c, b], z);
        Some(g.mul(z, u))
    }

    fn energy(&self, g: &mut Recording<T>, x: Var, start: Start) -> Option<Var> {
        // x (log x - 1 - gamma log x(0)) - beta (s - log(1 + s)), s = A x
        let mut bracket = g.log(x);
        bracket = g.affine(bracket, 1.0, -1.0);
        if let Some(field) = self.field(g, start) {
            bracket = g.sub(bracket, field);
        }
        let entropy = g.mul(x, bracket);
        let near = self.mean(g, x, start);
        let rest = g.affine(near, 1.0, 1.0);
        let rest = g.log(rest);
        let gain = g.sub(near, rest);
        let half = self.half_beta(g);
        let beta = g.scale(half, 2.0);
        let gain = g.mul(gain, beta);
        let density = g.sub(entropy, gain);
        let degrees = g.constant(1, self.degrees.len(), &self.degrees);
        Some(g.mul(density, degrees))
    }

    fn enter(&self, g: &mut Recording<T>, x: Var) -> Var {
        let x = g.scale(x, 1.0 / WIDEST);
        let x = g.tanh(x);
        let x = g.scale(x, WIDEST);
        g.exp(x)
    }

    fn leave(&self, g: &mut Recording<T>, x: Var) -> Var {
        g.log(x)
    }
}
