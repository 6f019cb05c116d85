//! Training on the whole graph: Adam with weight decay in the gradient; the epoch with the best
//! validation figure counts, and of equal ones that with the lower validation loss.

use engine::optim::Adam;
use engine::rng::Stream;
use engine::{Params, Tape};

use super::Training;
use super::classification::{Metric, cross_entropy};
use crate::gnn::data::check::untrainable;
use crate::gnn::data::statistics::{LARGE, largest_feature};
use crate::gnn::networks::{Classifier, Network};
use crate::gnn::{Dataset, Dropout, Split};

/// One epoch's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Training loss, with dropout.
    pub loss: f64,
    /// Validation loss.
    pub validation_loss: f64,
    /// Validation figure.
    pub validation: f64,
    /// Test figure: recorded, never used.
    pub test: f64,
}

/// What a training gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The epoch that counts.
    pub best: usize,
    /// Every epoch.
    pub epochs: Vec<Epoch>,
    /// Parameters at the best epoch.
    pub params: Params<f32>,
    /// Seconds of training, evaluations included.
    pub seconds: f64,
}

impl Outcome {
    /// The epoch that counts.
    pub fn figures(&self) -> Epoch {
        self.epochs[self.best]
    }
}

/// Why a training ended without a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Settings that do not fit.
    #[error("{0}")]
    Settings(String),
    /// The loss is not a number: when, and what may help.
    #[error("{0}")]
    Diverged(String),
    /// Asked to stop.
    #[error("interrupted")]
    Stopped,
}

/// Trains one network on one split. `stop` is asked at every epoch.
///
/// # Errors
/// Settings outside their range or that do not fit the data, a loss that is not finite, or a stop.
pub fn fit(
    data: &Dataset,
    split: &Split,
    (network, training): (&Network, &Training),
    metric: Metric,
    seed: u64,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome, TrainError> {
    let began = std::time::Instant::now();
    training.check().map_err(TrainError::Settings)?;
    let problem = data.problem().or_else(|| untrainable(split, data.nodes()));
    let problem = problem.or_else(|| metric.problem(&data.labels, split));
    problem.map_or(Ok(()), |problem| Err(TrainError::Settings(problem)))?;
    let mut params = Params::<f32>::new();
    let classifier = network.build::<f32>(data, &mut params, seed).map_err(TrainError::Settings)?;
    let mut adam = Adam::new(params.len());
    let (mut tape, mut dropout) = (Tape::new(), Dropout::new());
    let mut gradient = vec![0.0; params.len()];
    let mut seed_bar = vec![0.0; data.classes * data.nodes()];
    let mut epochs: Vec<Epoch> = Vec::with_capacity(training.epochs);
    let (mut best, mut kept) = (0, params.clone());
    for epoch in 0..training.epochs {
        if stop() {
            return Err(TrainError::Stopped);
        }
        dropout.begin(Stream::new(seed, "dropout", epoch as u64, 0));
        let mut g = tape.record(params.values());
        let logits = classifier.forward(&mut g, &mut dropout).logits;
        let scores = g.value(logits).data;
        let loss = cross_entropy(scores, data.classes, &data.labels, &split.train, &mut seed_bar);
        if !loss.is_finite() {
            let why = g.failure().map_or(String::new(), |e| format!(" ({e})"));
            // Before the first step no learning rate can be at fault.
            let large = largest_feature(data).filter(|(.., v)| epoch == 0 && v.abs() > LARGE);
            let remedy = match large {
                Some((i, j, v)) => format!("feature {j} of node {i} is {v:e}: set data.scale = standard"),
                None => format!("lower train.learning_rate{}", network.settings().remedy()),
            };
            return Err(TrainError::Diverged(format!(
                "the loss is not finite in epoch {epoch}{why}; {remedy}"
            )));
        }
        gradient.fill(0.0);
        g.backward_from(logits, &seed_bar, &mut gradient);
        let decay = training.decay as f32;
        gradient.iter_mut().zip(params.values()).for_each(|(g, p)| *g += decay * p);
        adam.step(params.values_mut(), &gradient, training.learning_rate);

        dropout.end();
        let now = evaluate(&*classifier, &mut tape, &params, &mut dropout, data, split, metric);
        epochs.push(Epoch { loss, ..now });
        let before = epochs[best];
        let better = now.validation > before.validation
            || (now.validation == before.validation && now.validation_loss < before.validation_loss);
        if better || epoch == 0 {
            best = epoch;
            kept.values_mut().copy_from_slice(params.values());
        }
        if training.patience > 0 && epoch - best >= training.patience {
            break;
        }
    }
    Ok(Outcome { best, epochs, params: kept, seconds: began.elapsed().as_secs_f64() })
}

/// Figures without dropout; the training loss is left at 0.
fn evaluate(
    classifier: &dyn Classifier<f32>,
    tape: &mut Tape<f32>,
    params: &Params<f32>,
    dropout: &mut Dropout<f32>,
    data: &Dataset,
    split: &Split,
    metric: Metric,
) -> Epoch {
    let mut g = tape.record(params.values());
    g.freeze_params();
    let logits = classifier.forward(&mut g, dropout).logits;
    let scores = g.value(logits).data;
    let figure = |nodes: &[u32]| metric.of(scores, data.classes, &data.labels, nodes);
    Epoch {
        loss: 0.0,
        validation_loss: cross_entropy(scores, data.classes, &data.labels, &split.validation, &mut []),
        validation: figure(&split.validation),
        test: figure(&split.test),
    }
}

/// The states before and after the integration, and the logits, of a trained network, without dropout.
pub fn states(
    data: &Dataset,
    network: &Network,
    params: &Params<f32>,
    seed: u64,
) -> Result<[Vec<f32>; 3], TrainError> {
    let classifier = network.build::<f32>(data, &mut Params::new(), seed).map_err(TrainError::Settings)?;
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    g.freeze_params();
    let out = classifier.forward(&mut g, &mut Dropout::off());
    Ok([out.first, out.last, out.logits].map(|v| g.value(v).data.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::data::synthetic::{dense, karate};
    use crate::gnn::networks::{Continuous, Solver};

    #[test]
    fn the_remedy_belongs_to_the_solver() {
        let data = karate();
        let training = Training { epochs: 1, ..Training::default() };
        let error = |solver: Solver, metric: Metric, split: &Split| {
            // No step is small enough for this tolerance.
            let mut grade = Continuous::default();
            (grade.integration.solver, grade.integration.tolerance) = (solver, 1e-30);
            let outcome = fit(&data, split, (&Network::Grade(grade), &training), metric, 0, &|| false);
            outcome.map_or_else(|e| e.to_string(), |_| String::new())
        };
        let split = &data.splits[0];
        assert!(error(Solver::Adaptive, Metric::Accuracy, split).contains("raise model.tolerance"));
        assert_eq!(error(Solver::Euler, Metric::Accuracy, split), "");
        let one: Vec<u32> = (0..34).filter(|i| data.labels[*i as usize] == 0).collect();
        let split = Split { validation: one, ..split.clone() };
        assert!(error(Solver::Euler, Metric::RocAuc, &split).contains("one class"));
    }

    #[test]
    fn features_that_blow_up_the_first_epoch_are_named() {
        let mut data = karate();
        data.features = dense(34, 6, &[3e38; 34 * 6]);
        let network = Network::named("mlp").unwrap();
        let training = Training { epochs: 1, ..Training::default() };
        let outcome = fit(&data, &data.splits[0], (&network, &training), Metric::Accuracy, 0, &|| false);
        let error = outcome.map_or_else(|e| e.to_string(), |_| String::new());
        assert!(error.contains("in epoch 0") && error.contains("feature 5 of node 33 is 3e38"), "{error}");
        assert!(error.contains("data.scale = standard") && !error.contains("learning_rate"), "{error}");
    }
}
