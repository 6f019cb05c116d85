//! Workloads for timing, each defined once so that another framework can be measured on the same work.
//!
//! All arithmetic is f32; one call of the returned closure is one whole step.

mod egnn;
mod gmm_score;
mod graph_ode;
pub mod levels;
mod lj13_score;
mod mlp;
mod spmm;

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
}

/// Every workload.
pub const ALL: &[Workload] = &[
    Workload {
        name: "mlp",
        what: "score MLP, 2 + 128 features, 3 hidden layers of 128, batch 512: loss, backward, Adam",
        build: || mlp::build(512, 128),
    },
    Workload {
        name: "mlp_wide",
        what: "the same with hidden layers of 256 and batch 1024",
        build: || mlp::build(1024, 256),
    },
    Workload {
        name: "gmm_score",
        what: "Monte Carlo score and log-density of a noised 40-mode mixture, 512 points, 500 draws each",
        build: gmm_score::build,
    },
    Workload {
        name: "egnn_dw4",
        what: "EGNN on 512 states of 4 particles in the plane, 3 layers of 128: loss, backward, Adam",
        build: || egnn::build(512, Pairs { particles: 4, space: 2, cutoff: f64::INFINITY }, 3, 32),
    },
    Workload {
        name: "egnn_lj13",
        what: "EGNN on 64 states of 13 particles in space, 5 layers of 128: loss, backward, Adam",
        build: || egnn::build(64, Pairs { particles: 13, space: 3, cutoff: f64::INFINITY }, 5, 16),
    },
    Workload {
        name: "lj13_score",
        what: "the same of 13 Lennard-Jones particles in a trap, 128 states, 200 draws each",
        build: lj13_score::build,
    },
    Workload {
        name: "graph_ode",
        what: "attention-weighted graph diffusion of Cora's size, 16 RK4 steps: loss, backward, Adam",
        build: graph_ode::build,
    },
    Workload {
        name: "spmm",
        what: "sparse 100 000 x 100 000 with 1.2 million entries times dense 100 000 x 64",
        build: spmm::build,
    },
];
