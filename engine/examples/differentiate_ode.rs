//! An ordinary differential equation differentiated: how does the state at the end depend on the initial state and
//! on the parameters?
//!
//! Logistic growth dx/dt = r x (1 - x / K) has the solution x(t) = K / (1 + q e^-rt), q = K / x0 - 1, so that
//! the gradients of x(t1) by the discrete steps can be held against
//!
//! dx/dx0 = (x / x0)^2 e^-rt,   dx/dr = x^2 q t e^-rt / K,   dx/dK = x^2 (1 - e^-rt) / K^2.

use std::sync::Arc;

use engine::ode::{Gradient, OdeError, OdeSolve, RightHandSide, Steps};
use engine::{ParamId, Params, Recording, Tape, Var};

struct Logistic {
    r: ParamId,
    k: ParamId,
}

impl RightHandSide<f64> for Logistic {
    fn record(&self, rec: &mut Recording<f64>, x: Var, _: f64, _: &[Var]) -> Var {
        let (r, k) = (rec.param(self.r), rec.param(self.k));
        let share = rec.div(x, k);
        let free = rec.affine(share, -1.0, 1.0);
        let growth = rec.mul(x, free);
        rec.mul(growth, r)
    }
}

fn main() -> Result<(), OdeError> {
    let (x0, r, k, end) = (0.5, 1.2, 3.0, 2.0);
    let mut params = Params::<f64>::new();
    let logistic = Logistic { r: params.add("r", 1, 1, || r), k: params.add("K", 1, 1, || k) };

    // Steps of Dormand and Prince with relative errors below 1e-10, at most 1000 of them. Checkpointed: the backward
    // pass keeps every ceil(sqrt n)-th state and makes the others again.
    let solve =
        OdeSolve::new(Arc::new(logistic), (0.0, end), Steps::Adaptive(1e-10, 1000), Gradient::Checkpointed)?;
    let mut tape = Tape::new();
    let mut rec = tape.record(params.values());
    let start = rec.variable(1, 1, &[x0]);
    let x = rec.apply(Arc::new(solve), &[start]);
    let mut gradient = vec![0.0; params.len()];
    rec.backward(x, &mut gradient);

    let decay = (-r * end).exp();
    let q = k / x0 - 1.0;
    let exact = k / (1.0 + q * decay);
    let checks = [
        ("x", rec.value(x).data[0], exact),
        ("dx/dx0", rec.grad(start).data[0], (exact / x0).powi(2) * decay),
        ("dx/dr", gradient[0], exact * exact * q * end * decay / k),
        ("dx/dK", gradient[1], (exact / k).powi(2) * (1.0 - decay)),
    ];
    for (name, computed, exact) in checks {
        println!("{name:6} {computed:.9}, exactly {exact:.9}");
        assert!((computed - exact).abs() < 1e-8, "{name} is wrong");
    }
    Ok(())
}
