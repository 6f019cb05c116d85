//! Learned coefficients of a right-hand side: one number, one for each channel, or a function of time.

use engine::rng::Stream;
use engine::{ParamId, Real, Recording, Var};
use serde::{Deserialize, Serialize};

use crate::gnn::layers::{Builder, Linear};

/// What a coefficient depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// One number.
    Scalar,
    /// One for each channel.
    Channel,
    /// One for each channel, from t by t -> 64 -> ReLU -> channels.
    Time,
}

/// A coefficient: 1 x 1 or channels x 1.
pub enum Coefficient {
    /// A parameter.
    Constant(ParamId),
    /// A function of t.
    Time(Linear, Linear),
}

impl Coefficient {
    /// With parameters uniform in +-`bound` (of a function of time: a default network).
    pub fn new<T: Real>(
        on: &mut Builder<'_, T>,
        name: &str,
        dependence: Dependence,
        channels: usize,
        bound: f64,
    ) -> Self {
        let mut stream = Stream::new(on.seed, name, 0, 0);
        let mut constant = |rows| {
            Self::Constant(on.params.add(name, rows, 1, || T::of(bound * (2.0 * stream.uniform() - 1.0))))
        };
        match dependence {
            Dependence::Scalar => constant(1),
            Dependence::Channel => constant(channels),
            Dependence::Time => Self::Time(
                on.linear(&format!("{name}.1"), 1, 64),
                on.linear(&format!("{name}.2"), 64, channels),
            ),
        }
    }

    /// Its value at time t.
    pub fn at<T: Real>(&self, g: &mut Recording<T>, t: f64) -> Var {
        match self {
            Self::Constant(id) => g.param(*id),
            Self::Time(first, second) => {
                let t = g.constant(1, 1, &[T::of(t)]);
                let h = first.relu(g, t);
                second.apply(g, h)
            }
        }
    }

    /// Its value at time t, through the logistic function.
    pub fn squashed<T: Real>(&self, g: &mut Recording<T>, t: f64) -> Var {
        let c = self.at(g, t);
        g.sigmoid(c)
    }
}
