//! GRADE (Zhao et al., arXiv 2403.20221): diffusion of sigma(x) balanced by aggregation along the
//! gradient of an interaction potential K x, with kernel values kappa on the edges.
//!
//! `paper`: dx_u/dt = s(alpha) sum_v w_uv [sigma(x_v) - sigma(x_u)]
//!                  + sum_v w_uv theta(x_u, x_v) o [phi_v - phi_u],  phi = r2 b o K x,
//! `code`:  dx/dt = r1 s(alpha(t)) o (A sigma(x) - sigma(x)) + r2 b o R(x), R = (A x - x) o (K x), and for
//! the sine kernel R_u = w0 + w1 mean over the edges of u of sin(x_j - x_u) / degree of u.
//! s is the logistic function, b free of sign. With r2 = 0 this is GRAND.

use engine::ops::edge::Mean;
use engine::{ParamId, Params, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::grand::add_source;
use super::{Dynamics, Mixing, Start};
use crate::gnn::attention::PairAttention;
use crate::gnn::coefficient::{Coefficient, Dependence};

/// Which of the two families of equations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The equation that the paper is reported to have.
    Paper,
    /// The equation of its code.
    Code,
}

/// The interaction kernel kappa_ij on the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Attention over each node's edges.
    Gat,
    /// log(eps + |x_i - x_j|).
    Log,
    /// exp(-|x_i - x_j|^2 / 4 width^2).
    Gauss,
    /// The coupling of Kuramoto's oscillators.
    Sin,
    /// No aggregation.
    None,
}

/// The mobility theta of the paper form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mobility {
    /// x_u: the paper's; does not conserve mass.
    Node,
    /// (x_u + x_v) / 2.
    Mean,
    /// (x_u - x_v) / (log x_u - log x_v), for positive states.
    LogMean,
    /// The end that mass leaves.
    Upwind,
}

/// The nonlinearity sigma of diffusion, increasing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sigma {
    /// r.
    Identity,
    /// sign(r) |r|^m, m >= 1: the porous medium.
    Power(f64),
    /// softplus(p) r + softplus(q) r |r|, p and q learned.
    Learned,
}

/// What a GRADE block is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct GradeSettings {
    /// Paper or code.
    pub form: Form,
    /// The kernel.
    pub kernel: Kernel,
    /// The mobility (paper form).
    pub mobility: Mobility,
    /// The nonlinearity.
    pub sigma: Sigma,
    /// r1, the strength of diffusion.
    pub diffusion: f64,
    /// r2, the strength of aggregation.
    pub aggregation: f64,
    /// eps of the logarithmic kernel.
    pub log_eps: f64,
    /// Width of the Gaussian kernel.
    pub width: f64,
    /// Dependence of alpha.
    pub alpha: Dependence,
    /// Dependence of b.
    pub beta: Dependence,
    /// Whether a learned multiple of x_0 is added.
    pub source: bool,
}

/// The aggregation-diffusion equation.
pub struct Grade<T> {
    mixing: Mixing<T>,
    settings: GradeSettings,
    alpha: Coefficient,
    beta: Coefficient,
    gat: Option<PairAttention<T>>,
    /// (w0, w1) of the sine kernel, and 1 / degree^2 of the listener on each edge.
    sine: Option<(ParamId, ParamId, Vec<T>)>,
    learned: Option<(ParamId, ParamId)>,
    source: Option<ParamId>,
}

impl<T: Real> Grade<T> {
    /// On states of `channels`; an error if the settings do not go together.
    pub fn new(
        params: &mut Params<T>,
        mixing: Mixing<T>,
        settings: GradeSettings,
        channels: usize,
        seed: u64,
    ) -> Result<Self, String> {
        if settings.kernel == Kernel::Sin && settings.form == Form::Paper {
            return Err("the sine kernel belongs to the code form; use form = \"code\"".into());
        }
        let s = &settings;
        let alpha = Coefficient::new(params, "alpha", s.alpha, channels, 0.0, seed);
        let beta = Coefficient::new(params, "beta", s.beta, channels, 1.0, seed);
        let graph = mixing.adjacency.clone();
        let gat =
            (s.kernel == Kernel::Gat).then(|| PairAttention::new(params, graph.clone(), channels, 64, seed));
        let sine = (s.kernel == Kernel::Sin).then(|| {
            let weight = |d: &usize| vec![T::of(1.0 / (*d * *d) as f64); *d];
            let (w0, w1) =
                (params.add("kernel.w0", 1, 1, || T::ONE), params.add("kernel.w1", 1, 1, || T::ONE));
            (w0, w1, graph.degrees.iter().flat_map(weight).collect())
        });
        // softplus(0.5413) = 1: diffusion begins linear, with a little of the second part.
        let learned = (s.sigma == Sigma::Learned).then(|| {
            (params.add("sigma.1", 1, 1, || T::of(0.5413)), params.add("sigma.2", 1, 1, || T::of(-2.0)))
        });
        let source = s.source.then(|| params.add_zeros("source", 1, 1));
        Ok(Self { mixing, alpha, beta, gat, sine, learned, source, settings })
    }

    fn sigma(&self, g: &mut Recording<T>, x: Var) -> Var {
        match (self.settings.sigma, self.learned) {
            (Sigma::Power(m), _) if m != 1.0 => g.signed_power(x, m),
            (Sigma::Learned, Some((p, q))) => {
                let (p, q) = (g.param(p), g.param(q));
                let (p, q) = (g.softplus(p), g.softplus(q));
                let square = g.signed_power(x, 2.0);
                let (linear, square) = (g.mul(x, p), g.mul(square, q));
                g.add(linear, square)
            }
            _ => x,
        }
    }

    /// K x, with the kernel's values at x.
    fn potential(&self, g: &mut Recording<T>, x: Var) -> Option<Var> {
        let graph = &self.mixing.adjacency.sparse;
        let kappa = match (self.settings.kernel, &self.gat) {
            (Kernel::Gat, Some(gat)) => gat.weights(g, x),
            (Kernel::Log, _) => {
                let r = g.edge_distance(graph, x, x);
                let r = g.affine(r, 1.0, self.settings.log_eps);
                g.log(r)
            }
            (Kernel::Gauss, _) => {
                let r2 = g.edge_squared_distance(graph, x, x);
                let r2 = g.scale(r2, -0.25 / self.settings.width.powi(2));
                g.exp(r2)
            }
            _ => return None,
        };
        Some(g.sparse_columns(graph, kappa, x))
    }

    /// A x - (row sums of A) x: differences only, whatever the rows of A sum to.
    fn differences(&self, g: &mut Recording<T>, weights: Var, x: Var) -> Var {
        g.sparse_differences(&self.mixing.adjacency.sparse, weights, x)
    }

    /// The aggregation term; none if it is off.
    fn aggregation(&self, g: &mut Recording<T>, x: Var, t: f64, change: Var, weights: Var) -> Aggregation {
        let s = &self.settings;
        if s.aggregation == 0.0 {
            return Aggregation::Off;
        }
        let b = self.beta.at(g, t);
        let b = g.scale(b, s.aggregation);
        if let Some((w0, w1, sine_weights)) = &self.sine {
            let w = g.constant(1, sine_weights.len(), sine_weights);
            let pull = g.edge_sine(&self.mixing.adjacency.sparse, w, x);
            let (w0, w1) = (g.param(*w0), g.param(*w1));
            let pull = g.mul(pull, w1);
            let r = g.add(pull, w0);
            return Aggregation::Whole(g.mul(r, b));
        }
        let Some(phi) = self.potential(g, x) else { return Aggregation::Off };
        let mean = match (s.form, s.mobility) {
            (Form::Code, _) => return Aggregation::Product(b, change, phi),
            // Differences are linear and b belongs to the channel: b may wait until after them.
            (Form::Paper, Mobility::Node) => {
                return Aggregation::Product(b, self.differences(g, weights, phi), x);
            }
            (Form::Paper, Mobility::Mean) => Mean::Arithmetic,
            (Form::Paper, Mobility::LogMean) => Mean::Logarithmic,
            (Form::Paper, Mobility::Upwind) => Mean::Upwind,
        };
        // The potential is multiplied by r2 b before the flux is taken, so that upwind knows which way mass
        // moves whatever the sign of b.
        let phi = g.mul(phi, b);
        Aggregation::Whole(g.edge_flux(&self.mixing.adjacency.sparse, mean, weights, x, phi))
    }
}

/// The aggregation term as the right-hand side adds it.
enum Aggregation {
    /// No term.
    Off,
    /// The term itself.
    Whole(Var),
    /// r2 b o c o d.
    Product(Var, Var, Var),
}

impl<T: Real> Dynamics<T> for Grade<T> {
    fn weights(&self, g: &mut Recording<T>, x0: Var) -> Var {
        self.mixing.weights(g, x0)
    }

    fn velocity(&self, g: &mut Recording<T>, x: Var, t: f64, start: Start) -> Var {
        let nonlinear = self.sigma(g, x);
        let change = match self.settings.form {
            Form::Paper => self.differences(g, start.weights, nonlinear),
            Form::Code => self.mixing.diffuse(g, start.weights, nonlinear),
        };
        // R of the code form has A x - x without sigma.
        let linear = match (self.settings.form, self.settings.sigma) {
            (Form::Code, sigma) if sigma != Sigma::Identity => self.mixing.diffuse(g, start.weights, x),
            _ => change,
        };
        let alpha = self.alpha.squashed(g, t);
        let alpha = g.scale(alpha, self.settings.diffusion);
        let f = match self.aggregation(g, x, t, linear, start.weights) {
            Aggregation::Off => g.mul(change, alpha),
            Aggregation::Product(b, c, d) => g.combine((alpha, change), (b, c, d)),
            Aggregation::Whole(r) => {
                let f = g.mul(change, alpha);
                g.add(f, r)
            }
        };
        add_source(g, f, self.source, start)
    }
}
