//! Settings of graph networks and their training, as a configuration file holds them.

use serde::{Deserialize, Serialize};

use super::adjacency::Normalisation;
use super::coefficient::Dependence;
use super::dynamics::{Form, GradeSettings, Kernel, Mobility, Sigma};

/// Names of the networks.
pub const MODELS: [&str; 16] = [
    "grade",
    "grand",
    "gread-bs",
    "gread-fisher",
    "gread-allen-cahn",
    "acmp",
    "graphcon",
    "kuramoto",
    "frond",
    "gcn",
    "gat",
    "sage",
    "gcnii",
    "h2gcn",
    "gprgnn",
    "mlp",
];

/// The integrator of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// First order.
    Euler,
    /// Second order.
    Midpoint,
    /// Fourth order.
    Rk4,
    /// Dormand-Prince 5(4) with steps chosen by `tolerance`.
    Adaptive,
}

/// How gradients pass through the integration of a continuous network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backward {
    /// Every value is kept: fastest, memory grows with the steps. Steps chosen by their error are checkpointed.
    Tape,
    /// States at every ceil(sqrt n)-th of n steps are kept, the rest is computed again; the same gradient.
    Checkpointed,
    /// The last state is kept, and the continuous adjoint integrated back.
    Adjoint,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// One of [`MODELS`].
    pub name: String,
    /// Numbers for each node.
    pub hidden: usize,
    /// Layers (networks that have layers) or steps of GraphCON.
    pub layers: usize,
    /// Heads of attention (gat, and A where `attention`).
    pub heads: usize,
    /// Dropout of the features.
    pub input_dropout: f64,
    /// Dropout between layers and before the decoder.
    pub dropout: f64,
    /// How A is normalised.
    pub normalisation: Normalisation,
    /// Whether A has loops.
    pub loops: bool,
    /// Whether A is attention at the initial state instead of fixed.
    pub attention: bool,
    /// Integration time T.
    pub time: f64,
    /// Step; the number of steps is T / step, rounded up.
    pub step: f64,
    /// The integrator.
    pub solver: Solver,
    /// Error of a step, for the adaptive solver.
    pub tolerance: f64,
    /// tape, checkpointed or adjoint.
    pub backward: Backward,
    /// Two residual layers in the encoder.
    pub deep_encoder: bool,
    /// A residual tanh layer in the decoder.
    pub deep_decoder: bool,
    /// ReLU before the decoder.
    pub relu: bool,
    /// The decoder sees the initial state beside the final one (equations).
    pub skip: bool,
    /// Dependence of alpha.
    pub alpha: Dependence,
    /// Dependence of beta.
    pub beta: Dependence,
    /// Add a learned multiple of the initial state.
    pub source: bool,
    /// paper or code (grade).
    pub form: Form,
    /// gat, log, gauss, sin or none (grade).
    pub kernel: Kernel,
    /// node, mean, log-mean or upwind (grade, paper form).
    pub mobility: Mobility,
    /// identity, power:M or learned (grade).
    pub sigma: String,
    /// r1 (grade).
    pub diffusion: f64,
    /// r2 (grade); 0 is the ablation.
    pub aggregation: f64,
    /// eps of the logarithmic kernel (grade).
    pub log_eps: f64,
    /// Width of the Gaussian kernel (grade).
    pub width: f64,
    /// Share of the initial state in each layer (gcnii, gprgnn), damping (graphcon).
    pub teleport: f64,
    /// Strength of the identity in the weights (gcnii).
    pub lambda: f64,
    /// Order of the fractional derivative (frond).
    pub order: f64,
}

/// How a network is trained: Adam on the whole graph, weight decay in the gradient (not decoupled).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Steps.
    pub epochs: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Added to the gradient, times the parameter.
    pub decay: f64,
    /// Stop after so many epochs without a better validation figure; 0 never stops.
    pub patience: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            name: "grade".into(),
            hidden: 64,
            layers: 2,
            heads: 4,
            input_dropout: 0.5,
            dropout: 0.3,
            normalisation: Normalisation::Row,
            loops: true,
            attention: false,
            time: 2.0,
            step: 0.5,
            solver: Solver::Euler,
            tolerance: 1e-3,
            backward: Backward::Tape,
            deep_encoder: false,
            deep_decoder: true,
            relu: true,
            skip: false,
            alpha: Dependence::Scalar,
            beta: Dependence::Channel,
            source: false,
            form: Form::Code,
            kernel: Kernel::Gat,
            mobility: Mobility::Node,
            sigma: "identity".into(),
            diffusion: 0.5,
            aggregation: 0.5,
            log_eps: 1.0,
            width: 1.0,
            teleport: 0.1,
            lambda: 0.5,
            order: 0.85,
        }
    }
}

impl Default for Training {
    fn default() -> Self {
        Self { epochs: 200, learning_rate: 0.01, decay: 5e-3, patience: 0 }
    }
}

impl Model {
    /// The equation's settings, or what is wrong with them.
    pub fn grade(&self) -> Result<GradeSettings, String> {
        Ok(GradeSettings {
            form: self.form,
            kernel: self.kernel,
            mobility: self.mobility,
            sigma: parse_sigma(&self.sigma)?,
            diffusion: self.diffusion,
            aggregation: if self.kernel == Kernel::None { 0.0 } else { self.aggregation },
            log_eps: self.log_eps,
            width: self.width,
            alpha: self.alpha,
            beta: self.beta,
            source: self.source,
        })
    }

    /// Steps of the integration.
    pub fn steps(&self) -> usize {
        (self.time / self.step - 1e-9).ceil().max(1.0) as usize
    }

    /// What is wrong with these values, if anything.
    pub fn problem(&self) -> Option<String> {
        let name = self.name.as_str();
        if !MODELS.contains(&name) {
            return Some(format!("model.name = \"{name}\" is unknown (models: {})", MODELS.join(", ")));
        }
        let counts =
            [("hidden", self.hidden, 16_384), ("layers", self.layers, 4096), ("heads", self.heads, 64)];
        if let Some((key, v, high)) = counts.iter().find(|(_, v, high)| *v < 1 || v > high) {
            return Some(format!("model.{key} = {v} must lie between 1 and {high}"));
        }
        let shares = [("input_dropout", self.input_dropout), ("dropout", self.dropout)];
        if let Some((key, v)) = shares.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Some(format!("model.{key} = {v} must be at least 0 and below 1"));
        }
        let positive = [
            ("time", self.time),
            ("step", self.step),
            ("tolerance", self.tolerance),
            ("log_eps", self.log_eps),
            ("width", self.width),
        ];
        if let Some((key, v)) = positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            return Some(format!("model.{key} = {v} must be a positive number"));
        }
        if !(0.0..=1.0).contains(&self.teleport) {
            return Some(format!("model.teleport = {} must lie between 0 and 1", self.teleport));
        }
        if !(self.order > 0.0 && self.order <= 1.0) {
            return Some(format!("model.order = {} must be above 0 and at most 1", self.order));
        }
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Some(format!("model.lambda = {} must not be negative", self.lambda));
        }
        if name == "h2gcn" && self.layers > 3 {
            return Some(format!("model.layers = {} must be at most 3 for h2gcn", self.layers));
        }
        let dots = self.attention && !64_usize.is_multiple_of(self.heads);
        if dots || (name == "gat" && !self.hidden.is_multiple_of(self.heads)) {
            return Some(format!("model.heads = {} must divide the size of what it attends to", self.heads));
        }
        if self.form == Form::Paper && self.kernel == Kernel::Sin && name == "grade" {
            return Some("model.kernel = \"sin\" belongs to model.form = \"code\"".into());
        }
        self.too_many_steps().or_else(|| self.grade().err())
    }

    /// Such numbers of steps are slips, and would end in want of memory.
    fn too_many_steps(&self) -> Option<String> {
        let most = match (self.name.as_str(), self.solver) {
            // Each step adds up all those before it.
            ("frond", _) => 1000.0,
            // These take their steps otherwise.
            ("graphcon", _) | (_, Solver::Adaptive) => return None,
            _ => 100_000.0,
        };
        (self.time / self.step > most).then(|| {
            format!(
                "model.time = {:?} takes more than {most} steps of model.step = {:?}; raise that or lower the time",
                self.time, self.step
            )
        })
    }
}

impl Training {
    /// What is wrong with these values, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return Some(format!("train.epochs = {} must lie between 1 and 1000000", self.epochs));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Some(format!("train.learning_rate = {} must be a positive number", self.learning_rate));
        }
        (!(self.decay >= 0.0 && self.decay.is_finite()))
            .then(|| format!("train.decay = {} must not be negative", self.decay))
    }
}

/// `identity`, `power:M` with M >= 1, or `learned`.
fn parse_sigma(text: &str) -> Result<Sigma, String> {
    match (text, text.strip_prefix("power:").and_then(|m| m.parse::<f64>().ok())) {
        ("identity", _) => Ok(Sigma::Identity),
        ("learned", _) => Ok(Sigma::Learned),
        (_, Some(m)) if m >= 1.0 && m.is_finite() => Ok(Sigma::Power(m)),
        _ => {
            Err(format!("model.sigma = \"{text}\": write identity, learned or power:M with M of at least 1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let problem = |name: &str, change: &dyn Fn(&mut Model)| {
            let mut model = Model { name: name.into(), ..Model::default() };
            change(&mut model);
            model.problem().unwrap_or_default()
        };
        for name in MODELS {
            assert_eq!(problem(name, &|_| ()), "");
        }
        assert!(problem("gcn", &|m| m.teleport = 2.0).contains("model.teleport = 2 must"));
        assert!(problem("gcn", &|m| m.order = 0.0).contains("model.order = 0 must"));
        assert!(problem("gcnii", &|m| m.lambda = -5.0).contains("model.lambda = -5 must"));
        assert!(problem("gcn", &|m| m.hidden = 65_536).contains("between 1 and 16384"));
        assert!(problem("h2gcn", &|m| m.layers = 4).contains("model.layers = 4 must be at most 3"));
        assert_eq!(problem("gcn", &|m| m.layers = 4), "");
    }

    #[test]
    fn steps_without_number_are_refused() {
        let problem = |name: &str, time: f64, step: f64, solver: Solver| {
            let name = name.into();
            Model { name, time, step, solver, ..Model::default() }.problem().unwrap_or_default()
        };
        let tiny = problem("grade", 2.0, 1e-300, Solver::Euler);
        assert!(tiny.contains("model.time = 2.0") && tiny.contains("model.step = 1e-300"), "{tiny}");
        assert!(problem("grade", 1e300, 0.5, Solver::Rk4).contains("model.time = 1e300"));
        assert!(problem("frond", 8.0, 1e-4, Solver::Euler).contains("more than 1000 steps"));
        assert_eq!(problem("grade", 8.0, 1e-4, Solver::Euler), "");
        assert_eq!(problem("grade", 1e6, 0.5, Solver::Adaptive), "");
        assert_eq!(problem("graphcon", 2.0, 1e-6, Solver::Euler), "");
    }
}
