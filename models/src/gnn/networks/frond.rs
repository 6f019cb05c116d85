//! FROND (Kang et al. 2024): graph diffusion with Caputo's derivative of order b in (0, 1] instead of d/dt, by the
//! predictor x_{k+1} = x_0 + 1 / Gamma(b) sum_{j <= k} c_{j,k} f_j,
//! c_{j,k} = h^b / b ((k + 1 - j)^b - (k - j)^b).

use engine::{Real, Recording, Var};
use serde::{Deserialize, Serialize};

use super::continuous::EncoderDecoder;
use super::integration::{check_steps, steps};
use super::{Architecture, Build, Classifier, Ends, Outputs, kept_states};
use crate::gnn::equations::{Equation, GrandSettings, MixingSettings, Shared, Start};
use crate::gnn::layers::Builder;
use crate::gnn::space::{Draw, Width};
use crate::gnn::training::Training;
use crate::gnn::{Dataset, Dropout};
use crate::memory::Part;
use crate::range::{self, Range};

/// Settings of FROND.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frond {
    /// Encoder and decoder.
    #[serde(flatten)]
    pub ends: Ends,
    /// The matrix A.
    #[serde(flatten)]
    pub mixing: MixingSettings,
    /// The diffusion.
    #[serde(flatten)]
    pub diffusion: GrandSettings,
    /// Integration time T.
    pub time: f64,
    /// Step; the number of steps is T / step, rounded up.
    pub step: f64,
    /// Order of the derivative.
    pub order: f64,
}

/// Each step adds up all those before it.
const MOST_STEPS: f64 = 1000.0;

impl Default for Frond {
    fn default() -> Self {
        let (ends, diffusion) = (Ends::default(), GrandSettings::default());
        Self { ends, mixing: MixingSettings::new(false), diffusion, time: 8.0, step: 1.0, order: 0.85 }
    }
}

impl Architecture for Frond {
    fn check(&self) -> Result<(), String> {
        range::check(&self.ends.width.ranges())?;
        range::check(&[("model.order", self.order, Range::Above(0.0, 1.0))])?;
        self.mixing.check()?;
        check_steps(self.time, self.step, MOST_STEPS)
    }

    fn width(&mut self) -> Option<&mut Width> {
        Some(&mut self.ends.width)
    }

    fn takes_weights(&self) -> bool {
        !self.mixing.attention
    }

    fn set_depth(&mut self, depth: usize) {
        (self.time, self.step) = (depth as f64, 1.0);
    }

    fn draw(&mut self, draw: &mut Draw<'_>) {
        let drawn = draw.continuous();
        self.ends.take(&drawn);
        self.mixing.take(&drawn);
        self.diffusion.draw(&drawn, draw);
        self.order = draw.one_of(&[0.5, 0.7, 0.85, 0.95]);
        // The authors integrate to 40 in steps of one.
        self.time = draw.one_of(&[1.0, 2.0, 4.0, 8.0, 16.0, 40.0]);
        self.step = if self.time > 8.0 { 1.0 } else { drawn.step.max(0.5) };
    }

    fn training(&self) -> Training {
        Training::default()
    }

    fn memory(&self, data: &Dataset, share: f64) -> Vec<Part> {
        let settings = format!("model.time = {:?}, model.step = {:?}", self.time, self.step);
        // A product and a sum for each earlier step.
        let n = steps(self.time, self.step) as f64;
        vec![kept_states((data, share), self.ends.width.hidden, n * (n + 1.0), settings)]
    }

    fn remedy(&self) -> &'static str {
        " or model.time"
    }
}

impl<T: Real> Build<T> for Frond {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        let (ends, hidden) = (self.ends.build(on), self.ends.width.hidden);
        let mixing = self.mixing.build(on, hidden);
        let dynamics = self.diffusion.build(on, mixing, hidden);
        let (order, time) = (self.order, self.time);
        Ok(Box::new(Fractional { ends, dynamics, order, steps: steps(time, self.step), time }))
    }
}

struct Fractional<T: Real> {
    ends: EncoderDecoder<T>,
    dynamics: Shared<T>,
    order: f64,
    steps: usize,
    time: f64,
}

impl<T: Real> Classifier<T> for Fractional<T> {
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs {
        self.ends.around(g, dropout, |g, _, x0| self.integrate(g, x0))
    }
}

impl<T: Real> Fractional<T> {
    fn integrate(&self, g: &mut Recording<T>, x0: Var) -> Var {
        let start = Start { weights: self.dynamics.weights(g, x0), x0 };
        let (b, h) = (self.order, self.time / self.steps as f64);
        let factor = h.powf(b) / (b * gamma(b));
        let (mut x, mut past) = (x0, Vec::with_capacity(self.steps));
        for k in 0..self.steps {
            past.push(self.dynamics.velocity(g, x, k as f64 * h, start));
            x = x0;
            for (j, f) in past.iter().enumerate() {
                let age = (k - j) as f64;
                let term = g.scale(*f, factor * ((age + 1.0).powf(b) - age.powf(b)));
                x = g.add(x, term);
            }
        }
        x
    }
}

/// Gamma(x) for x in (0, 2], by Gamma(x) = Gamma(x + 10) / (x ... (x + 9)) and Stirling's series.
fn gamma(x: f64) -> f64 {
    let z = x + 10.0;
    let r = 1.0 / (z * z);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / z;
    let large = (2.0 * std::f64::consts::PI / z).sqrt() * (z.ln() * z - z + series).exp();
    large / (0..10).map(|k| x + f64::from(k)).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_steps_are_refused() {
        let error = Frond { step: 1e-4, ..Default::default() }.check().unwrap_err();
        assert!(error.contains("more than 1000 steps"), "{error}");
    }

    #[test]
    fn gamma_of_known_points() {
        let root = std::f64::consts::PI.sqrt();
        for (x, want) in [(1.0, 1.0), (0.5, root), (1.5, root / 2.0), (2.0, 1.0)] {
            assert!((gamma(x) - want).abs() < 1e-12, "{x}");
        }
    }
}
