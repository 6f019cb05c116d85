//! The memory that a training takes.

use engine::{Params, Real};

use super::{Config, network};
use crate::memory::Part;
use crate::target::{Geometry, Target};

impl Config {
    /// Number of parameters of the network.
    pub(crate) fn parameters<T: Real>(&self, geometry: Geometry) -> usize {
        let mut params = Params::<T>::counting();
        if !self.network.kind.equivariant() || geometry.particles().is_some() {
            network::build(&self.network, geometry, &mut params, 0);
        }
        params.len()
    }

    /// Numbers in the gradients of a batch of `columns` states that are held at a time: each thread has one for each
    /// level of the tree in which they are summed.
    pub(crate) fn gradients<T: Real>(&self, geometry: Geometry, columns: f64) -> f64 {
        let shards = (columns / network::shard(self, geometry) as f64).ceil();
        let held = rayon::current_num_threads() as f64 * (1.0 + shards.log2().ceil());
        shards.min(held) * self.parameters::<T>(geometry) as f64
    }

    /// What grows with the settings: networks, gradients, batches, the buffer.
    pub(crate) fn memory<T: Real>(&self, target: &dyn Target<T>) -> Vec<Part> {
        let geometry = target.geometry();
        let (t, replay, net, d) = (&self.train, &self.replay, &self.network, geometry.dim());
        let count = self.parameters::<T>(geometry);
        let (parameters, number) = (count as f64, size_of::<T>() as f64);
        let network = format!("network.hidden = {}, network.layers = {}", net.hidden, net.layers);
        let states = |count: usize, numbers: usize| number * count as f64 * (numbers * d) as f64;
        // Factors, covariances and their roots, in double precision.
        let coordinates = if net.measured() { 96.0 * (d as f64).powi(2) } else { 0.0 };
        vec![
            // With a gradient, Adam's moments and the moving average.
            (format!("{network} with {count} parameters"), 5.0 * number * parameters),
            (
                format!("train.batch = {}, {network}", t.batch),
                number * self.gradients::<T>(geometry, t.batch as f64),
            ),
            // States and targets, and of the estimates three vectors.
            (format!("train.batch = {} in {d} dimensions", t.batch), states(t.batch, 5)),
            // As they are drawn, stored with their gradients, and moved.
            (format!("replay.capacity = {} in {d} dimensions", replay.capacity), states(replay.capacity, 3)),
            (format!("network.sigma_data = 0 in {d} dimensions"), coordinates),
            (
                format!("replay.refresh_samples = {} in {d} dimensions", replay.refresh_samples),
                states(replay.refresh_samples, 1),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::sampler::Method;
    use crate::target::TargetConfig;

    /// What is said of a method's settings, changed by `change`, up to what the machine has.
    fn refused(target: &str, method: &str, samples: usize, change: impl Fn(&mut Method)) -> String {
        let target = TargetConfig::of(target).unwrap().build().unwrap();
        let mut method = Method::named(method, Some([1.0, 0.1])).unwrap();
        change(&mut method);
        let error =
            method.config().build(&*target, samples, 0).err().map_or(String::new(), |e| e.to_string());
        error.split(" are needed").next().unwrap_or_default().to_string()
    }

    #[test]
    fn settings_of_a_training_that_no_machine_holds_are_named() {
        let network = |kind| {
            move |m: &mut Method| {
                let Method::Idem(c) = m else { panic!() };
                (c.0.network.kind, c.0.network.hidden, c.0.network.layers) = (kind, 16_384, 1024);
                c.0.train.batch = 32;
            }
        };
        use crate::sampler::iwsm::Kind::{Egnn, Mlp, Pair, Residual};
        for kind in [Mlp, Residual, Pair, Egnn] {
            let said = refused("dw4", "idem", 10, network(kind));
            assert!(said.starts_with("network.hidden = 16384, network.layers = 1024 with "), "{said}");
            assert!(said.contains(" parameters: about ") && said.ends_with(" TiB of memory"), "{said}");
        }
        let gradients = refused("lj55", "idem", 10, |m| {
            let Method::Idem(c) = m else { panic!() };
            c.0.train.batch = 1_000_000;
            (c.0.network.kind, c.0.network.hidden, c.0.network.layers) = (Mlp, 16_384, 1024);
        });
        // Each thread holds some.
        let begin = "train.batch = 1000000, network.hidden = 16384, network.layers = 1024: about ";
        assert!(gradients.starts_with(begin) && gradients.ends_with(" TiB of memory"), "{gradients}");
        assert_eq!(refused("lj55", "idem", 10, |_| ()), "");
    }

    #[test]
    fn walkers_and_samples_that_no_machine_holds_are_named() {
        let hmc = refused("lj55", "hmc", 10_000_000, |m| {
            let Method::Hmc(c) = m else { panic!() };
            c.sampler.thin = 1_000_000;
        });
        assert_eq!(
            hmc,
            "sampler.thin = 1000000 for 10000000 samples: their energies: about 146 TiB of memory"
        );
        let pt = refused("lj55", "pt", 10, |m| {
            let Method::Pt(c) = m else { panic!() };
            (c.sampler.walkers, c.sampler.rungs) = (100_000, 10_000);
        });
        assert_eq!(
            pt,
            "sampler.walkers = 100000, sampler.rungs = 10000 in 165 dimensions: about 4.8 TiB of memory"
        );
        let smc = refused("lj55", "smc", 10, |m| {
            let Method::Smc(c) = m else { panic!() };
            (c.sampler.blocks, c.sampler.particles) = (10_000, 100_000);
        });
        assert_eq!(
            smc,
            "sampler.blocks = 10000, sampler.particles = 100000 in 165 dimensions: about 8.4 TiB of memory"
        );
    }
}
