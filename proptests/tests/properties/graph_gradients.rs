//! The gradients of a whole integration, checkpointed and by the continuous adjoint, against those of the steps
//! on the tape.

use engine::{Params, Tape};
use models::gnn::equations::coefficient::Dependence;
use models::gnn::equations::{Form, GradeSettings, Kernel};
use models::gnn::networks::{Backward, Continuous, Integration, Network, Solver};
use models::gnn::{Dataset, Dropout};

use crate::graph_dynamics::small;

type Model = Continuous<GradeSettings>;

/// The same model, integrated otherwise.
fn integrated(model: &Model, change: impl FnOnce(&mut Integration)) -> Model {
    let mut model = model.clone();
    change(&mut model.integration);
    model
}

/// The final state of a network and the gradient of <w, logits> in all its parameters.
fn gradient(model: &Model, data: &Dataset) -> (Vec<f64>, Vec<f64>) {
    let mut params = Params::new();
    let network = Network::Grade(model.clone()).build::<f64>(data, &mut params, 2).unwrap();
    let mut tape = Tape::new();
    let mut gradient = vec![0.0; params.len()];
    // Twice, so that memory left from the first pass is there in the second.
    let mut last = Vec::new();
    for _ in 0..2 {
        gradient.fill(0.0);
        let mut g = tape.record(params.values());
        let out = network.forward(&mut g, &mut Dropout::off());
        let seed: Vec<f64> = (0..g.shape(out.logits).len()).map(|k| (k as f64).cos()).collect();
        g.backward_from(out.logits, &seed, &mut gradient);
        last = g.value(out.last).data.to_vec();
    }
    (last, gradient)
}

/// Largest difference in units of the largest entry.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

#[test]
fn adjoint_and_checkpointed_gradients_agree_with_the_tape() {
    let data = small();
    for (form, kernel) in [(Form::Code, Kernel::Gat), (Form::Code, Kernel::Gauss), (Form::Paper, Kernel::Log)]
    {
        // Attention, a source and coefficients of time: every way in which a parameter can enter.
        let mut base = Model::default();
        (base.ends.width.hidden, base.ends.relu) = (8, false);
        (base.mixing.dot.heads, base.mixing.attention) = (2, true);
        base.integration.time = 1.0;
        let equation = &mut base.equation;
        (equation.form, equation.kernel, equation.log_eps, equation.aggregation) = (form, kernel, 0.5, 0.1);
        (equation.alpha, equation.source) = (Dependence::Time, true);
        // A number of steps that no segment length divides.
        for (solver, source) in [(Solver::Euler, true), (Solver::Euler, false), (Solver::Rk4, true)] {
            let mut on_tape = integrated(&base, |i| (i.solver, i.step) = (solver, 1.0 / 23.0));
            // Without a source a step of Euler's method is one op on the tape.
            on_tape.equation.source = source;
            let (x, whole) = gradient(&on_tape, &data);
            let apart = integrated(&on_tape, |i| i.backward = Backward::Checkpointed);
            let (y, parts) = gradient(&apart, &data);
            assert_eq!(x, y, "{solver:?}: the same steps");
            let error = difference(&parts, &whole);
            assert!(error < 1e-13, "{form:?} {solver:?}: {error}");
        }
        // The adjoint tends to the gradient of the steps with the order of the method.
        let adjoint_error = |steps: f64| {
            let model = integrated(&base, |i| (i.solver, i.step) = (Solver::Rk4, 1.0 / steps));
            let adjoint = integrated(&model, |i| i.backward = Backward::Adjoint);
            difference(&gradient(&adjoint, &data).1, &gradient(&model, &data).1)
        };
        let (coarse, fine) = (adjoint_error(8.0), adjoint_error(16.0));
        assert!(fine < 1e-4 && coarse / fine > 10.0, "{form:?}: {coarse} {fine}");
        // Adaptive steps: both against very many fixed ones. The kinks of a function of time and of the leaky
        // ReLU in the attention kernel would cost the method its order.
        if kernel == Kernel::Gat {
            continue;
        }
        base.equation.alpha = Dependence::Channel;
        let exact = integrated(&base, |i| (i.solver, i.step) = (Solver::Rk4, 1.0 / 128.0));
        let (x, whole) = gradient(&exact, &data);
        for backward in [Backward::Tape, Backward::Checkpointed, Backward::Adjoint] {
            let adaptive = integrated(&base, |i| {
                (i.solver, i.tolerance, i.backward) = (Solver::Adaptive, 1e-9, backward);
            });
            let (y, gradient) = gradient(&adaptive, &data);
            assert!(difference(&y, &x) < 1e-7, "{form:?}: {}", difference(&y, &x));
            let error = difference(&gradient, &whole);
            assert!(error < 1e-6, "{form:?} {backward:?}: {error}");
        }
        // Steps that were not enough end in a state that is not a number.
        let hopeless = integrated(&base, |i| {
            (i.time, i.solver, i.backward) = (1e5, Solver::Adaptive, Backward::Adjoint);
        });
        assert!(gradient(&hopeless, &data).0.iter().all(|v| v.is_nan()));
    }
}
