//! An energy by a formula.

use std::sync::Arc;

use super::{Description, Keys};
use crate::target::registry::AnyTarget;
use crate::target::{Double, Pointwise, TargetError};

/// Builds the energy of the kind `formula`.
pub(super) fn build(_: &Description, mut keys: Keys<'_>) -> Result<Arc<dyn AnyTarget>, TargetError> {
    keys.need("energy", "energy = \"0.5*x[0]^2\"")?.text()?;
    keys.take("constants");
    keys.take("support");
    keys.finish()?;
    Ok(Arc::new(Double(Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
        let w = x[0] * x[0] - 1.0;
        g.copy_from_slice(&[16.0 * x[0] * w - 0.5, 4.0 * x[1]]);
        4.0 * w * w - 0.5 * x[0] + 2.0 * x[1] * x[1]
    }))))
}
