//! Node classifiers, one file each: features of the nodes in, a score for each class out.

mod gat;
mod gcn;
mod gcnii;
mod gprgnn;
mod graphcon;
mod h2gcn;
mod mlp;
mod ode;
mod sage;

use std::sync::Arc;

use engine::{Params, Real, Recording, Var};

pub use ode::{Fractional, Ode};

use super::adjacency::{Adjacency, Normalisation};
use super::dynamics::{Acmp, Dynamics, Grade, Grand, Gread, Kuramoto, Mixing, Reaction};
use super::settings::Model;
use super::{Dataset, Dropout};

/// What a network makes of a graph.
#[derive(Clone, Copy)]
pub struct Outputs {
    /// The state after the encoder (hidden x nodes).
    pub first: Var,
    /// The state before the decoder (hidden x nodes).
    pub last: Var,
    /// classes x nodes.
    pub logits: Var,
}

/// A node classifier.
pub trait Network<T: Real>: Send + Sync {
    /// Records the whole network.
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout<T>) -> Outputs;
}

/// Makes the network that `model` names, with its parameters; an error if its settings do not fit.
pub fn build<T: Real>(
    model: &Model,
    data: &Dataset,
    params: &mut Params<T>,
    seed: u64,
) -> Result<Box<dyn Network<T>>, String> {
    if let Some(problem) = model.problem() {
        return Err(problem);
    }
    let adjacency =
        |normalisation, loops| Arc::new(Adjacency::<T>::new(data.nodes(), &data.edges, normalisation, loops));
    let chosen = || adjacency(model.normalisation, model.loops);
    let symmetric = |loops| adjacency(Normalisation::Symmetric, loops);
    let m = model;
    Ok(match model.name.as_str() {
        "mlp" => Box::new(mlp::Mlp::new(m, data, params, seed)),
        "gcn" => Box::new(gcn::Gcn::new(m, data, params, symmetric(true), seed)),
        "gat" => Box::new(gat::Gat::new(m, data, params, adjacency(Normalisation::Ones, true), seed)),
        "sage" => Box::new(sage::Sage::new(m, data, params, adjacency(Normalisation::Row, false), seed)),
        "gcnii" => Box::new(gcnii::Gcnii::new(m, data, params, symmetric(true), seed)),
        "h2gcn" => Box::new(h2gcn::H2gcn::new(m, data, params, seed)),
        "gprgnn" => Box::new(gprgnn::Gprgnn::new(m, data, params, symmetric(true), seed)),
        "graphcon" => Box::new(graphcon::GraphCon::new(m, data, params, symmetric(true), seed)),
        name => {
            let ends = ode::Ends::new(m, data, params, seed);
            let heads = if m.attention || name == "kuramoto" { m.heads } else { 0 };
            let mixing = Mixing::new(params, chosen(), m.hidden, heads, seed);
            let gread = |params: &mut Params<T>, mixing, reaction| {
                Arc::new(Gread::new(params, mixing, reaction, m.hidden, (m.alpha, m.beta), seed))
            };
            let dynamics: Arc<dyn Dynamics<T>> = match name {
                "grade" => Arc::new(Grade::new(params, mixing, m.grade()?, m.hidden, seed)?),
                "grand" | "frond" => Arc::new(Grand::new(params, mixing, m.source, seed)),
                "gread-bs" => gread(params, mixing, Reaction::BlurringSharpening),
                "gread-fisher" => gread(params, mixing, Reaction::Fisher),
                "gread-allen-cahn" => gread(params, mixing, Reaction::AllenCahn),
                "acmp" => Arc::new(Acmp::new(params, mixing, m.hidden, seed)),
                "kuramoto" => Arc::new(Kuramoto::new(params, mixing)),
                other => return Err(format!("unknown model {other}")),
            };
            match name {
                "frond" => Box::new(Fractional::new(m, ends, dynamics)),
                _ => Box::new(Ode::new(m, ends, dynamics).map_err(|e| e.to_string())?),
            }
        }
    })
}
