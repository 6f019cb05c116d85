//! The steps whose scaling is told: the workloads, trainings, chains, and an epoch of a network.

use std::sync::Arc;

use engine::optim::Adam;
use engine::rng::Stream;
use engine::{Params, Tape};
use models::gnn::data::synthetic::random_split;
use models::gnn::training::classification::cross_entropy;
use models::gnn::{Dropout, Network};
use models::sampler::Sampler;
use models::target::AnyTarget;

use crate::datasets::load;
use crate::run::error::CliError;
use crate::sample::{Request, configure};
use crate::workloads::{self, Step};

/// A step and how it is made.
pub struct Timed {
    /// Its name.
    pub name: &'static str,
    /// What a step is.
    pub what: &'static str,
    make: Make,
}

enum Make {
    Workload(fn() -> Step),
    /// Target, method, settings.
    Sampler(&'static str, Option<&'static str>, &'static [&'static str]),
    /// The name of a graph.
    Epoch(&'static str),
}

const SAMPLERS: [(&str, &str, Make); 8] = [
    ("sample gmm40", "a training step", Make::Sampler("gmm40", None, &[])),
    ("sample dw4", "a training step", Make::Sampler("dw4", None, &["replay.first_moves=2"])),
    ("sample lj13", "a training step", Make::Sampler("lj13", None, &["replay.first_moves=2"])),
    ("sample lj55", "a training step", Make::Sampler("lj55", None, &["replay.first_moves=2"])),
    (
        "sample many-well",
        "a training step",
        Make::Sampler(
            "many-well",
            None,
            &[
                "replay.explore=none",
                "network.sigma_data=2",
                "network.mode_scale=0.3",
                "network.sigma_min=0.01",
                "network.sigma_max=6",
            ],
        ),
    ),
    ("sample lj13, pt", "a sweep of parallel tempering", Make::Sampler("lj13", Some("pt"), &[])),
    ("graph, small", "an epoch of GRADE on a graph of Cora's size", Make::Epoch("csbm-2708-4")),
    ("graph, large", "the same with 50 000 nodes and 250 000 edges", Make::Epoch("csbm-50000-10")),
];

/// All steps.
pub fn steps() -> Vec<Timed> {
    let workload =
        |w: &workloads::Workload| Timed { name: w.name, what: w.what, make: Make::Workload(w.build) };
    let others = SAMPLERS.into_iter().map(|(name, what, make)| Timed { name, what, make });
    workloads::ALL.iter().map(workload).chain(others).collect()
}

impl Timed {
    /// Makes the inputs, and the step.
    ///
    /// # Errors
    /// A sampler cannot be made.
    pub fn build(&self) -> Result<Step, CliError> {
        match self.make {
            Make::Workload(build) => Ok(build()),
            Make::Sampler(target, method, sets) => sampler(target, method, sets),
            Make::Epoch(graph) => epoch(graph),
        }
    }
}

fn sampler(target: &str, method: Option<&str>, sets: &[&str]) -> Result<Step, CliError> {
    let sets = sets.iter().map(|s| s.to_string()).collect();
    let config = configure(&Request { target: Some(target), method, sets, ..Request::default() })?;
    // The sampler borrows its target, and both go into the step.
    let target: &'static Arc<dyn AnyTarget> = Box::leak(Box::new(config.target()?));
    let wanted = config.evaluation.samples;
    let sampler = config.method.config().build(&**target, wanted, config.seed);
    let mut sampler: Box<dyn Sampler> = sampler.map_err(|e| CliError::Failed(e.to_string()))?;
    Ok(Box::new(move || {
        // A sampler that has come to its end, or an energy that fails, would be told as time.
        sampler.step().expect("a step of a built-in target");
    }))
}

fn epoch(graph: &str) -> Result<Step, CliError> {
    let data = load(graph, None)?;
    let split = random_split(&data, data.nodes() / 2, 20, 0);
    let network =
        Network::named("grade").ok_or_else(|| CliError::Failed("there is no network grade".into()))?;
    let mut params = Params::<f32>::new();
    let network = network.build::<f32>(&data, &mut params, 0).map_err(CliError::Failed)?;
    let (mut adam, mut tape, mut dropout) = (Adam::new(params.len()), Tape::new(), Dropout::new());
    let (mut gradient, mut seed) = (vec![0.0; params.len()], vec![0.0; data.classes * data.nodes()]);
    let mut epoch = 0;
    Ok(Box::new(move || {
        dropout.begin(Stream::new(0, "dropout", epoch, 0));
        let mut g = tape.record(params.values());
        let logits = network.forward(&mut g, &mut dropout).logits;
        cross_entropy(g.value(logits).data, data.classes, &data.labels, &split.train, &mut seed);
        gradient.fill(0.0);
        g.backward_from(logits, &seed, &mut gradient);
        adam.step(params.values_mut(), &gradient, 1e-3);
        dropout.end();
        epoch += 1;
    }))
}
