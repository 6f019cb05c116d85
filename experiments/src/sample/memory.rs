//! The memory that measurements take.

use models::memory::Part;

use super::Evaluation;

impl Evaluation {
    /// What grows with the settings, for states of `dim` numbers.
    pub(super) fn memory(&self, dim: usize) -> Vec<Part> {
        let number = size_of::<f64>() as f64;
        let states = |count: usize| number * count as f64 * dim as f64;
        let measured = states(self.sets.saturating_mul(self.set_size));
        // In single precision before they are copied, and twice so again to be written.
        let least = if self.least_variance { 2.5 * measured } else { 0.0 };
        vec![
            (format!("evaluation.least_variance = {}", self.least_variance), least),
            (
                format!("evaluation.samples = {} in {dim} dimensions", self.drawn()),
                // Once more as samples.npz, whose numbers hardly compress.
                3.0 * states(self.drawn()),
            ),
            // Two of the reference for each that is measured.
            (
                format!(
                    "evaluation.sets = {}, evaluation.set_size = {} in {dim} dimensions",
                    self.sets, self.set_size
                ),
                2.0 * measured,
            ),
            // A cost for each pair of an assignment.
            (format!("evaluation.set_size = {}", self.set_size), number * (self.set_size as f64).powi(2)),
            (
                format!("evaluation.flow_samples = {} in {dim} dimensions", self.flow_samples),
                2.0 * states(self.flow_samples),
            ),
            (
                format!("evaluation.nll_samples = {} in {dim} dimensions", self.nll_samples),
                2.0 * states(self.nll_samples),
            ),
        ]
    }
}
