//! Workloads for timing, each defined once so that another framework can be measured on the same work.
//!
//! All arithmetic is f32; one call of the returned closure is one whole step.

pub mod cost;
mod egnn;
pub mod given;
mod gmm_score;
mod graph_ode;
pub mod levels;
mod lj13_score;
mod mlp;
mod score;
mod spmm;

use cost::Cost;
use given::{Array, Given};
use models::score::Pairs;

/// One whole step, blocking.
pub type Step = Box<dyn FnMut() + Send>;

/// Name, what a step is, and how to set it up.
pub struct Workload {
    /// The name on the command line and in the output.
    pub name: &'static str,
    /// What one step does.
    pub what: &'static str,
    /// Makes the inputs and returns the step.
    pub build: fn() -> Step,
    /// What one step needs at least.
    pub cost: fn() -> Cost,
    /// The same inputs and results of ours, for another program.
    pub given: fn() -> Given,
}

/// 4 particles in the plane.
const DW4: egnn::Size = egnn::Size {
    batch: 512,
    pairs: Pairs { particles: 4, space: 2, cutoff: f64::INFINITY },
    layers: 3,
    columns: 32,
};
/// 13 particles in space.
const LJ13: egnn::Size = egnn::Size {
    batch: 64,
    pairs: Pairs { particles: 13, space: 3, cutoff: f64::INFINITY },
    layers: 5,
    columns: 16,
};

/// Every workload.
pub const ALL: &[Workload] = &[
    Workload {
        name: "mlp",
        what: "score MLP, 2 + 128 features, 3 hidden layers of 128, batch 512: loss, backward, Adam",
        build: || mlp::build(512, 128),
        cost: || mlp::cost(512, 128),
        given: || mlp::given(512, 128),
    },
    Workload {
        name: "mlp_wide",
        what: "the same with hidden layers of 256 and batch 1024",
        build: || mlp::build(1024, 256),
        cost: || mlp::cost(1024, 256),
        given: || mlp::given(1024, 256),
    },
    Workload {
        name: "gmm_score",
        what: "Monte Carlo score and log-density of a noised 40-mode mixture, 512 points, 500 draws each",
        build: gmm_score::build,
        cost: gmm_score::cost,
        given: gmm_score::given,
    },
    Workload {
        name: "egnn_dw4",
        what: "EGNN on 512 states of 4 particles in the plane, 3 layers of 128: loss, backward, Adam",
        build: || egnn::build(DW4),
        cost: || egnn::cost(DW4),
        given: || egnn::given(DW4),
    },
    Workload {
        name: "egnn_lj13",
        what: "EGNN on 64 states of 13 particles in space, 5 layers of 128: loss, backward, Adam",
        build: || egnn::build(LJ13),
        cost: || egnn::cost(LJ13),
        given: || egnn::given(LJ13),
    },
    Workload {
        name: "lj13_score",
        what: "the same of 13 Lennard-Jones particles in a trap, 128 states, 200 draws each",
        build: lj13_score::build,
        cost: lj13_score::cost,
        given: lj13_score::given,
    },
    Workload {
        name: "graph_ode",
        what: "attention-weighted graph diffusion of Cora's size, 16 RK4 steps: loss, backward, Adam",
        build: graph_ode::build,
        cost: graph_ode::cost,
        given: graph_ode::given,
    },
    Workload {
        name: "spmm",
        what: "sparse 100 000 x 100 000 with 1.2 million entries times dense 100 000 x 64",
        build: spmm::build,
        cost: spmm::cost,
        given: spmm::given,
    },
];

#[cfg(test)]
mod tests {
    use super::given::Entries;
    use super::*;

    fn entries(array: &Array) -> f64 {
        match &array.entries {
            Entries::Floats(v) => v.len() as f64,
            Entries::Indices(v) => v.len() as f64,
        }
    }

    #[test]
    fn memory_is_that_of_inputs_parameters_and_moments() {
        for workload in ALL.iter().filter(|w| w.name.starts_with("mlp") || w.name.starts_with("egnn")) {
            let given = (workload.given)();
            let is_input = |array: &&Array| ["x", "t", "y", "w"].contains(&array.name.as_str());
            let inputs: f64 = given.arrays.iter().filter(is_input).map(entries).sum();
            let parameters = given.arrays.iter().filter(|a| !is_input(a) && a.name != "frequencies");
            let words = inputs + 6.0 * parameters.map(entries).sum::<f64>();
            assert_eq!((workload.cost)().bytes, 4.0 * words, "{}", workload.name);
        }
    }

    #[test]
    fn a_training_that_is_compared_gets_better() {
        for workload in ALL {
            let given = (workload.given)();
            assert!(given.wanted.iter().all(|(_, v)| v.iter().all(|v| v.is_finite())), "{}", workload.name);
            if let [("loss", losses)] = &given.wanted[..] {
                // Not in each of so few steps: they are Adam's first.
                assert!(losses.last() < losses.first(), "{}: {losses:?}", workload.name);
            }
        }
    }

    #[test]
    fn operations_are_mostly_those_of_products() {
        // Forward, weight and input gradients of 130 -> 128 -> 128 -> 128 -> 2 for 512 states, the first without the
        // last.
        let products = 512.0 * (4.0 * 130.0 * 128.0 + 6.0 * (2.0 * 128.0 * 128.0 + 128.0 * 2.0));
        let flops = mlp::cost(512, 128).flops;
        assert!((1.0..1.1).contains(&(flops / products)), "{flops} of {products}");
    }
}
