//! An untrained network as a dynamical system: the state after each of very many layers.

use std::ops::ControlFlow;

use engine::{Params, Real, Tape};

use crate::gnn::Dataset;
use crate::gnn::equations::Start;
use crate::gnn::networks::{Evolution, Network};

/// Runs `layers` layers (one step of a differential equation each) of untrained parameters from the state x0
/// (channels x nodes) and shows each state, the first one included, to `see(layer, x)`, which may break off. In a
/// network of layers each has a weight of its own (Glorot and Bengio 2010), and ReLU follows.
///
/// # Errors
/// The network is no dynamical system, or its settings do not go together.
pub fn evolve<T: Real>(
    network: &Network,
    data: &Dataset,
    x0: &[T],
    layers: usize,
    seed: u64,
    mut see: impl FnMut(usize, &[T]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, String> {
    let n = data.nodes();
    let channels = x0.len() / n.max(1);
    if channels == 0 || channels * n != x0.len() {
        return Err(format!("the state has {} numbers, which are no channels of {n} nodes", x0.len()));
    }
    let mut params = Params::<T>::new();
    let Some(evolution) = network.evolution(data, &mut params, channels, seed)? else {
        return Err(format!("{} is no dynamical system", network.name()));
    };
    let (mut tape, mut x) = (Tape::new(), x0.to_vec());
    Ok((0..=layers).try_for_each(|layer| {
        if layer > 0 {
            let mut g = tape.record(params.values());
            g.freeze_params();
            let state = g.constant(channels, n, &x);
            let origin = g.constant(channels, n, x0);
            let next = match &evolution {
                Evolution::Layers(mixing) => {
                    let mut own = Params::<T>::new();
                    let w = own.add_weight("layer", channels, channels, 1.0, seed ^ layer as u64);
                    let w = g.constant(channels, channels, own.view(w).data);
                    let turned = g.matmul(w, state);
                    let weights = mixing.weights(&mut g, state);
                    let mixed = mixing.mix(&mut g, weights, turned);
                    g.relu(mixed)
                }
                Evolution::Equation(dynamics, h) => {
                    let start = Start { weights: dynamics.weights(&mut g, origin), x0: origin };
                    let t = (layer - 1) as f64 * h;
                    let own = dynamics.implicit_step(&mut g, state, *h, start);
                    own.unwrap_or_else(|| dynamics.euler_step(&mut g, state, (t, *h), start))
                }
            };
            x.copy_from_slice(g.value(next).data);
        }
        see(layer, &x)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::grid;

    #[test]
    fn whoever_sees_enough_breaks_off() {
        let (data, x0) = (grid(3), [0.5; 18]);
        let run = |name: &str, last: usize| {
            let network = Network::named(name).unwrap();
            let mut seen = Vec::new();
            let end = evolve::<f64>(&network, &data, &x0, 4, 0, |layer, _| {
                seen.push(layer);
                if layer == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (seen, end.unwrap().is_break())
        };
        for name in ["grade", "gcn", "gat", "kuramoto"] {
            assert_eq!(run(name, 0), (vec![0], true), "{name}");
            assert_eq!(run(name, 2), (vec![0, 1, 2], true), "{name}");
            assert_eq!(run(name, 5), (vec![0, 1, 2, 3, 4], false), "{name}");
        }
    }

    #[test]
    fn what_does_not_evolve_says_so() {
        let see = |_: usize, _: &[f64]| ControlFlow::Continue(());
        let mlp = Network::named("mlp").unwrap();
        assert!(evolve(&mlp, &grid(3), &[0.5; 18], 4, 0, see).unwrap_err().contains("mlp"));
    }
}
