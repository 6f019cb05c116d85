//! What a learned model is worth: its likelihoods, and the weights of its paths.

use models::evaluate::{Figure, energies, exact_samples, flow_figures};
use models::importance::{self, LogZ};
use models::mcmc::Correction;
use models::metrics;
use models::sampler::Learned;
use models::target::Whitened;

use super::measure::{Measurement, broken};
use crate::npy;
use crate::run::console;
use crate::run::error::CliError;
use crate::run::progress::Stages;

/// The samples with the least variances.
const LEAST_SAMPLES: &str = "samples-least-variance.npy";
/// Keys of random numbers: others than those of the samples.
const POPULATIONS: u64 = 1 << 60;
const CALIBRATION: u64 = 1 << 59;
const LEAST_VARIANCE: u64 = 1 << 58;
/// Largest error of log densities from the steps of the flow that is passed over.
const FLOW_ERROR: f64 = 0.05;
/// Names of figures of the corrected samples and of those with the least variances, by those of the raw ones.
const OTHERS: [(&str, [&str; 2]); 12] = [
    ("outside", ["corrected_outside", "least_variance_outside"]),
    ("x_w2", ["corrected_x_w2", "least_variance_x_w2"]),
    ("e_w2", ["corrected_e_w2", "least_variance_e_w2"]),
    ("eq_w2", ["corrected_eq_w2", "least_variance_eq_w2"]),
    ("d_tv", ["corrected_d_tv", "least_variance_d_tv"]),
    ("energy_mean", ["corrected_energy_mean", "least_variance_energy_mean"]),
    ("energy_sd", ["corrected_energy_sd", "least_variance_energy_sd"]),
    ("tv", ["corrected_tv", "least_variance_tv"]),
    ("modes_found", ["corrected_modes_found", "least_variance_modes_found"]),
    ("in_mode", ["corrected_in_mode", "least_variance_in_mode"]),
    ("mode_kl", ["corrected_mode_kl", "least_variance_mode_kl"]),
    ("mode_chi2", ["corrected_mode_chi2", "least_variance_mode_chi2"]),
];

/// Figures under their names for other samples, the `which`-th; those without one are left out.
fn renamed(figures: Vec<Figure>, which: usize) -> impl Iterator<Item = Figure> {
    let named = move |raw: &str| OTHERS.iter().find(|(name, _)| *name == raw).map(|(_, names)| names[which]);
    figures.into_iter().filter_map(move |f| Some(Figure { name: named(f.name)?, ..f }))
}

impl Measurement<'_> {
    /// `weighted`: samples with the logarithms of the weights of their paths.
    pub(super) fn of_learned(
        &self,
        learned: &dyn Learned,
        weighted: (&[f64], &[f64]),
        stages: &mut Stages,
    ) -> Result<Vec<Figure>, CliError> {
        let e = &self.config.evaluation;
        let mut figures = Vec::new();
        if e.flow_samples > 0 {
            stages.next("likelihoods and log Z by the probability flow");
            figures.extend(self.of_flow(learned, stages)?);
        }
        stages.next("weights of sampled paths and the exact correction");
        figures.extend(self.of_paths(learned, weighted)?);
        if e.least_variance {
            stages.next("samples with the least variances");
            let key = (self.key() ^ LEAST_VARIANCE, 0);
            let x = learned.of_least_variance(e.sets * e.set_size, e.reverse_steps, key).map_err(broken)?;
            figures.extend(renamed(self.against_reference(&x)?, 1));
            let single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
            self.folder.write(LEAST_SAMPLES, &npy::encode(self.target.double().dim(), &single))?;
        }
        let failed = self.reference.as_ref().and_then(|r| r.failed_checks);
        figures.extend(failed.map(|n| Figure::plain("reference_failed_checks", n as f64)));
        if let Some(acceptance) = learned.move_acceptance().filter(|_| !self.pretrained) {
            figures.push(Figure::plain("move_acceptance", acceptance));
        }
        Ok(figures)
    }

    /// Likelihood of exact samples, log Z, ESS and k-hat by the probability flow.
    fn of_flow(&self, learned: &dyn Learned, stages: &Stages) -> Result<Vec<Figure>, CliError> {
        let (e, target) = (&self.config.evaluation, self.target.double());
        let exact = exact_samples(target, e.nll_samples, self.key(), 2);
        let coordinates = learned.coordinates();
        let own = coordinates.map(|c| Whitened::new(target, c.affine.clone(), 0.0));
        let exact = exact.map(|x| match coordinates {
            Some(c) => c.affine.inverse(&x),
            None => x,
        });
        let target = own.as_ref().map_or(target, |own| own);
        let exact =
            exact.map(|x| Ok::<_, CliError>((energies(target, &x).map_err(broken)?, x))).transpose()?;
        let exact = exact.map(|(e, x)| (x.iter().map(|v| *v as f32).collect::<Vec<f32>>(), e));
        let exact = exact.as_ref().map(|(x, e)| (&x[..], &e[..]));
        let flow = learned.flow(e.flow_steps);
        let mut figures = flow_figures(target, exact, &flow, e.sizes(), self.key()).map_err(broken)?;
        if let Some(c) = coordinates {
            // Densities in the target's coordinates.
            for f in figures.iter_mut().filter(|f| f.name == "nll") {
                f.value += c.affine.log_volume();
                f.floor = f.floor.map(|floor| floor + c.affine.log_volume());
            }
        }
        if let Some(known) = self.reference.as_ref().and_then(|r| r.log_z) {
            figures.iter_mut().filter(|f| f.name == "log_z").for_each(|f| f.floor = Some(known));
        }
        let error = figures.iter().find(|f| f.name == "flow_step_error").map_or(0.0, |f| f.value);
        let exact_enough = error <= FLOW_ERROR;
        if !exact_enough && !self.quiet {
            stages.pause();
            console::note(format_args!(
                "note: log densities of the flow are off by up to {error:.2} from its steps, which log Z and likelihoods inherit; raise evaluation.flow_steps = {}",
                e.flow_steps
            ));
        }
        Ok(figures)
    }

    /// ESS, k-hat and log Z by the weights of sampled paths, and the figures of their states after the exact
    /// correction.
    fn of_paths(&self, learned: &dyn Learned, (x, log_w): (&[f64], &[f64])) -> Result<Vec<Figure>, CliError> {
        let (e, d) = (&self.config.evaluation, self.target.double().dim());
        let log_z = LogZ::of(log_w);
        let mut figures = vec![
            Figure::plain("trajectory_ess", importance::normalised_ess(log_w)),
            Figure::plain("trajectory_khat", log_z.k_hat),
            Figure::of_log_z("trajectory_log_z", log_z, self.known()),
        ];
        if e.calibration > 0 {
            figures.extend(self.calibration(learned)?);
        }
        let n = e.sets * e.set_size;
        if e.populations == 0 {
            figures.extend(self.corrected(learned, x[..n * d].to_vec(), &log_w[..n])?);
            return Ok(figures);
        }
        let sizes = (e.populations, e.drawn().div_ceil(e.populations));
        let key = (self.key() ^ POPULATIONS, 0);
        let found = learned.populations(sizes, e.reverse_steps, key).map_err(broken)?;
        let (value, standard_error) = found.log_z();
        // Resampling hides nothing of the tail that final weights have.
        let log_z = LogZ { value, standard_error, k_hat: importance::pareto_k_hat(&found.log_w) };
        figures.extend([
            Figure::plain("smc_ess", found.share()),
            Figure::of_log_z("smc_log_z", log_z, self.known()),
            Figure::plain("smc_evaluations", found.evaluations as f64),
        ]);
        figures.extend(self.corrected(learned, found.states[..n * d].to_vec(), &found.log_w[..n])?);
        Ok(figures)
    }

    /// log Z as it is known, from the target itself or from the run that made the reference.
    fn known(&self) -> Option<f64> {
        self.reference.as_ref().and_then(|r| r.log_z).or(self.target.double().log_z())
    }

    /// How often log Z by independent sets of paths lies within two standard errors of the exact value, where the target
    /// knows it; that of a reference has an error of its own.
    fn calibration(&self, learned: &dyn Learned) -> Result<Vec<Figure>, CliError> {
        let e = &self.config.evaluation;
        let Some(known) = self.target.double().log_z() else {
            if !self.quiet {
                console::note(format_args!(
                    "note: evaluation.calibration has no effect: log Z of {} is not known",
                    self.config.target.name
                ));
            }
            return Ok(Vec::new());
        };
        let of_set = |k: usize| -> Result<Option<f64>, CliError> {
            let key = (self.key() ^ CALIBRATION, k as u64);
            let (_, log_w) = learned.weighted(e.set_size, e.reverse_steps, key).map_err(broken)?;
            let found = LogZ::of(&log_w);
            Ok(found.error().map(|error| (found.value - known) / error))
        };
        let z = (0..e.calibration).map(of_set).collect::<Result<Vec<_>, _>>()?;
        let z: Vec<f64> = z.into_iter().flatten().collect();
        let share = |n: usize, of: usize| n as f64 / of as f64;
        let mut figures = vec![
            Figure::plain("calibration_trusted", share(z.len(), e.calibration)),
            Figure::plain("calibration_evaluations", (e.calibration * e.set_size) as f64),
        ];
        if !z.is_empty() {
            let within = share(z.iter().filter(|z| z.abs() < 2.0).count(), z.len());
            figures.push(Figure::plain("calibration", within));
            figures.push(Figure::plain("calibration_mean_z", metrics::mean(&z)));
        }
        Ok(figures)
    }

    /// Figures of samples (columns) after the exact correction by their weights.
    fn corrected(
        &self,
        learned: &dyn Learned,
        mut x: Vec<f64>,
        log_w: &[f64],
    ) -> Result<Vec<Figure>, CliError> {
        let (e, target) = (&self.config.evaluation, self.target.double());
        let mut figures = Vec::new();
        let step = 0.2 * learned.mode_scale();
        let (moves, jumps, seed) = (e.correction_moves, e.correction_jumps, self.key());
        let correction = Correction { moves, leapfrog: 8, step, jumps, seed };
        let jump = |k: u64, x: &mut [f64]| learned.jump(x, e.reverse_steps, (seed, (1 << 30) + k));
        // Trajectories have one step size for all coordinates.
        let done = match learned.coordinates() {
            Some(c) => {
                let mut z = c.affine.inverse(&x);
                let own = Whitened::new(target, c.affine.clone(), 0.0);
                let done = correction.apply(self.ranks, &own, log_w, &mut z, &jump).map_err(broken)?;
                x = c.affine.forward(&z);
                done
            }
            None => correction.apply(self.ranks, target, log_w, &mut x, &jump).map_err(broken)?,
        };
        if moves > 0 {
            figures.push(Figure::plain("correction_acceptance", done.moves));
        }
        if jumps > 0 {
            figures.push(Figure::plain("jump_acceptance", done.jumps));
        }
        if moves + jumps > 0 {
            let evaluations = (moves * (correction.leapfrog + 1) + 2 * jumps) * log_w.len();
            figures.push(Figure::plain("correction_evaluations", evaluations as f64));
        }
        figures.extend(renamed(self.against_reference(&x)?, 0));
        Ok(figures)
    }
}
