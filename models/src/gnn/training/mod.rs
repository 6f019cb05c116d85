//! Training on the whole graph or in parts, its figures, and dropout.

pub mod classification;
pub mod confusion;
pub mod dropout;
mod parts;
pub mod train;

use serde::{Deserialize, Serialize};

pub use dropout::Dropout;

use crate::range::{self, Range};

/// The epoch that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// The best validation figure; of equal ones the lowest validation loss.
    #[default]
    FigureThenLoss,
    /// The best validation figure; of equal ones the first.
    Figure,
    /// The lowest validation loss.
    Loss,
}

/// The optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Adam.
    #[default]
    Adam,
    /// Adamax.
    Adamax,
}

/// How a network is trained: Adam on the whole graph or on parts of it, weight decay in the gradient (not decoupled).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes through the graph.
    pub epochs: usize,
    /// The optimiser's rate.
    pub learning_rate: f64,
    /// Added to the gradient, times the parameter.
    pub decay: f64,
    /// Stop after so many epochs without a better validation figure; 0 never stops.
    pub patience: usize,
    /// figure-then-loss, figure or loss: the epoch that counts.
    #[serde(default)]
    pub select: Select,
    /// adam or adamax.
    #[serde(default)]
    pub optimiser: Optimiser,
    /// Parts that the nodes are divided into (Chiang et al. 2019), so that a step needs the memory of some of them; 1:
    /// every step is on the whole graph.
    #[serde(default = "one")]
    pub parts: usize,
    /// Parts of a step, drawn anew in each epoch, with the edges between them.
    #[serde(default = "one")]
    pub parts_per_step: usize,
}

fn one() -> usize {
    1
}

impl Default for Training {
    fn default() -> Self {
        let (select, optimiser) = (Select::FigureThenLoss, Optimiser::Adam);
        Self {
            epochs: 200,
            learning_rate: 0.01,
            decay: 5e-3,
            patience: 0,
            select,
            optimiser,
            parts: 1,
            parts_per_step: 1,
        }
    }
}

impl Training {
    /// An error if a value is outside its range.
    ///
    /// # Errors
    /// One line that names the key, its value and the range.
    pub fn check(&self) -> Result<(), String> {
        range::check(&[
            ("train.epochs", self.epochs as f64, Range::Between(1.0, 1e6)),
            ("train.learning_rate", self.learning_rate, Range::Positive),
            ("train.decay", self.decay, Range::NotNegative),
            ("train.parts", self.parts as f64, Range::Between(1.0, 1e6)),
            (
                "train.parts_per_step",
                self.parts_per_step as f64,
                Range::Between(1.0, self.parts.max(1) as f64),
            ),
        ])
    }

    /// The share of the nodes that a step is on.
    pub fn share(&self) -> f64 {
        self.parts_per_step as f64 / self.parts as f64
    }
}
