//! How far a network diffuses: what makes depths of different networks comparable.

use engine::{Params, Real, Tape};

use crate::gnn::Dataset;
use crate::gnn::networks::Network;

/// Units of diffusion of a trained network, which are applications of A: the integral over time of the factor of
/// A x - x, as a mean over channels; for a network of layers that apply A once, their number, 0 where none sees the
/// edges. No number (NaN) where nothing of a network is comparable with those.
///
/// # Errors
/// The settings do not go together.
pub fn diffusion_units<T: Real>(
    data: &Dataset,
    network: &Network,
    params: &Params<T>,
) -> Result<f64, String> {
    let classifier = network.build::<T>(data, &mut Params::new(), 0)?;
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let layers = || network.settings().applications().map(|times| times as f64);
    Ok(classifier.diffusion_units(&mut g).or_else(layers).unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::karate;

    #[test]
    fn units_of_untrained_networks() {
        let data = karate();
        let units = |name: &str, depth: usize| {
            let mut network = Network::named(name).unwrap();
            network.settings_mut().set_depth(depth);
            let mut params = Params::<f64>::new();
            network.build(&data, &mut params, 0).unwrap();
            diffusion_units(&data, &network, &params).unwrap()
        };
        // r1 = 1/2 and s(0) = 1/2; GRAND has no r1.
        assert!((units("grade", 8) - 2.0).abs() < 1e-12);
        assert!((units("grand", 8) - 4.0).abs() < 1e-12);
        for name in ["gcn", "gat", "sage", "gcnii", "sgc", "tuned-gcn", "tuned-gat", "tuned-sage"] {
            assert_eq!(units(name, 8), 8.0, "{name}");
        }
        assert_eq!(units("mlp", 2), 0.0);
        // Kuramoto's A is no diffusion, GraphCON's moves a velocity, GPRGNN has ten powers at any depth.
        for name in ["kuramoto", "graphcon", "gprgnn", "h2gcn"] {
            assert!(units(name, 2).is_nan(), "{name}");
        }
    }
}
