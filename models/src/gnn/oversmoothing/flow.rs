//! An equation without encoder and decoder, from a state over long times: how long patterns last, and how fast waves
//! grow on a consensus.

use std::ops::ControlFlow;

use engine::ode::tableau::DORMAND_PRINCE;
use engine::ode::{Adaptive, OdeError};
use engine::{Params, Recording, Tape, Var};

use crate::gnn::Dataset;
use crate::gnn::equations::{Shared, Start};
use crate::gnn::networks::{Evolution, Network};

/// Error of an explicit step, relative, and at a vanishing state.
const TOLERANCES: (f64, f64) = (1e-7, 1e-10);
/// Steps between two times, at most.
const MOST_STEPS: usize = 1_000_000;

/// A right-hand side on a graph, with its parameters and the state where it begins (channels x nodes).
pub struct Flow {
    dynamics: Shared<f64>,
    params: Params<f64>,
    tape: Tape<f64>,
    nodes: usize,
    x0: Vec<f64>,
}

impl Flow {
    /// The equation of a network with its first parameters.
    ///
    /// # Errors
    /// The network is no differential equation, its settings do not go together, or the state has another size.
    pub fn new(network: &Network, data: &Dataset, x0: &[f64], seed: u64) -> Result<Self, String> {
        let nodes = data.nodes();
        let channels = x0.len() / nodes.max(1);
        if channels == 0 || channels * nodes != x0.len() {
            return Err(format!(
                "the state has {} numbers, which are no channels of {nodes} nodes",
                x0.len()
            ));
        }
        let mut params = Params::new();
        let evolution = network.evolution(data, &mut params, channels, seed)?;
        let Some(Evolution::Equation(dynamics, _)) = evolution else {
            return Err(format!("{} is no differential equation", network.name()));
        };
        Ok(Self { dynamics, params, tape: Tape::new(), nodes, x0: x0.to_vec() })
    }

    /// Sets every number of a parameter.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), String> {
        let id = self.params.find(name).ok_or_else(|| format!("the equation has no parameter {name}"))?;
        self.params.values_mut()[id.range()].fill(value);
        Ok(())
    }

    /// dx/dt at t = 0.
    ///
    /// # Errors
    /// It cannot be computed there.
    pub fn velocity(&mut self, x: &[f64]) -> Result<Vec<f64>, String> {
        let dynamics = self.dynamics.clone();
        let f = self.record(x, |g, x, start| Some(dynamics.velocity(g, x, 0.0, start)))?;
        Ok(f.unwrap_or_default())
    }

    /// The energy that the equation lowers; none where it has none.
    ///
    /// # Errors
    /// It cannot be computed there.
    pub fn energy(&mut self, x: &[f64]) -> Result<Option<f64>, String> {
        let dynamics = self.dynamics.clone();
        let parts = self.record(x, |g, x, start| dynamics.energy(g, x, start))?;
        Ok(parts.map(|parts| parts.iter().sum()))
    }

    /// Shows the state at each of `times`, which are positive and increase, to `see(t, x)`, which may break off. Between
    /// them steps are those of Dormand and Prince with a relative error of 1e-7, for an equation with implicit steps of
    /// its own too: these are stable at any length, but of first order, and times and rates would be theirs.
    ///
    /// # Errors
    /// Where the equation can be followed no further, and why.
    pub fn run(
        &mut self,
        times: &[f64],
        mut see: impl FnMut(&mut Self, f64, &[f64]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, String> {
        let (mut x, mut t) = (self.x0.clone(), 0.0);
        for next in times {
            self.follow(&mut x, t, *next)?;
            t = *next;
            if see(self, t, &x).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn follow(&mut self, x: &mut [f64], from: f64, to: f64) -> Result<(), String> {
        let failure = |e: OdeError| e.to_string();
        let mut solver = Adaptive::new(&DORMAND_PRINCE, TOLERANCES.0, TOLERANCES.1).map_err(failure)?;
        // A stiff equation is followed all the same: its steps are as short as stability wants.
        solver.max_steps = MOST_STEPS;
        let dynamics = self.dynamics.clone();
        let velocity = |t: f64, x: &[f64], out: &mut [f64]| {
            match self.record(x, |g, x, start| Some(dynamics.velocity(g, x, t, start))) {
                Ok(Some(f)) => out.copy_from_slice(&f),
                // The solver stops at what is not finite.
                _ => out.fill(f64::NAN),
            }
        };
        solver.solve(velocity, from, to, x).map(drop).map_err(failure)
    }

    /// What is recorded of the state x; an error if an op fails.
    fn record(
        &mut self,
        x: &[f64],
        what: impl FnOnce(&mut Recording<'_, f64>, Var, Start) -> Option<Var>,
    ) -> Result<Option<Vec<f64>>, String> {
        let channels = self.x0.len() / self.nodes;
        let mut g = self.tape.record(self.params.values());
        g.freeze_params();
        let state = g.constant(channels, self.nodes, x);
        let x0 = g.constant(channels, self.nodes, &self.x0);
        let start = Start { weights: self.dynamics.weights(&mut g, x0), x0 };
        let out = what(&mut g, state, start);
        match g.failure() {
            Some(failure) => Err(failure.to_string()),
            None => Ok(out.map(|out| g.value(out).data.to_vec())),
        }
    }

    /// The rate at which a small wave (a number for each node) grows on the state that is `level` at every node: by
    /// central differences of the velocity along the wave, in the first channel.
    ///
    /// # Errors
    /// The velocity cannot be computed there.
    pub fn growth(&mut self, level: f64, wave: &[f64]) -> Result<f64, String> {
        let channels = self.x0.len() / self.nodes;
        let small = 1e-7 * level / wave.iter().fold(f64::MIN_POSITIVE, |m: f64, v| m.max(v.abs()));
        let mut at = |sign: f64| {
            let mut x = vec![level; self.x0.len()];
            x.chunks_exact_mut(channels).zip(wave).for_each(|(x, v)| x[0] += sign * small * v);
            self.velocity(&x)
        };
        let (up, down) = (at(1.0)?, at(-1.0)?);
        let slope = up.chunks_exact(channels).zip(down.chunks_exact(channels)).zip(wave);
        let along: f64 = slope.map(|((up, down), v)| 0.5 * (up[0] - down[0]) / small * v).sum();
        Ok(along / wave.iter().map(|v| v * v).sum::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnn::Normalisation;
    use crate::gnn::data::regular::{RegularBlocks, extreme_waves};
    use crate::gnn::equations::coefficient::Dependence;
    use crate::gnn::equations::{Form, GradeSettings, Kernel, Mobility, Sigma};
    use crate::gnn::networks::{Continuous, Solver};

    fn grade(form: Form, aggregation: f64, power: f64) -> Network {
        let mut grade = Continuous::<GradeSettings>::default();
        (grade.mixing.attention, grade.mixing.loops) = (false, false);
        grade.mixing.normalisation = Normalisation::Row;
        if form == Form::Variational {
            grade.integration.solver = Solver::Implicit;
        }
        grade.equation = GradeSettings {
            form,
            kernel: Kernel::Gauss,
            mobility: Mobility::Upwind,
            sigma: if power == 1.0 { Sigma::Identity } else { Sigma::Power(power) },
            diffusion: 1.0,
            aggregation,
            beta: Dependence::Scalar,
            ..GradeSettings::default()
        };
        Network::Grade(grade)
    }

    fn blocks() -> Dataset {
        RegularBlocks { half: 20, inner: 8, outer: 2 }.draw(1).unwrap()
    }

    #[test]
    fn waves_grow_as_linear_theory_says() {
        let data = blocks();
        let [(mu, wave), _] = extreme_waves(&data);
        let (level, r2) = (1.5, 0.3);
        for power in [1.0, 2.0, 3.0] {
            let mut flow = Flow::new(&grade(Form::Paper, r2, power), &data, &[level; 80], 0).unwrap();
            flow.set("beta", -1.0).unwrap();
            // s(0) = 1/2; kappa = 1 on ten edges at a consensus.
            let want = -(1.0 - mu) * (0.5 * power * level.powf(power - 1.0) - level * r2 * 10.0 * mu);
            let got = flow.growth(level, &wave).unwrap();
            assert!((got - want).abs() < 1e-5 * want.abs(), "power {power}: {got}, not {want}");
        }
        let mut flow = Flow::new(&grade(Form::Variational, 6.0, 1.0), &data, &[level; 40], 0).unwrap();
        flow.set("beta", 0.0).unwrap();
        let want = -0.5 * (1.0 - mu) * (1.0 - 6.0 * level / (1.0 + level).powi(2) * mu * mu);
        let got = flow.growth(level, &wave).unwrap();
        assert!((got - want).abs() < 1e-5 * want.abs(), "{got}, not {want}");
        assert!(flow.set("gamma", 1.0).unwrap_err().contains("no parameter gamma"));
    }

    #[test]
    fn a_small_wave_is_followed_at_its_rate() {
        let data = blocks();
        let [(_, wave), _] = extreme_waves(&data);
        // So small that the second order of the wave, which upwind fluxes have, is no part of the rate.
        const SMALL: f64 = 1e-4;
        // Away from the threshold, and close to it, where the rate is a difference that errors of a step would hide.
        for (form, beta, strengths) in
            [(Form::Paper, -1.0, [0.02, 0.2, 0.98]), (Form::Variational, 0.0, [0.2, 1.5, 0.98])]
        {
            for (k, strength) in strengths.into_iter().enumerate() {
                let x0: Vec<f64> = wave.iter().map(|v| 1.0 + SMALL * v).collect();
                let rate_at = |r2: f64| {
                    let mut flow = Flow::new(&grade(form, r2, 1.0), &data, &x0, 0).unwrap();
                    flow.set("beta", beta).unwrap();
                    let rate = flow.growth(1.0, &wave).unwrap();
                    (flow, rate)
                };
                let (still, one) = (rate_at(0.0).1, rate_at(1.0).1);
                let (mut flow, rate) = rate_at(strength * still / (still - one));
                let last = if k == 2 { 200.0 } else { 2.0 };
                let mut height = 0.0;
                let along = |x: &[f64]| x.iter().zip(&wave).map(|(x, v)| x * v).sum::<f64>() / SMALL;
                let end = flow.run(&[0.5 * last, last], |_, _, x| {
                    height = along(x);
                    ControlFlow::Continue(())
                });
                assert_eq!(end, Ok(ControlFlow::Continue(())));
                let got = height.ln() / last;
                assert!((got - rate).abs() < 5e-3 * rate.abs(), "{form:?} {strength}: {got}, not {rate}");
            }
        }
    }

    #[test]
    fn the_energy_of_the_third_form_falls_and_that_of_others_is_none() {
        let data = blocks();
        let mut x0 = vec![0.0; 80];
        engine::rng::Stream::new(2, "state", 0, 0).fill_uniform(&mut x0);
        x0.iter_mut().for_each(|v| *v += 0.1);
        let mut flow = Flow::new(&grade(Form::Variational, 8.0, 1.0), &data, &x0, 0).unwrap();
        let mut energies = vec![flow.energy(&x0).unwrap().unwrap()];
        let times: Vec<f64> = (0..30).map(|k| 1.5f64.powi(k)).collect();
        flow.run(&times, |flow, _, x| {
            energies.push(flow.energy(x).unwrap().unwrap());
            ControlFlow::Continue(())
        })
        .map(drop)
        .unwrap();
        // What rises is the error of the steps.
        assert!(energies.windows(2).all(|e| e[1] <= e[0] + 1e-9 * e[0].abs()), "{energies:?}");
        assert!(energies[30] < energies[0] - 0.1);
        let mut paper = Flow::new(&grade(Form::Paper, 0.1, 1.0), &data, &x0, 0).unwrap();
        assert_eq!(paper.energy(&x0), Ok(None));
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        let data = blocks();
        let error = |name: &str, x0: &[f64]| {
            Flow::new(&Network::named(name).unwrap(), &data, x0, 0).map(drop).unwrap_err()
        };
        assert!(error("gcn", &[1.0; 40]).contains("gcn is no differential equation"));
        assert!(error("mlp", &[1.0; 40]).contains("mlp is no differential equation"));
        assert!(error("grade", &[1.0; 41]).contains("41 numbers"));
        // Forward diffusion of negative strength has no end.
        let Network::Grade(mut backward) = grade(Form::Paper, 0.0, 1.0) else { panic!() };
        backward.equation.diffusion = -1e3;
        let x0: Vec<f64> = (0..40).map(|i| 1.0 + f64::from(i % 3)).collect();
        let mut flow = Flow::new(&Network::Grade(backward), &data, &x0, 0).unwrap();
        let lost = flow.run(&[1.0], |_, _, _| ControlFlow::Continue(())).unwrap_err();
        assert!(lost.contains("finite") || lost.contains("step"), "{lost}");
    }
}
