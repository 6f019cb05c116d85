//! Training on the whole graph or in parts: Adam with weight decay in the gradient; of all epochs the best by validation
//! counts, as [`Select`] says.

use std::ops::Range;

use engine::optim::{Adam, Adamax};
use engine::rng::Stream;
use engine::{ParamId, Params, Tape, Var};

use super::classification::{Metric, NotFinite, cross_entropy};
use super::parts::Parts;
use super::{Optimiser, Select, Training};
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

impl Epoch {
    /// Whether it counts in place of an earlier one.
    fn is_better(&self, before: &Self, select: Select) -> bool {
        let lower_loss = self.validation_loss < before.validation_loss;
        match select {
            Select::Figure => self.validation > before.validation,
            Select::Loss => lower_loss,
            Select::FigureThenLoss => {
                self.validation > before.validation || (self.validation == before.validation && lower_loss)
            }
        }
    }
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
    /// The loss or a score is not a number: when, and what may help.
    #[error("{0}")]
    Diverged(String),
    /// Asked to stop.
    #[error("interrupted")]
    Stopped,
}

/// Trains one network on one split. `stop` is asked at every epoch.
///
/// # Errors
/// Settings outside their range or that do not fit the data, a loss or a score that is not finite, or a stop.
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
    let problem = problem.or_else(|| network.check_data(data, training.share()).err());
    problem.map_or(Ok(()), |problem| Err(TrainError::Settings(problem)))?;
    let mut parts = Parts::new(data, split, training).map_err(TrainError::Settings)?;
    let mut params = Params::<f32>::new();
    let classifier = network.build::<f32>(data, &mut params, seed).map_err(TrainError::Settings)?;
    let mut kept = params.clone();
    let mut trainer = Trainer {
        network,
        training,
        seed,
        optimiser: Stepper::new(training.optimiser, params.len()),
        decayed: without(&classifier.undecayed(), params.len()),
        gradient: vec![0.0; params.len()],
        seed_bar: Vec::new(),
        tape: Tape::new(),
        dropout: Dropout::new(),
        params,
    };
    let mut epochs: Vec<Epoch> = Vec::with_capacity(training.epochs);
    let mut best = 0;
    for epoch in 0..training.epochs {
        if stop() {
            return Err(TrainError::Stopped);
        }
        let loss = match &mut parts {
            None => trainer
                .step(&*classifier, data, &split.train, (epoch, 0), &|i| data.node_name(i).into_owned())?,
            Some(parts) => trainer.pass(data, parts, epoch)?,
        };
        let Trainer { tape, params, dropout, .. } = &mut trainer;
        let now = evaluate(&*classifier, tape, params, dropout, (data, split, metric))
            .map_err(|e| diverged(&format!("{e} after epoch {epoch}"), network))?;
        epochs.push(Epoch { loss, ..now });
        if now.is_better(&epochs[best], training.select) || epoch == 0 {
            best = epoch;
            kept.values_mut().copy_from_slice(params.values());
        }
        if training.patience > 0 && epoch - best >= training.patience {
            break;
        }
    }
    Ok(Outcome { best, epochs, params: kept, seconds: began.elapsed().as_secs_f64() })
}

/// What steps change.
struct Trainer<'a> {
    network: &'a Network,
    training: &'a Training,
    seed: u64,
    params: Params<f32>,
    optimiser: Stepper,
    /// What weight decay reaches.
    decayed: Vec<Range<usize>>,
    gradient: Vec<f32>,
    seed_bar: Vec<f32>,
    tape: Tape<f32>,
    dropout: Dropout,
}

impl Trainer<'_> {
    /// A step for each piece of the graph; the mean loss of the nodes learned from.
    fn pass(&mut self, whole: &Dataset, parts: &mut Parts<'_>, epoch: usize) -> Result<f64, TrainError> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (k, nodes) in (0..).zip(parts.steps(self.seed, epoch)) {
            let Some(piece) = parts.piece(&nodes) else { continue };
            // The parameters are there already.
            let mut counted = Params::counting();
            let classifier = self.network.build::<f32>(&piece.data, &mut counted, self.seed);
            let classifier = classifier.map_err(TrainError::Settings)?;
            if counted.len() != self.params.len() {
                let name = self.network.name();
                let what = format!("model.name = {name} has parameters for each node; set train.parts = 1");
                return Err(TrainError::Settings(what));
            }
            // An error names a node as the whole graph has it.
            let name = |i: usize| whole.node_name(nodes[i] as usize).into_owned();
            let loss = self.step(&*classifier, &piece.data, &piece.train, (epoch, k), &name)?;
            sum += piece.train.len() as f64 * loss;
            count += piece.train.len() as f64;
        }
        Ok(sum / count)
    }

    /// One step on a graph, with the loss on some of its nodes; `name` gives a node's name for an error.
    fn step(
        &mut self,
        classifier: &dyn Classifier<f32>,
        data: &Dataset,
        train: &[u32],
        (epoch, step): (usize, u64),
        name: &dyn Fn(usize) -> String,
    ) -> Result<f64, TrainError> {
        self.dropout.begin(Stream::new(self.seed, "dropout", epoch as u64, step));
        let mut g = self.tape.record(self.params.values());
        let logits = classifier.forward(&mut g, &mut self.dropout).logits;
        let scores = g.value(logits).data;
        self.seed_bar.resize(scores.len(), 0.0);
        let loss = cross_entropy(scores, data.classes, &data.labels, train, &mut self.seed_bar);
        if !loss.is_finite() {
            let why = g.failure().map_or(String::new(), |e| format!(" ({e})"));
            let what = format!("the loss is not finite in epoch {epoch}{why}");
            // Before the first step no learning rate can be at fault.
            let large = largest_feature(data).filter(|(.., v)| (epoch, step) == (0, 0) && v.abs() > LARGE);
            return Err(match large {
                Some((i, j, v)) => {
                    let node = name(i);
                    TrainError::Diverged(format!(
                        "{what}; feature {j} of node {node} is {v:e}: set data.scale = standard"
                    ))
                }
                None => diverged(&what, self.network),
            });
        }
        self.gradient.fill(0.0);
        g.backward_from(logits, &self.seed_bar, &mut self.gradient);
        let decay = self.training.decay as f32;
        for range in &self.decayed {
            let (gradient, params) =
                (&mut self.gradient[range.clone()], &self.params.values()[range.clone()]);
            gradient.iter_mut().zip(params).for_each(|(g, p)| *g += decay * p);
        }
        self.optimiser.step(self.params.values_mut(), &self.gradient, self.training.learning_rate);
        self.dropout.update(self.params.values_mut());
        self.dropout.end();
        Ok(loss)
    }
}

/// An optimiser with its moments.
enum Stepper {
    Adam(Adam<f32>),
    Adamax(Adamax<f32>),
}

impl Stepper {
    fn new(optimiser: Optimiser, params: usize) -> Self {
        match optimiser {
            Optimiser::Adam => Self::Adam(Adam::new(params)),
            Optimiser::Adamax => Self::Adamax(Adamax::new(params)),
        }
    }

    fn step(&mut self, params: &mut [f32], gradient: &[f32], rate: f64) {
        match self {
            Self::Adam(adam) => adam.step(params, gradient, rate),
            Self::Adamax(adamax) => adamax.step(params, gradient, rate),
        }
    }
}

/// The ranges of `len` parameters that lie between those of `left_out`.
fn without(left_out: &[ParamId], len: usize) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = left_out.iter().map(|id| id.range()).collect();
    gaps.sort_by_key(|gap| gap.start);
    let begins = std::iter::once(0).chain(gaps.iter().map(|gap| gap.end));
    let ends = gaps.iter().map(|gap| gap.start).chain([len]);
    begins.zip(ends).map(|(begin, end)| begin..end).collect()
}

/// Figures without dropout, the training loss left at 0; a number of steps that validation chooses is noted in its
/// parameter.
fn evaluate(
    classifier: &dyn Classifier<f32>,
    tape: &mut Tape<f32>,
    params: &mut Params<f32>,
    dropout: &mut Dropout,
    (data, split, metric): (&Dataset, &Split, Metric),
) -> Result<Epoch, NotFinite> {
    let mut g = tape.record(params.values());
    g.freeze_params();
    let figures = |scores: &[f32]| {
        let figure = |nodes: &[u32]| metric.of(scores, data.classes, &data.labels, nodes);
        Ok(Epoch {
            loss: 0.0,
            validation_loss: cross_entropy(scores, data.classes, &data.labels, &split.validation, &mut []),
            validation: figure(&split.validation)?,
            test: figure(&split.test)?,
        })
    };
    let better = |best: (f64, Epoch), now: (f64, Epoch)| {
        if now.1.is_better(&best.1, Select::Figure) { now } else { best }
    };
    let chosen = classifier.by_time(&mut g).and_then(|(id, logits)| {
        // A time after a blow-up is none to choose; where all are, the whole network says so.
        let at = |(steps, logits): &(f64, Var)| Some((*steps, figures(g.value(*logits).data).ok()?));
        Some((id, logits.iter().filter_map(at).reduce(better)?))
    });
    let Some((id, (steps, now))) = chosen else {
        let logits = classifier.forward(&mut g, dropout).logits;
        return figures(g.value(logits).data);
    };
    params.values_mut()[id.offset] = steps as f32;
    Ok(now)
}

/// What happened, and what may help.
fn diverged(what: &str, network: &Network) -> TrainError {
    let remedy = network.settings().remedy();
    TrainError::Diverged(format!("{what}; lower train.learning_rate{remedy}"))
}

/// The states before and after the integration, and the logits, of a trained network, without dropout.
///
/// # Errors
/// A network that does not go with the data, or a score that is not finite.
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
    let [first, last, logits] = [out.first, out.last, out.logits].map(|v| g.value(v).data.to_vec());
    match logits.iter().position(|v| !v.is_finite()) {
        Some(k) => Err(diverged(&NotFinite((k / data.classes) as u32).to_string(), network)),
        None => Ok([first, last, logits]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::FeatureMatrix;
    use crate::gnn::data::synthetic::karate;
    use crate::gnn::equations::GrandSettings;
    use crate::gnn::networks::{Continuous, Solver};

    #[test]
    fn the_time_that_validation_chose_is_that_of_the_network() {
        let data = karate();
        let mut grand = Continuous::<GrandSettings>::default();
        (grand.integration.time, grand.integration.step) = (1.2, 0.3);
        grand.integration.time_by_validation = 3.0;
        let (network, split) = (Network::Grand(grand.clone()), &data.splits[0]);
        let training = Training { epochs: 12, ..Training::default() };
        let outcome = fit(&data, split, (&network, &training), Metric::Accuracy, 3, &|| false).unwrap();
        let steps = outcome.params.view(outcome.params.find("steps").unwrap()).data[0];
        assert!((1.0..=12.0).contains(&steps) && steps.fract() == 0.0, "{steps}");
        let [_, _, logits] = states(&data, &network, &outcome.params, 3).unwrap();
        let figure = |nodes: &[u32]| Metric::Accuracy.of(&logits, data.classes, &data.labels, nodes);
        let best = outcome.figures();
        assert_eq!((figure(&split.validation), figure(&split.test)), (Ok(best.validation), Ok(best.test)));
        // It is as good as that at T, which is among the choices, in the first epoch at least.
        grand.integration.time_by_validation = 0.0;
        let plain = (&Network::Grand(grand), &training);
        let plain = fit(&data, split, plain, Metric::Accuracy, 3, &|| false).unwrap();
        assert!(outcome.epochs[0].validation >= plain.epochs[0].validation);
    }

    #[test]
    fn decay_reaches_the_others() {
        let mut params = Params::<f32>::new();
        let [a, _, c] = ["a", "b", "c"].map(|name| params.add_zeros(name, 2, 3));
        let reached = |left_out: &[ParamId]| without(left_out, 18).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(reached(&[]), (0..18).collect::<Vec<_>>());
        assert_eq!(reached(&[c, a]), (6..12).collect::<Vec<_>>());
    }

    #[test]
    fn the_epoch_that_counts_is_chosen_as_asked() {
        let epoch = |validation, validation_loss| Epoch { loss: 0.0, validation_loss, validation, test: 0.0 };
        let first = epoch(0.5, 1.0);
        let better = |validation, loss| {
            let selects = [Select::FigureThenLoss, Select::Figure, Select::Loss];
            selects.map(|select| epoch(validation, loss).is_better(&first, select))
        };
        assert_eq!(better(0.6, 2.0), [true, true, false]);
        assert_eq!(better(0.5, 0.9), [true, false, true]);
        assert_eq!(better(0.4, 0.9), [false, false, true]);
        assert_eq!(better(0.5, 1.0), [false; 3]);
    }

    #[test]
    fn a_score_that_is_no_number_is_no_result() {
        // The one step of the one epoch is so long that what follows has no scores.
        let data = karate();
        let training = Training { epochs: 1, learning_rate: 1e30, ..Training::default() };
        for name in ["gcn", "grade", "mlp"] {
            let network = Network::named(name).unwrap();
            let outcome = fit(&data, &data.splits[0], (&network, &training), Metric::Accuracy, 0, &|| false);
            let error = outcome.map_or_else(|e| e.to_string(), |o| format!("{:?}", o.epochs));
            assert!(
                error.contains("is not finite after epoch 0; lower train.learning_rate"),
                "{name}: {error}"
            );
        }
    }

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
        data.features = FeatureMatrix::from_rows(34, 6, vec![3e38; 34 * 6]);
        let network = Network::named("mlp").unwrap();
        let training = Training { epochs: 1, ..Training::default() };
        let outcome = fit(&data, &data.splits[0], (&network, &training), Metric::Accuracy, 0, &|| false);
        let error = outcome.map_or_else(|e| e.to_string(), |_| String::new());
        assert!(error.contains("in epoch 0") && error.contains("feature 5 of node 33 is 3e38"), "{error}");
        assert!(error.contains("data.scale = standard") && !error.contains("learning_rate"), "{error}");
    }
}
