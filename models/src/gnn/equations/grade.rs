//! GRADE (Zhao et al., arXiv 2403.20221): diffusion of sigma(x) balanced by aggregation along the
//! gradient of an interaction potential K x, with kernel values kappa on the edges.
//!
//! `paper`: dx_u/dt = s(alpha) sum_v w_uv [sigma(x_v) - sigma(x_u)]
//!                  + sum_v w_uv theta(x_u, x_v) o [phi_v - phi_u],  phi = r2 b o K x,
//! `code`:  dx/dt = r1 s(alpha(t)) o (A sigma(x) - sigma(x)) + r2 b o R(x), R = (A x - x) o (K x), and for
//! the sine kernel R_u = w0 + w1 mean over the edges of u of sin(x_j - x_u) / degree of u.
//! `variational`: a form of ours, in the file of that name.
//! s is the logistic function, b free of sign. With r2 = 0 this is GRAND. Weights of edges are in A = (w_uv) alone:
//! kernels look at the states of an edge's ends.

use std::sync::Arc;

use engine::ode::RungeKutta;
use engine::ops::edge::Mean;
use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::attention::PairAttention;
use super::coefficient::{Coefficient, Dependence};
use super::grand::add_source;
use super::variational::{self, Variational};
use super::{Dynamics, Equation, Mixing, MixingSettings, Shared, Start};
use crate::gnn::layers::Builder;
use crate::gnn::space::{Continuous, Draw, rounded};
use crate::gnn::{Dataset, Normalisation};
use crate::range::{self, Range};

/// Which family of equations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The equation that the paper is reported to have.
    Paper,
    /// The equation of its code.
    Code,
    /// The gradient flow of an energy, in steps that keep densities positive and their mass: see `variational.rs`.
    Variational,
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sigma {
    /// r.
    Identity,
    /// sign(r) |r|^m, m >= 1: the porous medium.
    Power(f64),
    /// softplus(p) r + softplus(q) r |r|, p and q learned.
    Learned,
}

/// As a configuration has it: `identity`, `power:M` or `learned`.
impl TryFrom<String> for Sigma {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match (text.as_str(), text.strip_prefix("power:").and_then(|m| m.parse::<f64>().ok())) {
            ("identity", _) => Ok(Self::Identity),
            ("learned", _) => Ok(Self::Learned),
            (_, Some(m)) if m >= 1.0 && m.is_finite() => Ok(Self::Power(m)),
            _ => Err("write identity, learned or power:M with M of at least 1"),
        }
    }
}

impl From<Sigma> for String {
    fn from(sigma: Sigma) -> Self {
        match sigma {
            Sigma::Identity => "identity".into(),
            Sigma::Power(m) => format!("power:{m}"),
            Sigma::Learned => "learned".into(),
        }
    }
}

/// Settings of GRADE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradeSettings {
    /// paper, code or variational.
    pub form: Form,
    /// gat, log, gauss, sin or none (variational form: none for no aggregation, the others are not read).
    pub kernel: Kernel,
    /// node, mean, log-mean or upwind (paper form).
    pub mobility: Mobility,
    /// identity, power:M or learned.
    pub sigma: Sigma,
    /// r1, the strength of diffusion.
    pub diffusion: f64,
    /// r2, the strength of aggregation; 0 is the ablation.
    pub aggregation: f64,
    /// eps of the logarithmic kernel.
    pub log_eps: f64,
    /// Width of the Gaussian kernel.
    pub width: f64,
    /// Dependence of alpha.
    pub alpha: Dependence,
    /// Dependence of b.
    pub beta: Dependence,
    /// Add a learned multiple of the initial state.
    pub source: bool,
}

impl Default for GradeSettings {
    fn default() -> Self {
        Self {
            form: Form::Code,
            kernel: Kernel::Gat,
            mobility: Mobility::Node,
            sigma: Sigma::Identity,
            diffusion: 0.5,
            aggregation: 0.5,
            log_eps: 1.0,
            width: 1.0,
            alpha: Dependence::Scalar,
            beta: Dependence::Channel,
            source: false,
        }
    }
}

impl Equation for GradeSettings {
    /// An addition of ours; the rivals stay as they were published.
    const SKIP: bool = true;

    fn check(&self) -> Result<(), String> {
        range::check(&[
            ("model.log_eps", self.log_eps, Range::Positive),
            ("model.width", self.width, Range::Positive),
        ])?;
        if self.form == Form::Paper && self.kernel == Kernel::Sin {
            return Err("model.kernel = \"sin\" belongs to model.form = \"code\"".into());
        }
        if self.form == Form::Variational { variational::check(self) } else { Ok(()) }
    }

    fn draw(&mut self, drawn: &Continuous, draw: &mut Draw<'_>) {
        let scarce = draw.graph.scarce;
        (self.alpha, self.beta, self.source) = (drawn.alpha, drawn.beta, drawn.source);
        if self.form == Form::Variational {
            return variational::draw(self, draw);
        }
        self.kernel = draw.one_of(&[Kernel::Gat, Kernel::Log, Kernel::Gauss, Kernel::Sin]);
        self.form = if self.kernel == Kernel::Sin || draw.coin() { Form::Code } else { Form::Paper };
        self.mobility = draw.one_of(&[Mobility::Node, Mobility::Mean]);
        self.sigma = draw.one_of(&[Sigma::Identity, Sigma::Identity, Sigma::Learned]);
        let tenths: [f64; 10] = std::array::from_fn(|k| (k + 1) as f64);
        self.diffusion = rounded(if scarce { 0.2 } else { 0.1 } * draw.one_of(&tenths));
        // Over a long time a weaker aggregation does as much, and a strong one blows up.
        let weak = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3];
        self.aggregation = if scarce { draw.one_of(&weak) } else { rounded(0.1 * draw.one_of(&tenths)) };
        self.log_eps = draw.one_of(&[0.01, 0.1, 0.3, 1.0]);
        self.width = draw.one_of(&[1.0, 3.0, 10.0]);
    }

    fn ablate(&mut self) -> bool {
        self.aggregation = 0.0;
        true
    }

    fn implicit(&self) -> bool {
        self.form == Form::Variational
    }

    fn suits(&self, mixing: &MixingSettings, data: &Dataset) -> Result<(), String> {
        if self.form == Form::Variational { variational::suits(mixing, data) } else { Ok(()) }
    }

    fn build<T: Real>(&self, on: &mut Builder<'_, T>, mixing: Mixing<T>, channels: usize) -> Shared<T> {
        let alpha = Coefficient::new(on, "alpha", self.alpha, channels, 0.0);
        let beta = Coefficient::new(on, "beta", self.beta, channels, 1.0);
        if self.form == Form::Variational {
            let source = self.source.then(|| on.params.add_zeros("source", 1, 1));
            // The edges' own weights; loops are in them where they are in A.
            let loops = mixing.adjacency.weights.len() > on.data.edges.len();
            let weights = on.adjacency(Normalisation::Ones, loops);
            return Arc::new(Variational::new(self, mixing.adjacency, &weights, (alpha, beta), source));
        }
        let graph = mixing.adjacency.clone();
        let gat = (self.kernel == Kernel::Gat)
            .then(|| PairAttention::new(on.params, graph.clone(), channels, 64, on.seed));
        let sine = (self.kernel == Kernel::Sin).then(|| {
            let weight = |d: &usize| vec![T::of(1.0 / (*d * *d) as f64); *d];
            let (w0, w1) =
                (on.params.add("kernel.w0", 1, 1, || T::ONE), on.params.add("kernel.w1", 1, 1, || T::ONE));
            (w0, w1, graph.degrees.iter().flat_map(weight).collect())
        });
        // softplus(0.5413) = 1: diffusion begins linear, with a little of the second part.
        let learned = (self.sigma == Sigma::Learned).then(|| {
            (on.params.add("sigma.1", 1, 1, || T::of(0.5413)), on.params.add("sigma.2", 1, 1, || T::of(-2.0)))
        });
        let source = self.source.then(|| on.params.add_zeros("source", 1, 1));
        let settings = self.clone();
        Arc::new(Grade { mixing, alpha, beta, gat, sine, learned, source, settings })
    }
}

/// The aggregation-diffusion equation.
struct Grade<T> {
    mixing: Mixing<T>,
    settings: GradeSettings,
    alpha: Coefficient,
    beta: Coefficient,
    gat: Option<PairAttention<T>>,
    /// (w0, w1) of the sine kernel, and 1 / degree^2 of the receiver of each edge.
    sine: Option<(ParamId, ParamId, Vec<T>)>,
    learned: Option<(ParamId, ParamId)>,
    source: Option<ParamId>,
}

impl<T: Real> Grade<T> {
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

    fn terms(&self, g: &mut Recording<T>, x: Var, t: f64, weights: Var) -> Terms {
        let nonlinear = self.sigma(g, x);
        let change = match self.settings.form {
            Form::Paper => self.differences(g, weights, nonlinear),
            Form::Code | Form::Variational => self.mixing.diffuse(g, weights, nonlinear),
        };
        // R of the code form has A x - x without sigma.
        let linear = match (self.settings.form, self.settings.sigma) {
            (Form::Code, sigma) if sigma != Sigma::Identity => self.mixing.diffuse(g, weights, x),
            _ => change,
        };
        let alpha = self.alpha.squashed(g, t);
        let alpha = g.scale(alpha, self.settings.diffusion);
        Terms { diffusion: (alpha, change), aggregation: self.aggregation(g, x, t, linear, weights) }
    }

    fn sum(&self, g: &mut Recording<T>, terms: Terms, start: Start) -> Var {
        let Terms { diffusion: (alpha, change), aggregation } = terms;
        let f = match aggregation {
            Aggregation::Off => g.mul(change, alpha),
            Aggregation::Product(b, c, d) => g.combine((alpha, change), (b, c, d)),
            Aggregation::Whole(r) => {
                let f = g.mul(change, alpha);
                g.add(f, r)
            }
        };
        add_source(g, f, self.source, start)
    }

    /// The aggregation term; none if it is off.
    fn aggregation(&self, g: &mut Recording<T>, x: Var, t: f64, change: Var, weights: Var) -> Aggregation {
        let s = &self.settings;
        if s.aggregation == 0.0 || s.kernel == Kernel::None {
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
            (Form::Code | Form::Variational, _) => return Aggregation::Product(b, change, phi),
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

/// What the right-hand side consists of.
struct Terms {
    /// r1 s(alpha), and what it multiplies.
    diffusion: (Var, Var),
    aggregation: Aggregation,
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
        let terms = self.terms(g, x, t, start.weights);
        self.sum(g, terms, start)
    }

    /// A step of Euler's method is one op where aggregation is a product: the velocity has no place of its own.
    fn euler_step(&self, g: &mut Recording<T>, x: Var, (t, h): (f64, f64), start: Start) -> Var {
        let mark = g.mark();
        let next = match (self.source, self.terms(g, x, t, start.weights)) {
            (None, Terms { diffusion, aggregation: Aggregation::Product(b, c, d) }) => {
                g.combine_step((x, h), diffusion, (b, c, d))
            }
            (_, terms) => {
                let f = self.sum(g, terms, start);
                RungeKutta::EULER.step(g, x, t, h, &mut |_, _, _| f)
            }
        };
        g.release(mark, next)
    }

    fn diffusion_rate(&self, g: &mut Recording<T>, t: f64) -> Option<Var> {
        let alpha = self.alpha.squashed(g, t);
        Some(g.scale(alpha, self.settings.diffusion))
    }
}
