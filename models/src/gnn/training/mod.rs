//! Training on the whole graph, its figures, and dropout.

pub mod classification;
pub mod dropout;
pub mod train;

use serde::{Deserialize, Serialize};

pub use dropout::Dropout;

use crate::range::{self, Range};

/// How a network is trained: Adam on the whole graph, weight decay in the gradient (not decoupled).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Steps.
    pub epochs: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Added to the gradient, times the parameter.
    pub decay: f64,
    /// Stop after so many epochs without a better validation figure; 0 never stops.
    pub patience: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self { epochs: 200, learning_rate: 0.01, decay: 5e-3, patience: 0 }
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
        ])
    }
}
