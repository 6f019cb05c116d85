//! An untrained network as a dynamical system: the state after each of very many layers.

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::ode::RungeKutta;
use engine::ode::tableau::EULER;
use engine::{Params, Real, Tape};

use super::Dataset;
use super::adjacency::{Adjacency, Normalisation};
use super::dynamics::{Acmp, Dynamics, Grade, Grand, Gread, Kuramoto, Mixing, Reaction, Start};
use super::settings::Model;

/// Names that [`evolve`] knows.
pub const EVOLVING: [&str; 7] = ["grade", "grand", "gcn", "gat", "gread-bs", "acmp", "kuramoto"];

/// The settings of a model that [`evolve`] reads, besides its name.
pub const READ: [&str; 16] = [
    "heads",
    "normalisation",
    "loops",
    "attention",
    "step",
    "alpha",
    "beta",
    "source",
    "form",
    "kernel",
    "mobility",
    "sigma",
    "diffusion",
    "aggregation",
    "log_eps",
    "width",
];

/// Runs `layers` layers (steps of length `model.step` of the differential equations) of untrained parameters
/// from the state x0 (channels x nodes) and shows each state, the first one included, to `see(layer, x)`, which
/// may break off. For gcn and gat every layer has a weight of its own (Glorot and Bengio 2010), and ReLU follows.
pub fn evolve<T: Real>(
    model: &Model,
    data: &Dataset,
    x0: &[T],
    layers: usize,
    seed: u64,
    mut see: impl FnMut(usize, &[T]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, String> {
    let n = data.nodes();
    let channels = x0.len() / n.max(1);
    let mut params = Params::<T>::new();
    let graph = |normalisation| Arc::new(Adjacency::<T>::new(n, &data.edges, normalisation, model.loops));
    let name = model.name.as_str();
    let layered = matches!(name, "gcn" | "gat");
    let normalisation = if name == "gcn" { Normalisation::Symmetric } else { model.normalisation };
    let heads = if model.attention || name == "gat" { model.heads } else { 0 };
    let mixing = Mixing::new(&mut params, graph(normalisation), channels, heads, seed);
    let gread = |params: &mut Params<T>, mixing, reaction| {
        Box::new(Gread::new(params, mixing, reaction, channels, (model.alpha, model.beta), seed))
    };
    let dynamics: Box<dyn Dynamics<T>> = match name {
        "grade" => Box::new(Grade::new(&mut params, mixing, model.grade()?, channels, seed)?),
        "grand" | "gcn" | "gat" => Box::new(Grand::new(&mut params, mixing, false, seed)),
        "gread-bs" => gread(&mut params, mixing, Reaction::BlurringSharpening),
        "acmp" => Box::new(Acmp::new(&mut params, mixing, channels, seed)),
        "kuramoto" => Box::new(Kuramoto::new(&mut params, mixing)),
        other => return Err(format!("{other} is not among {}", EVOLVING.join(", "))),
    };
    let again = Mixing::new(&mut Params::new(), graph(normalisation), channels, 0, seed);
    let method = RungeKutta::new(&EULER).map_err(|e| e.to_string())?;
    let (mut tape, mut x) = (Tape::new(), x0.to_vec());
    Ok((0..=layers).try_for_each(|layer| {
        if layer > 0 {
            let mut g = tape.record(params.values());
            g.freeze_params();
            let state = g.constant(channels, n, &x);
            let origin = g.constant(channels, n, x0);
            let next = if layered {
                let mut own = Params::<T>::new();
                let w = own.add_weight("layer", channels, channels, 1.0, seed ^ layer as u64);
                let w = g.constant(channels, channels, own.view(w).data);
                let turned = g.matmul(w, state);
                let weights = dynamics.weights(&mut g, state);
                let mixed = again.mix(&mut g, weights, turned);
                g.relu(mixed)
            } else {
                let start = Start { weights: dynamics.weights(&mut g, origin), x0: origin };
                let t = (layer - 1) as f64 * model.step;
                method.step(&mut g, state, t, model.step, &mut |g, x, t| dynamics.velocity(g, x, t, start))
            };
            x.copy_from_slice(g.value(next).data);
        }
        see(layer, &x)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::synthetic::grid;

    #[test]
    fn whoever_sees_enough_breaks_off() {
        let (data, x0) = (grid(3), [0.5; 18]);
        let run = |name: &str, last: usize| {
            let model = Model { name: name.into(), ..Model::default() };
            let mut seen = Vec::new();
            let end = evolve::<f64>(&model, &data, &x0, 4, 0, |layer, _| {
                seen.push(layer);
                if layer == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (seen, end.unwrap().is_break())
        };
        for name in EVOLVING {
            assert_eq!(run(name, 0), (vec![0], true), "{name}");
            assert_eq!(run(name, 2), (vec![0, 1, 2], true), "{name}");
            assert_eq!(run(name, 5), (vec![0, 1, 2, 3, 4], false), "{name}");
        }
    }
}
